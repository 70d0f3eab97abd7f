/** The loop behind jobs with a schedule: begins their runs in time, and takes note of their ends. */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { isJob, isRunning } from "../job.ts";
import { DirtySet, earliest, Loop } from "../loop.ts";
import type { Action, Change } from "../store/objects.ts";
import type { Store, View } from "../store/store.ts";
import { isTerminal } from "../task.ts";
import { planRuns } from "./plan-runs.ts";

interface Modules extends Ports {
  readonly store: Store;
}

/** Alarms follow time as it passes, schedules the clock on the wall: how soon the one notices that the other was set. */
const clockCheckMs = 30_000;

export class JobScheduler implements AsyncDisposable {
  readonly #modules: Modules;
  readonly #dirty = new DirtySet<string>();
  /** All jobs with a schedule; the moment that one waits for, where there is one. */
  readonly #jobs = new Map<string, number | undefined>();
  /** When the last round was, by the clock on the wall. */
  #roundMs = 0;
  readonly #loop: Loop;
  readonly #watch: Disposable;

  constructor(modules: Modules) {
    this.#modules = modules;
    this.#loop = new Loop({ name: "job scheduler", round: () => this.#round() }, modules);
    this.#watch = modules.store.watch(({ changes }) => {
      for (const change of changes) this.#onChange(change);
      if (this.#dirty.size > 0) this.#loop.wake();
    });
    for (const service of modules.store.list("service")) this.#onService(service);
    this.#loop.wake();
  }

  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  #onChange(change: Change): void {
    if (change.kind === "service") {
      if (change.after !== undefined) this.#onService(change.after);
      else if (change.before !== undefined) this.#jobs.delete(change.before.id);
    } else if (change.kind === "task") this.#onTask(change.before, change.after);
    else if (change.kind === "node") this.#onNode();
  }

  /** A run may have waited for that node alone. */
  #onNode(): void {
    for (const id of this.#jobs.keys()) {
      const runs = this.#modules.store.get("service", id)?.scheduleStatus?.runs ?? [];
      if (runs.some(isRunning)) this.#dirty.add(id);
    }
  }

  #onService(service: Service): void {
    if (!isJob(service) || service.spec?.schedule === undefined) {
      this.#jobs.delete(service.id);
      return;
    }
    if (!this.#jobs.has(service.id)) this.#jobs.set(service.id, undefined);
    this.#dirty.add(service.id);
  }

  #onTask(before: Task | undefined, after: Task | undefined): void {
    const task = after ?? before;
    if (task === undefined || !this.#jobs.has(task.serviceId)) return;
    const ended = before !== undefined && after !== undefined && isTerminal(after);
    if (ended && !isTerminal(before)) this.#dirty.add(task.serviceId);
  }

  async #round(): Promise<number | undefined> {
    const { store, clock } = this.#modules;
    const nowMs = clock.now();
    const wasSetBack = nowMs < this.#roundMs;
    this.#roundMs = nowMs;
    for (const [id, atMs] of this.#jobs) {
      if (atMs !== undefined && (wasSetBack || atMs <= nowMs)) this.#dirty.add(id);
    }
    await this.#dirty.drain((ids) => store.writeInParts((view) => this.#plan(view, ids)));
    let wakeAtMs: number | undefined;
    for (const atMs of this.#jobs.values()) wakeAtMs = earliest(wakeAtMs, atMs);
    return wakeAtMs && Math.min(wakeAtMs, clock.now() + clockCheckMs);
  }

  #plan(view: View, ids: ReadonlySet<string>): readonly Action[] {
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
      if (this.#jobs.has(id)) this.#jobs.set(id, plan.wakeAtMs);
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
