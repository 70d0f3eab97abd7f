/**
 * The shape that every loop of the leader has: commits and timers leave notes, one round at a time works them off.
 *
 * Owns when a round runs: at once when woken, never two at a time, whatever comes meanwhile waits for the next. A round
 * that fails with a retryable Fault is run again after a growing wait; any other failure ends the loop, and with it the
 * leadership that the loop belongs to.
 */
import { Fault } from "#proto/fault.ts";
import type { Clock, Log } from "#proto/ports.ts";

const retryMsMin = 50;
const retryMsMax = 5_000;

/** Longer waits are cut into pieces: timers take 31 bits of milliseconds. */
const waitMsMax = 3_600_000;

export interface LoopOptions {
  readonly name: string;
  /** How long a round waits for more to come before it starts. */
  readonly gatherMs?: number;
  /** One round of work. Says when, by the wall clock, it wants to run again unasked. */
  readonly round: () => Promise<number | undefined>;
}

export class Loop implements AsyncDisposable {
  readonly #options: LoopOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #stop = new AbortController();
  readonly #failed = Promise.withResolvers<never>();
  #woken = false;
  #running: Promise<void> | undefined;
  #alarm: Disposable | undefined;

  constructor(options: LoopOptions, modules: { clock: Clock; log: Log }) {
    this.#options = options;
    this.#clock = modules.clock;
    this.#log = modules.log;
    // Whoever does not ask for `failed` must not crash the process by that.
    this.#failed.promise.catch(() => undefined);
  }

  /** Rejects when the loop has failed for good; never resolves. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Asks for a round. Cheap, and callable from a store's listener. */
  wake(): void {
    this.#woken = true;
    if (this.#running !== undefined || this.#stop.signal.aborted) return;
    this.#running = Promise.resolve().then(() => this.#run());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault("canceled", "the loop was stopped"));
    this.#alarm?.[Symbol.dispose]();
    await this.#running;
  }

  async #run(): Promise<void> {
    let failures = 0;
    try {
      while (this.#woken && !this.#stop.signal.aborted) {
        const { gatherMs = 0 } = this.#options;
        if (gatherMs > 0) await this.#clock.sleep(gatherMs, this.#stop.signal);
        this.#woken = false;
        const fault = await this.#round();
        failures = fault === undefined ? 0 : failures + 1;
        if (fault !== undefined) await this.#pause(fault, failures);
      }
    } catch (thrown) {
      if (!this.#stop.signal.aborted) this.#end(Fault.from(thrown));
    } finally {
      this.#running = undefined;
    }
  }

  /** The fault that a later round may not meet again; throws the others. */
  async #round(): Promise<Fault | undefined> {
    try {
      this.#setAlarm(await this.#options.round());
      return undefined;
    } catch (thrown) {
      const fault = Fault.from(thrown);
      if (fault.retryable) return fault;
      throw thrown;
    }
  }

  async #pause(fault: Fault, failures: number): Promise<void> {
    const waitMs = Math.min(retryMsMin * 2 ** Math.min(failures - 1, 16), retryMsMax);
    this.#log.warn(`The ${this.#options.name} tries again: ${fault.message}`, { waitMs, failures });
    this.#woken = true;
    await this.#clock.sleep(waitMs, this.#stop.signal);
  }

  #setAlarm(atMs: number | undefined): void {
    this.#alarm?.[Symbol.dispose]();
    this.#alarm = undefined;
    if (atMs === undefined || this.#stop.signal.aborted) return;
    const waitMs = Math.min(Math.max(atMs - this.#clock.now(), 0), waitMsMax);
    this.#alarm = this.#clock.timer(waitMs, () => this.wake());
  }

  #end(fault: Fault): void {
    this.#stop.abort(fault);
    this.#alarm?.[Symbol.dispose]();
    this.#failed.reject(Fault.wrap(`The ${this.#options.name} cannot go on`, fault));
  }
}

/** What a loop has yet to look at, now or when a moment has come. What a failed round took comes back. */
export class DirtySet<T> {
  #items = new Set<T>();
  readonly #moments = new Map<T, number>();
  /** Of the last round, by the clock on the wall. */
  #nowMs = 0;

  get size(): number {
    return this.#items.size;
  }

  add(item: T): void {
    this.#items.add(item);
  }

  has(item: T): boolean {
    return this.#items.has(item);
  }

  /** Without news it is looked at again at that moment; undefined: not at all. */
  awaits(item: T, atMs: number | undefined): void {
    if (atMs === undefined) this.#moments.delete(item);
    else this.#moments.set(item, atMs);
  }

  async drain<R>(work: (items: ReadonlySet<T>) => Promise<R>): Promise<R> {
    const items = this.#items;
    this.#items = new Set();
    try {
      return await work(items);
    } catch (thrown) {
      for (const item of items) this.#items.add(item);
      throw thrown;
    }
  }

  /** With those whose moment has come: all of them, if the clock was set back. Says when the next one comes. */
  async drainDue(
    nowMs: number,
    work: (items: ReadonlySet<T>) => Promise<unknown>,
  ): Promise<number | undefined> {
    const wasSetBack = nowMs < this.#nowMs;
    this.#nowMs = nowMs;
    for (const [item, atMs] of this.#moments) {
      if (atMs > nowMs && !wasSetBack) continue;
      this.#moments.delete(item);
      this.#items.add(item);
    }
    await this.drain(work);
    let nextMs: number | undefined;
    for (const atMs of this.#moments.values()) nextMs = earliest(nextMs, atMs);
    return nextMs;
  }
}

/** The earlier of two moments, where there are any. */
export function earliest(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined) return b;
  return b === undefined ? a : Math.min(a, b);
}
