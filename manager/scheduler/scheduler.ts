/**
 * The loop that gives PENDING tasks a node. Tasks that no node can take wait here, and are tried again when a node
 * changes or something ends on one.
 */
import type { Ports } from "#proto/ports.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { DirtySet, Loop } from "../loop.ts";
import type { Action, Change } from "../store/objects.ts";
import type { Store, View } from "../store/store.ts";
import { isTerminal, isWanted, stateOf } from "../task.ts";
import { NodeLoads } from "./node-load.ts";
import { planSchedule } from "./plan-schedule.ts";

export interface SchedulerModules extends Ports {
  readonly store: Store;
}

export class Scheduler implements AsyncDisposable {
  readonly #modules: SchedulerModules;
  readonly #loads: NodeLoads;
  readonly #dirty = new DirtySet<string>();
  /** Tasks that no node could take. */
  #blocked = new Set<string>();
  readonly #loop: Loop;
  readonly #watch: Disposable;

  constructor(modules: SchedulerModules) {
    this.#modules = modules;
    this.#loads = new NodeLoads(modules.store);
    this.#loop = new Loop({ name: "scheduler", round: () => this.#round() }, modules);
    this.#watch = modules.store.watch(({ changes }) => {
      for (const change of changes) this.#onChange(change);
    });
    for (const task of modules.store.list("task")) this.#onTask(undefined, task);
  }

  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  #onChange(change: Change): void {
    this.#loads.onChange(change);
    if (change.kind === "task") this.#onTask(change.before, change.after);
    if (change.kind === "node") this.#retryBlocked();
  }

  #onTask(before: Task | undefined, after: Task | undefined): void {
    if (after !== undefined && waits(after)) {
      // The note that it is blocked is our own doing and no reason to try again.
      if (this.#blocked.has(after.id)) return;
      this.#dirty.add(after.id);
      this.#loop.wake();
      return;
    }
    const task = after ?? before;
    if (task === undefined) return;
    this.#blocked.delete(task.id);
    const leftNode = before !== undefined && before.nodeId !== "" && !isTerminal(before);
    if (leftNode && (after === undefined || isTerminal(after))) this.#retryBlocked();
  }

  #retryBlocked(): void {
    if (this.#blocked.size === 0) return;
    for (const id of this.#blocked) this.#dirty.add(id);
    this.#blocked.clear();
    this.#loop.wake();
  }

  #round(): Promise<undefined> {
    return this.#dirty.drain(async (ids) => {
      await this.#modules.store.writeInParts((view) => this.#plan(view, ids));
      return undefined;
    });
  }

  #plan(view: View, ids: ReadonlySet<string>): readonly Action[] {
    const tasks = [...ids].flatMap((id) => view.get("task", id) ?? []).filter(waits);
    if (tasks.length === 0) return [];
    const plan = planSchedule(tasks, {
      nodes: view.list("node"),
      load: (nodeId) => this.#loads.of(nodeId),
      nowMs: this.#modules.clock.now(),
    });
    for (const id of plan.blocked.keys()) this.#blocked.add(id);
    return plan.actions;
  }
}

/** Whether a task is the scheduler's to place. */
function waits(task: Task): boolean {
  return stateOf(task) === TaskState.PENDING && task.nodeId === "" && isWanted(task);
}
