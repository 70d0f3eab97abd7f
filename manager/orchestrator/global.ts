/**
 * The planner behind global services. Folds commits into the services and nodes that may need something: news of one node's
 * task does not look at the other nodes, unless the service is being updated.
 */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import type { Ports } from "#proto/ports.ts";
import { clusterOf } from "../cluster.ts";
import { DirtySet } from "../loop.ts";
import type { Action, Change } from "../store/objects.ts";
import type { Planner } from "../store-loop.ts";
import type { Store, View } from "../store/store.ts";
import { isAvailable } from "../scheduler/node-load.ts";
import { isTerminal, isWanted, stateOf } from "../task.ts";
import { type GlobalContext, type NodePlan, planGlobal, planGlobalNode } from "./plan-global.ts";
import { isOfVersion } from "./plan-slot.ts";
import { rememberingSameSpec } from "./same-spec.ts";
import { takesTurns } from "./update-config.ts";

interface Modules extends Ports {
  readonly store: Store;
}

/** A service on a node, or with "*" on all of them, as one string: sets compare objects by identity. */
type Place = `${string}/${string}`;

export class GlobalOrchestrator implements Planner<Place> {
  readonly name = "global orchestrator";
  readonly dirty = new DirtySet<Place>();
  readonly #modules: Modules;
  readonly #sameSpec = rememberingSameSpec();
  readonly #services = new Set<string>();

  constructor(modules: Modules) {
    this.#modules = modules;
  }

  begin(): void {
    for (const service of this.#modules.store.list("service")) this.#onService(service);
  }

  onChange(change: Change): void {
    if (change.kind === "service") {
      if (change.after !== undefined) this.#onService(change.after);
      else if (change.before !== undefined) this.#services.delete(change.before.id);
    } else if (change.kind === "node") {
      const { before, after } = change;
      const id = (after ?? before)?.id;
      const isBack = before && after && !isAvailable(before) && isAvailable(after);
      if (id === undefined) return;
      for (const service of this.#services) {
        // Its turns are the whole service's matter.
        if (isBack && this.#hasMissed(service, id)) this.dirty.add(`${service}/*`);
        else this.#onPlace(service, id);
      }
    } else if (change.kind === "task") this.#onTask(change.before, change.after);
  }

  /** Whether the node was not there, or paused, while the service was updated. */
  #hasMissed(serviceId: string, nodeId: string): boolean {
    const { store } = this.#modules;
    const service = store.get("service", serviceId);
    const tasks = store.tasksOfNode(nodeId).filter((task) => task.serviceId === serviceId);
    return (
      service !== undefined && tasks.some((task) => isWanted(task) && !isOfVersion(task, service))
    );
  }

  #onService(service: Service): void {
    if (service.spec?.mode.case !== "global") return;
    this.#services.add(service.id);
    this.dirty.add(`${service.id}/*`);
  }

  #onTask(before: Task | undefined, after: Task | undefined): void {
    const task = after ?? before;
    if (task === undefined || !this.#services.has(task.serviceId)) return;
    const same =
      before !== undefined &&
      after !== undefined &&
      before.desiredState === after.desiredState &&
      isTerminal(before) === isTerminal(after);
    const progressed =
      before?.status?.attempt !== after?.status?.attempt ||
      before?.status?.state !== after?.status?.state;
    // One that could not start in time takes over when its update is over.
    const counts = stateOf(task) === TaskState.RUNNING || this.#isUpdating(task.serviceId);
    if (!same || (progressed && counts)) this.#onPlace(task.serviceId, task.nodeId);
  }

  #onPlace(serviceId: string, nodeId: string): void {
    this.dirty.add(`${serviceId}/${this.#isUpdating(serviceId) ? "*" : nodeId}`);
  }

  #isUpdating(serviceId: string): boolean {
    const service = this.#modules.store.get("service", serviceId);
    return service !== undefined && takesTurns(service);
  }

  plan(view: View, places: ReadonlySet<Place>): readonly Action[] {
    const actions: Action[] = [];
    for (const place of places) {
      const [serviceId = "", nodeId = ""] = place.split("/");
      const service = view.get("service", serviceId);
      if (service?.spec?.mode.case !== "global") continue;
      // What is planned for the whole must not be planned for one again.
      if (nodeId !== "*" && places.has(`${serviceId}/*`)) continue;
      const plan = this.#planPlace(service, nodeId, view);
      actions.push(...plan.actions);
      this.dirty.awaits(place, plan.wakeAtMs);
    }
    return actions;
  }

  #planPlace(service: Service, nodeId: string, view: View): NodePlan {
    const context: GlobalContext = {
      service,
      // All of them are asked for only where the whole service is planned.
      get nodes() {
        return view.list("node");
      },
      node: (id) => view.get("node", id),
      tasksOn: (id) => view.tasksOfNode(id).filter((task) => isOf(task, service)),
      sameSpec: this.#sameSpec,
      nowMs: this.#modules.clock.now(),
      newTaskId: () => newId(this.#modules.random),
      logDriver: clusterOf(view)?.spec?.taskDefaults?.logDriver,
    };
    if (nodeId !== "*") return planGlobalNode(nodeId, context);
    const tasks = view.tasksOfService(service.id).filter((task) => isOf(task, service));
    return planGlobal(tasks, context);
  }
}

function isOf(task: Task, service: Service): boolean {
  return task.serviceId === service.id && task.desiredState < TaskState.REMOVE;
}
