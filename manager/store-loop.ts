/**
 * The loop of a planner: it takes notes of the store's changes, and writes what it plans for what it noted. Everything
 * about when that happens is here and in loop.ts; what is noted and planned is the planner's.
 */
import type { Clock, Log } from "#proto/ports.ts";
import { type DirtySet, earliest, Loop } from "./loop.ts";
import type { Action, Change } from "./store/objects.ts";
import type { Store, View } from "./store/store.ts";

export interface Planner<T> {
  readonly name: string;
  /** How long it waits for more to come before it plans. */
  readonly gatherMs?: number;
  /** Of one that waits for moments on the clock on the wall, not for spans: how soon it notices that the clock was set. */
  readonly clockCheckMs?: number;
  /** What may need something: its own notes, and the moments that it waits for. */
  readonly dirty: DirtySet<T>;
  /** Notes what the leader before may have left undone. */
  begin(): void;
  /** Notes what a change may need. It is called for every change that there is: it must be cheap. */
  onChange(change: Change): void;
  plan(view: View, items: ReadonlySet<T>): readonly Action[];
}

export interface StoreLoopModules {
  readonly clock: Clock;
  readonly log: Log;
  readonly store: Store;
}

export class StoreLoop<T> implements AsyncDisposable {
  readonly #planner: Planner<T>;
  readonly #modules: StoreLoopModules;
  readonly #loop: Loop;
  readonly #watch: Disposable;

  constructor(planner: Planner<T>, modules: StoreLoopModules) {
    this.#planner = planner;
    this.#modules = modules;
    const { name, gatherMs = 0, dirty } = planner;
    this.#loop = new Loop({ name, gatherMs, round: () => this.#round() }, modules);
    this.#watch = modules.store.watch(({ changes }) => {
      for (const change of changes) planner.onChange(change);
      if (dirty.size > 0) this.#loop.wake();
    });
    planner.begin();
    this.#loop.wake();
  }

  /** Rejects when the loop has failed for good; never resolves. */
  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  async #round(): Promise<number | undefined> {
    const { store, clock } = this.#modules;
    const { dirty, clockCheckMs } = this.#planner;
    const nextMs = await dirty.drainDue(clock.now(), (items) =>
      store.writeInParts((view) => this.#planner.plan(view, items)),
    );
    if (nextMs === undefined || clockCheckMs === undefined) return nextMs;
    return earliest(nextMs, clock.now() + clockCheckMs);
  }
}
