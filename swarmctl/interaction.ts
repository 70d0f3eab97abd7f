/**
 * A user's terminal, or pipes, at one end and a process in a container at the other: keys, size and signals go there,
 * output comes back no faster than it is read here.
 */
import type { Io } from "./io.ts";
import { DetachFilter } from "./detach-keys.ts";

/** What goes there; as ExecRequest and AttachRequest have it. */
export type Input =
  | { readonly case: "stdin"; readonly value: Uint8Array }
  | { readonly case: "stdinClosed"; readonly value: boolean }
  | {
      readonly case: "resize";
      readonly value: { readonly rows: number; readonly columns: number };
    }
  | { readonly case: "signal"; readonly value: string }
  | { readonly case: "detach"; readonly value: boolean };

/** What comes back; as ExecResponse and AttachResponse have it. */
export type Output =
  | { readonly case: "stdout" | "stderr"; readonly value: Uint8Array }
  | { readonly case: "exitCode"; readonly value: number }
  | { readonly case: undefined; readonly value?: undefined };

export interface InteractionOptions {
  readonly terminal: boolean;
  readonly stdin: boolean;
  /** None: nothing detaches. */
  readonly detachKeys: Uint8Array;
  /** Whether the signals that swarmctl gets are passed on. */
  readonly signals: boolean;
}

/** As messages hold one or the other. */
interface Response {
  readonly output: Output;
}

/** How it ended: with an exit code, because the user left, or without a word. */
export type Ending = number | "detached" | undefined;

export class Interaction {
  readonly #io: Io;
  readonly #options: InteractionOptions;
  readonly #waiting: Input[] = [];
  #wake = Promise.withResolvers<void>();
  #detached = false;

  constructor(io: Io, options: InteractionOptions) {
    this.#io = io;
    this.#options = options;
  }

  /** The terminal's size now. */
  get size(): { readonly rows: number; readonly columns: number } | undefined {
    const { rows, columns } = this.#io.stdout;
    return rows === undefined || columns === undefined ? undefined : { rows, columns };
  }

  /** Until the process has ended or the user has left. The terminal is as before then. */
  async run(call: (inputs: AsyncIterable<Input>) => AsyncIterable<Response>): Promise<Ending> {
    using _terminal = this.#takeTerminal();
    let ending: Ending;
    for await (const { output } of call(this.#inputs())) {
      if (output.case === "exitCode") ending = output.value;
      else if (output.case !== undefined) await this.#print(output.case, output.value);
    }
    return this.#detached ? "detached" : ending;
  }

  #takeTerminal(): Disposable {
    const { terminal, stdin: wantsStdin, signals } = this.#options;
    const { stdin, stdout } = this.#io;
    using taken = new DisposableStack();
    if (terminal) {
      const onResize = () => {
        if (this.size !== undefined) this.#put({ case: "resize", value: this.size });
      };
      stdout.on?.("resize", onResize);
      taken.defer(() => void stdout.off?.("resize", onResize));
    }
    if (signals) {
      const pass = (value: NodeJS.Signals) => this.#put({ case: "signal", value });
      const passing = this.#io.passSignals?.(pass);
      if (passing !== undefined) taken.use(passing);
    }
    if (wantsStdin) {
      // Somebody may still wait for a key, which would keep the program alive.
      taken.defer(() => void stdin.destroy?.());
      if (terminal) {
        stdin.setRawMode?.(true);
        taken.defer(() => void stdin.setRawMode?.(false));
      }
    }
    return taken.move();
  }

  #put(input: Input): void {
    this.#waiting.push(input);
    this.#wake.resolve();
  }

  async *#inputs(): AsyncIterable<Input> {
    const { stdin, terminal, detachKeys } = this.#options;
    const filter = new DetachFilter(terminal ? detachKeys : new Uint8Array());
    const typed = this.#io.stdin[Symbol.asyncIterator]();
    const silence = new Promise<never>(() => {});
    let next = stdin ? typed.next() : silence;
    for (;;) {
      const found = await Promise.race([next, this.#wake.promise]);
      if (found === undefined) {
        this.#wake = Promise.withResolvers();
        yield* this.#waiting.splice(0);
      } else if (found.done === true) {
        next = silence;
        yield { case: "stdinClosed", value: true };
      } else {
        next = typed.next();
        // It may fail while this waits for something else.
        next.catch(() => undefined);
        const { data, detached } = filter.push(bytesOf(found.value));
        if (data.length > 0) yield { case: "stdin", value: data };
        if (!detached) continue;
        this.#detached = true;
        yield { case: "detach", value: true };
        return;
      }
    }
  }

  /** Resolves when whoever reads it has taken it. */
  #print(to: "stdout" | "stderr", data: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#io[to].write(data, () => resolve());
    });
  }
}

function bytesOf(chunk: Uint8Array | string): Uint8Array {
  return typeof chunk === "string" ? Buffer.from(chunk) : chunk;
}
