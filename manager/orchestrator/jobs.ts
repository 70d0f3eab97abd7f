/** The planner behind jobs, replicated and global. Folds commits into the jobs that may need something. */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import type { Ports } from "#proto/ports.ts";
import { clusterOf } from "../cluster.ts";
import { isJob } from "../job.ts";
import { DirtySet } from "../loop.ts";
import type { Action, Change } from "../store/objects.ts";
import type { Planner } from "../store-loop.ts";
import type { Store, View } from "../store/store.ts";
import { isTerminal } from "../task.ts";
import { planJob } from "./plan-job.ts";

interface Modules extends Ports {
  readonly store: Store;
}

export class JobOrchestrator implements Planner<string> {
  readonly name = "job orchestrator";
  readonly dirty = new DirtySet<string>();
  readonly #modules: Modules;
  readonly #jobs = new Set<string>();

  constructor(modules: Modules) {
    this.#modules = modules;
  }

  begin(): void {
    for (const service of this.#modules.store.list("service")) this.#onService(service);
  }

  onChange(change: Change): void {
    if (change.kind === "service") {
      if (change.after !== undefined) this.#onService(change.after);
      else if (change.before !== undefined) this.#forget(change.before.id);
    } else if (change.kind === "node") {
      const id = (change.after ?? change.before)?.id;
      if (id !== undefined) this.#onNode(id);
    } else if (change.kind === "task") this.#onTask(change.before, change.after);
  }

  /** A global job may be for it, and others may have lost a task there. */
  #onNode(nodeId: string): void {
    const { store } = this.#modules;
    for (const id of this.#jobs) {
      if (store.get("service", id)?.spec?.mode.case === "globalJob") this.dirty.add(id);
    }
    for (const { serviceId } of store.tasksOfNode(nodeId)) {
      if (this.#jobs.has(serviceId)) this.dirty.add(serviceId);
    }
  }

  #onService(service: Service): void {
    if (!isJob(service)) return;
    this.#jobs.add(service.id);
    this.dirty.add(service.id);
  }

  #forget(id: string): void {
    this.#jobs.delete(id);
    this.dirty.awaits(id, undefined);
  }

  #onTask(before: Task | undefined, after: Task | undefined): void {
    const task = after ?? before;
    if (task === undefined || !this.#jobs.has(task.serviceId)) return;
    const same =
      before !== undefined &&
      after !== undefined &&
      before.desiredState === after.desiredState &&
      before.nodeId === after.nodeId &&
      isTerminal(before) === isTerminal(after);
    if (!same) this.dirty.add(task.serviceId);
  }

  plan(view: View, ids: ReadonlySet<string>): readonly Action[] {
    const { clock, random } = this.#modules;
    const actions: Action[] = [];
    for (const id of ids) {
      const service = view.get("service", id);
      if (service === undefined || !isJob(service)) continue;
      const tasks = view
        .tasksOfService(id)
        .filter(({ desiredState }) => desiredState < TaskState.REMOVE);
      const plan = planJob(tasks, {
        service,
        nodes: view.list("node"),
        node: (nodeId) => view.get("node", nodeId),
        nowMs: clock.now(),
        newTaskId: () => newId(random),
        logDriver: clusterOf(view)?.spec?.taskDefaults?.logDriver,
      });
      actions.push(...plan.actions);
      this.dirty.awaits(id, plan.wakeAtMs);
    }
    return actions;
  }
}
