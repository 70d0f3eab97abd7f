/**
 * The loop that scales services by what their tasks use. Looks at those that are to be scaled every few seconds, and at nothing
 * while there are none.
 */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { clusterOf, heartbeatPeriodMs } from "../cluster.ts";
import { Loop } from "../loop.ts";
import type { Action, Change } from "../store/objects.ts";
import type { Store, View } from "../store/store.ts";
import { type Memory, planAutoscale } from "./plan-autoscale.ts";
import type { UsageBook } from "./usage-book.ts";
import type { WishContext } from "./wish.ts";

/** Nodes measure half as often. */
const periodMs = 5_000;

/** How often nodes measure; heartbeats that are rarer bring it later. */
const measuredMs = 10_000;

/** How many measurements may fail to come, and what the way may take. */
const missedMax = 3;
const wayMs = 5_000;

/** When so many were looked at, others have their turn. */
export const partTasksMax = 5_000;

export interface AutoscalerModules extends Ports {
  readonly store: Store;
  readonly usageBook: UsageBook;
}

/** What is remembered for the next round. */
interface Memories {
  readonly memories: Map<string, Memory>;
}

export class Autoscaler implements AsyncDisposable {
  readonly #modules: AutoscalerModules;
  readonly #loop: Loop;
  readonly #watch: Disposable;
  /** The IDs of services that are scaled, or were until now. */
  readonly #scaled = new Set<string>();
  #memories: ReadonlyMap<string, Memory> = new Map();

  constructor(modules: AutoscalerModules) {
    this.#modules = modules;
    this.#loop = new Loop({ name: "autoscaler", round: () => this.#round() }, modules);
    this.#watch = modules.store.watch(({ changes }) => {
      for (const change of changes) this.#onChange(change);
    });
    for (const service of modules.store.list("service")) this.#onService(service.id, service);
  }

  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  #onChange(change: Change): void {
    if (change.kind !== "service") return;
    this.#onService((change.after ?? change.before)?.id ?? "", change.after);
  }

  /** A round comes by itself while there is anything to look at; a spec that differs need not wait for it. */
  #onService(id: string, service: Service | undefined): void {
    const isScaled = service?.spec?.autoscale !== undefined;
    if (!isScaled && service?.autoscaleStatus === undefined) {
      this.#scaled.delete(id);
    } else if (!this.#scaled.has(id) || !isScaled) {
      this.#scaled.add(id);
      this.#loop.wake();
    }
  }

  async #round(): Promise<number | undefined> {
    const { store, clock, usageBook } = this.#modules;
    const nowMs = clock.now();
    const heartbeatMs = heartbeatPeriodMs(clusterOf(store));
    const freshMs = missedMax * Math.max(measuredMs, heartbeatMs) + wayMs;
    usageBook.forget(nowMs - freshMs);
    const memories = new Map<string, Memory>();
    for (const [index, ids] of this.#parts().entries()) {
      if (index > 0) await clock.sleep(0);
      await store.writeInParts((view) => this.#plan(view, ids, { memories, nowMs, freshMs }));
    }
    this.#memories = memories;
    return this.#scaled.size === 0 ? undefined : nowMs + periodMs;
  }

  /** The services that are looked at together. */
  #parts(): readonly (readonly string[])[] {
    const parts: string[][] = [];
    let room = 0;
    for (const id of this.#scaled) {
      if (room <= 0) {
        parts.push([]);
        room = partTasksMax;
      }
      parts.at(-1)?.push(id);
      room -= this.#modules.store.tasksOfService(id).length;
    }
    return parts;
  }

  #plan(
    view: View,
    ids: readonly string[],
    { memories, ...times }: Pick<WishContext, "nowMs" | "freshMs"> & Memories,
  ): readonly Action[] {
    return ids.flatMap((id): readonly Action[] => {
      const service = view.get("service", id);
      if (service === undefined) return [];
      const { memory, service: object } = planAutoscale({
        service,
        tasks: view.tasksOfService(id),
        usageOf: (taskId) => this.#modules.usageBook.of(taskId),
        memory: this.#memories.get(id),
        ...times,
      });
      if (memory === undefined) memories.delete(id);
      else memories.set(id, memory);
      return object === undefined ? [] : [{ action: "update", kind: "service", object }];
    });
  }
}
