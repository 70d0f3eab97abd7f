/** The planner behind jobs with a schedule: begins their runs in time, and takes note of their ends. */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { isJob, isRunning } from "../job.ts";
import { DirtySet } from "../loop.ts";
import type { Action, Change } from "../store/objects.ts";
import type { Planner } from "../store-loop.ts";
import type { Store, View } from "../store/store.ts";
import { isTerminal } from "../task.ts";
import { planRuns } from "./plan-runs.ts";

interface Modules extends Ports {
  readonly store: Store;
}

export class JobScheduler implements Planner<string> {
  readonly name = "job scheduler";
  readonly clockCheckMs = 30_000;
  readonly dirty = new DirtySet<string>();
  readonly #modules: Modules;
  /** All jobs with a schedule. */
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
    } else if (change.kind === "task") this.#onTask(change.before, change.after);
    else if (change.kind === "node") this.#onNode();
  }

  /** A run may have waited for that node alone. */
  #onNode(): void {
    for (const id of this.#jobs) {
      const runs = this.#modules.store.get("service", id)?.scheduleStatus?.runs ?? [];
      if (runs.some(isRunning)) this.dirty.add(id);
    }
  }

  #onService(service: Service): void {
    if (!isJob(service) || service.spec?.schedule === undefined) {
      this.#forget(service.id);
      return;
    }
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
    const ended = before !== undefined && after !== undefined && isTerminal(after);
    if (ended && !isTerminal(before)) this.dirty.add(task.serviceId);
  }

  plan(view: View, ids: ReadonlySet<string>): readonly Action[] {
    const { clock, log } = this.#modules;
    return [...ids].flatMap((id) => {
      const service = view.get("service", id);
      if (service?.spec?.schedule === undefined) return [];
      const tasks = view
        .tasksOfService(id)
        .filter(({ desiredState }) => desiredState < TaskState.REMOVE);
      const plan = planRuns(tasks, {
        service,
        nodes: view.list("node"),
        node: (nodeId) => view.get("node", nodeId),
        nowMs: clock.now(),
      });
      this.dirty.awaits(id, plan.wakeAtMs);
      const name = service.spec.annotations?.name;
      if (plan.service === service) return [];
      const { leftOutAt, leftOutBecause: reason } = plan.service.scheduleStatus ?? {};
      if (leftOutAt !== undefined && leftOutAt !== service.scheduleStatus?.leftOutAt) {
        log.warn("A run of a job is left out", { service: name, reason });
      }
      return [{ action: "update", kind: "service", object: plan.service }];
    });
  }
}
