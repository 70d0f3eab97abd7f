/** Waits until the cluster says what is waited for: looked at with each of its events, and once in a while without one. */
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import type { ControlClient } from "./clients.ts";
import type { ManagerLink } from "./manager-link.ts";

/** Who leads and who is reachable is no event. */
const lookMs = 2_000;

export interface WaitOptions {
  /** Of the events that may change the answer: "node", "task". */
  readonly kinds: readonly string[];
  /** Undefined: it is there; else what is still missing, in words. */
  readonly missing: (control: ControlClient) => Promise<string | undefined>;
  readonly onWait?: (missing: string) => void;
  readonly limitMs: number;
}

export interface WaitPorts {
  readonly link: ManagerLink;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export async function waitFor(
  options: WaitOptions,
  { link, clock, signal }: WaitPorts,
): Promise<void> {
  const endMs = clock.monotonic() + options.limitMs;
  using events = new Events(options.kinds, signal);
  for (;;) {
    const seen = events.next();
    // Each look is a question of its own: a connection that drops is as good as new to the link's patience.
    const missing = await link.ask(async (control) => {
      events.follow(control);
      return await options.missing(control);
    });
    if (missing === undefined) return;
    options.onWait?.(missing);
    if (clock.monotonic() >= endMs) {
      const seconds = Math.round(options.limitMs / 1000);
      throw new Fault("failed-precondition", `after ${seconds} s ${missing}`);
    }
    const pause = new AbortController();
    try {
      await Promise.race([seen, clock.sleep(lookMs, AbortSignal.any([signal, pause.signal]))]);
    } finally {
      pause.abort();
    }
  }
}

/** Tells that something happened, not what. */
class Events implements Disposable {
  readonly #kinds: readonly string[];
  readonly #scope = new AbortController();
  readonly #signal: AbortSignal;
  #followed: ControlClient | undefined;
  #next = Promise.withResolvers<void>();

  constructor(kinds: readonly string[], signal: AbortSignal) {
    this.#kinds = kinds;
    this.#signal = AbortSignal.any([signal, this.#scope.signal]);
  }

  next(): Promise<void> {
    return this.#next.promise;
  }

  /** From this manager from now on. */
  follow(control: ControlClient): void {
    if (this.#followed === control) return;
    this.#followed = control;
    void this.#read(control);
  }

  [Symbol.dispose](): void {
    this.#scope.abort();
  }

  async #read(control: ControlClient): Promise<void> {
    const kinds = [...this.#kinds];
    try {
      for await (const _ of control.watch({ kinds }, { signal: this.#signal })) {
        this.#next.resolve();
        this.#next = Promise.withResolvers();
      }
    } catch {
      // Whoever asks next finds out why; until then the looks without events go on.
    }
  }
}
