/**
 * Many small wishes, few transactions: what is submitted while a write is under way goes into the next one, together.
 * A wish is done when all that the write came to is committed.
 */
import { Fault } from "#proto/fault.ts";
import type { Clock, Log } from "#proto/ports.ts";
import { Loop } from "./loop.ts";
import type { Action } from "./store/objects.ts";
import type { Store, View } from "./store/store.ts";

/** Wishes that may wait for a write; more are refused. */
const waitingMax = 100_000;

/** Wishes of one write. */
const batchMax = 2_000;

export interface BatchWriterOptions<T> {
  readonly name: string;
  /** How long the first wish waits for others. */
  readonly gatherMs: number;
  /**
   * What the wishes, in order of submission, come to. Leaves out what does not apply, or is done already, as half of a
   * large batch may be; must not throw for one of them.
   */
  readonly plan: (view: View, wishes: readonly T[]) => readonly Action[];
}

interface Waiting<T> {
  readonly wish: T;
  readonly resolve: () => void;
  readonly reject: (fault: Fault) => void;
}

export class BatchWriter<T> implements AsyncDisposable {
  readonly #options: BatchWriterOptions<T>;
  readonly #store: Store;
  readonly #loop: Loop;
  #waiting: Waiting<T>[] = [];
  /** Why nothing is written any more. */
  #over: Fault | undefined;

  constructor(options: BatchWriterOptions<T>, modules: { store: Store; clock: Clock; log: Log }) {
    this.#options = options;
    this.#store = modules.store;
    const { name, gatherMs } = options;
    this.#loop = new Loop({ name, gatherMs, round: () => this.#round() }, modules);
    this.#loop.failed.catch((thrown: unknown) => this.#refuse(Fault.from(thrown)));
  }

  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  /** Resolves when the wish is committed. */
  submit(wish: T): Promise<void> {
    if (this.#over !== undefined) return Promise.reject(this.#over);
    if (this.#waiting.length >= waitingMax) {
      const message = `the ${this.#options.name} has ${waitingMax} writes waiting: try again later`;
      return Promise.reject(new Fault("resource-exhausted", message));
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ wish, resolve, reject });
    this.#loop.wake();
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#loop[Symbol.asyncDispose]();
    this.#refuse(new Fault("unavailable", "this part of the manager has ended: try again"));
  }

  async #round(): Promise<undefined> {
    const batch = this.#waiting.splice(0, batchMax);
    if (this.#waiting.length > 0) this.#loop.wake();
    const wishes = batch.map(({ wish }) => wish);
    try {
      await this.#store.writeInParts((view) => this.#options.plan(view, wishes));
    } catch (thrown) {
      this.#waiting = [...batch, ...this.#waiting];
      throw thrown;
    }
    for (const { resolve } of batch) resolve();
  }

  #refuse(fault: Fault): void {
    this.#over ??= fault;
    for (const { reject } of this.#waiting) reject(this.#over);
    this.#waiting = [];
  }
}
