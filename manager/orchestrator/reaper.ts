/** The loop that forgets tasks: those to be removed once they have ended, and history beyond what is kept. */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { clusterOf } from "../cluster.ts";
import { DirtySet, Loop } from "../loop.ts";
import type { Action, Change } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { isAssigned, isTerminal, isWanted } from "../task.ts";
import { joinReapPlans, planHistory, planOrphans, planRemovals } from "./plan-reap.ts";
import type { OrchestratorModules } from "./replicated.ts";

/** A pass waits this long for more: forgetting is never urgent, but a removed service should be gone soon. */
const gatherMs = 20;

export class Reaper implements AsyncDisposable {
  readonly #modules: OrchestratorModules;
  readonly #dirty = new DirtySet<string>();
  /** Nodes that are gone or DOWN and were not yet found to have no task left. */
  readonly #lostNodes = new Set<string>();
  readonly #loop: Loop;
  readonly #watch: Disposable;
  #wakeAtMs: number | undefined;

  constructor(modules: OrchestratorModules) {
    this.#modules = modules;
    this.#loop = new Loop({ name: "task reaper", gatherMs, round: () => this.#round() }, modules);
    this.#watch = modules.store.watch(({ changes }) => {
      for (const change of changes) this.#onChange(change);
    });
    for (const task of modules.store.list("task")) this.#onTask(task);
  }

  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  #onChange(change: Change): void {
    if (change.kind === "task" && change.after !== undefined) this.#onTask(change.after);
    if (change.kind !== "node") return;
    const id = (change.after ?? change.before)?.id;
    if (id === undefined || change.after?.status?.state === NodeState.READY) return;
    this.#lostNodes.add(id);
    this.#loop.wake();
  }

  #onTask(task: Task): void {
    if (isWanted(task)) return;
    if (isAssigned(task) && !isTerminal(task)) {
      // Its agent will report its end, unless it is lost.
      const node = this.#modules.store.get("node", task.nodeId);
      if (node !== undefined && node.status?.state !== NodeState.DOWN) return;
      this.#lostNodes.add(task.nodeId);
    } else this.#dirty.add(task.id);
    this.#loop.wake();
  }

  async #round(): Promise<number | undefined> {
    const { store } = this.#modules;
    await this.#dirty.drain((ids) => store.writeInParts((view) => this.#plan(view, ids)));
    return this.#wakeAtMs;
  }

  #plan(view: View, ids: ReadonlySet<string>): readonly Action[] {
    const tasks = [...ids].flatMap((id) => view.get("task", id) ?? []);
    const cluster = clusterOf(view);
    const places = new Map(tasks.map((task) => [placeOf(task), task]));
    const histories = Array.from(places, ([place, task]) =>
      planHistory(
        this.#neighboursOf(task, view).filter((other) => placeOf(other) === place),
        cluster,
      ),
    );
    return [...planRemovals(tasks), ...histories.flat(), ...this.#planOrphans(view)];
  }

  /** Among them all tasks of the task's place, without those to be removed. */
  #neighboursOf({ serviceId, slot, nodeId }: Task, view: View): readonly Task[] {
    if (slot !== 0n) return this.#modules.slots.tasksOf(serviceId, Number(slot));
    return view.tasksOfNode(nodeId).filter(({ desiredState }) => desiredState < TaskState.REMOVE);
  }

  #planOrphans(view: View): readonly Action[] {
    const nowMs = this.#modules.clock.now();
    const { actions, wakeAtMs } = joinReapPlans(
      [...this.#lostNodes].map((nodeId) => {
        const plan = planOrphans(view, nodeId, nowMs);
        if (plan.actions.length === 0 && plan.wakeAtMs === undefined)
          this.#lostNodes.delete(nodeId);
        return plan;
      }),
    );
    this.#wakeAtMs = wakeAtMs;
    return actions;
  }
}

/** What a history is of: a slot, or a service's node; of a job that of one run. */
function placeOf({ serviceId, slot, nodeId, jobIteration }: Task): string {
  return `${serviceId}/${slot === 0n ? nodeId : slot}/${jobIteration?.index ?? 0n}`;
}
