/**
 * Work that several callers may want at the same time is done once. Owns which work is running and who waits for it;
 * a caller that gives up leaves the others alone, and the work is aborted when the last one has left.
 *
 * Invariant: whoever leaves last returns only after the work has ended, so its clean-up is over by then.
 */
import { Fault } from "#proto/fault.ts";

export interface Waiter<Progress> {
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export type Work<Progress, Result> = (
  signal: AbortSignal,
  emit: (progress: Progress) => void,
) => Promise<Result>;

interface Running<Progress, Result> {
  readonly controller: AbortController;
  readonly waiters: Set<Waiter<Progress>>;
  readonly result: Promise<Result>;
  progress: Progress | undefined;
}

export class SharedWork<Progress, Result> {
  readonly #running = new Map<string, Running<Progress, Result>>();

  /** Joins the work that runs under the key, or starts it. */
  async join(key: string, waiter: Waiter<Progress>, work: Work<Progress, Result>): Promise<Result> {
    waiter.signal.throwIfAborted();
    const running = this.#running.get(key) ?? this.#start(key, work);
    running.waiters.add(waiter);
    if (running.progress !== undefined) waiter.onProgress?.(running.progress);
    try {
      return await unlessAborted(running.result, waiter.signal);
    } finally {
      running.waiters.delete(waiter);
      if (running.waiters.size === 0) await this.#end(key, running);
    }
  }

  /** Aborts everything and waits until it has ended. */
  async close(): Promise<void> {
    const all = [...this.#running.values()];
    for (const { controller } of all) controller.abort();
    await Promise.allSettled(all.map(({ result }) => result));
  }

  #start(key: string, work: Work<Progress, Result>): Running<Progress, Result> {
    const controller = new AbortController();
    const waiters = new Set<Waiter<Progress>>();
    const emit = (progress: Progress) => {
      running.progress = progress;
      for (const waiter of waiters) waiter.onProgress?.(progress);
    };
    // Starts in a later microtask, when the first waiter is in the set and hears everything.
    const result = Promise.resolve().then(() => work(controller.signal, emit));
    const running: Running<Progress, Result> = { controller, waiters, result, progress: undefined };
    this.#running.set(key, running);
    return running;
  }

  async #end(key: string, running: Running<Progress, Result>): Promise<void> {
    // From here on a newcomer starts anew instead of joining what is about to end.
    if (this.#running.get(key) === running) this.#running.delete(key);
    running.controller.abort();
    await Promise.allSettled([running.result]);
  }
}

/** The promise's result, or a rejection as soon as the signal is aborted. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(Fault.from(signal.reason));
    signal.addEventListener("abort", onAbort, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
