/** The outside world of one invocation, handed in so that tests run commands in their own process. */
import type { Clock } from "#proto/ports.ts";

export interface Output {
  /** `written` is called when it takes more. */
  write(data: string | Uint8Array, written?: () => void): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  /** Of a terminal whose size changes. */
  on?(event: "resize", listener: () => void): unknown;
  off?(event: "resize", listener: () => void): unknown;
}

interface Input extends AsyncIterable<Uint8Array | string> {
  readonly isTTY?: boolean | undefined;
  /** Of a terminal: no echo, every key at once. */
  setRawMode?(on: boolean): unknown;
  /** Nothing is read from it any more. */
  destroy?(): unknown;
}

export interface Io {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** Gives the signals that this process gets to `listener`, and to nobody else, until disposed of. */
  passSignals?(listener: (name: NodeJS.Signals) => void): Disposable;
}
