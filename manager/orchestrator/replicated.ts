/**
 * The planner behind replicated services. Folds commits into the services and slots that may need something: a status
 * update that changes nothing for a slot wakes nobody, and news of one slot does not look at its 9,999 siblings, unless
 * they take turns: while the service is updated, or leaves a node.
 */
import type { Node, Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import type { Ports } from "#proto/ports.ts";
import { clusterOf } from "../cluster.ts";
import { DirtySet } from "../loop.ts";
import type { Action, Change } from "../store/objects.ts";
import type { Planner } from "../store-loop.ts";
import type { Store, View } from "../store/store.ts";
import { isTerminal, stateOf } from "../task.ts";
import { planRemove } from "./new-task.ts";
import { planPlace } from "./plan-places.ts";
import { planService, type ServiceContext } from "./plan-replicated.ts";
import { rememberingSameSpec } from "./same-spec.ts";
import type { SlotIndex } from "./slots.ts";

export interface OrchestratorModules extends Ports {
  readonly store: Store;
  readonly slots: SlotIndex;
}

/** A slot, or with `slot` undefined the whole service, as one string: sets compare objects by identity. */
type Place = `${string}/${number | "*"}`;

export class ReplicatedOrchestrator implements Planner<Place> {
  readonly name = "replicated orchestrator";
  readonly dirty = new DirtySet<Place>();
  readonly #modules: OrchestratorModules;
  readonly #sameSpec = rememberingSameSpec();
  /** Services whose slots take turns: as their last plan found, and anew with every one. */
  readonly #inTurns = new Set<string>();

  constructor(modules: OrchestratorModules) {
    this.#modules = modules;
  }

  begin(): void {
    const { store } = this.#modules;
    for (const service of store.list("service")) this.dirty.add(`${service.id}/*`);
    // Tasks may have outlived their service under the leader before.
    for (const { serviceId } of store.list("task")) {
      if (store.get("service", serviceId) === undefined) this.dirty.add(`${serviceId}/*`);
    }
  }

  onChange(change: Change): void {
    if (change.kind === "service") {
      const id = (change.after ?? change.before)?.id;
      if (id !== undefined) this.dirty.add(`${id}/*`);
    } else if (change.kind === "node") this.#onNode(change.before, change.after);
    else if (change.kind === "task") this.#onTask(change.before, change.after);
  }

  #onNode(before: Node | undefined, after: Node | undefined): void {
    const id = (after ?? before)?.id;
    if (id === undefined) return;
    const kept =
      before?.spec?.availability === after?.spec?.availability &&
      before?.spec?.drainAtOnce === after?.spec?.drainAtOnce;
    if (kept && after !== undefined && before?.status?.state === after.status?.state) return;
    for (const task of this.#modules.store.tasksOfNode(id)) this.#onSlot(task, !kept);
  }

  #onTask(before: Task | undefined, after: Task | undefined): void {
    const task = after ?? before;
    if (task === undefined || task.serviceId === "") return;
    const same =
      before !== undefined &&
      after !== undefined &&
      before.desiredState === after.desiredState &&
      before.nodeId === after.nodeId &&
      before.moves === after.moves &&
      isTerminal(before) === isTerminal(after);
    const progressed =
      before?.status?.attempt !== after?.status?.attempt ||
      before?.status?.state !== after?.status?.state;
    const moves = task.moves && !same;
    const counts = this.#inTurns.has(task.serviceId) || this.#takesOver(task);
    if (!same || (progressed && counts)) this.#onSlot(task, moves);
  }

  /** Also when its update is over: one that could not start in time may do so later. */
  #takesOver(task: Task): boolean {
    const { slots } = this.#modules;
    return (
      stateOf(task) === TaskState.RUNNING &&
      slots.tasksOf(task.serviceId, Number(task.slot)).length > 1
    );
  }

  #onSlot(task: Task, whole: boolean): void {
    if (task.serviceId === "") return;
    const all = whole || this.#inTurns.has(task.serviceId);
    this.dirty.add(`${task.serviceId}/${all ? "*" : Number(task.slot)}`);
  }

  plan(view: View, places: ReadonlySet<Place>): readonly Action[] {
    const actions: Action[] = [];
    const nowMs = this.#modules.clock.now();
    for (const [serviceId, slots] of groupPlaces(places)) {
      const service = view.get("service", serviceId);
      if (service === undefined) {
        this.#inTurns.delete(serviceId);
        const tasks = view.tasksOfService(serviceId);
        const left = tasks.filter(({ desiredState }) => desiredState < TaskState.REMOVE);
        actions.push(...left.map((task) => planRemove(task, nowMs)));
      } else if (service.spec?.mode.case === "replicated") {
        actions.push(...this.#planService(service, slots, view));
      }
    }
    return actions;
  }

  #planService(service: Service, slots: ReadonlySet<number> | "*", view: View): readonly Action[] {
    const context: ServiceContext = {
      service,
      slots: this.#modules.slots.slotsOf(service.id),
      node: (id) => view.get("node", id),
      sameSpec: this.#sameSpec,
      nowMs: this.#modules.clock.now(),
      newTaskId: () => newId(this.#modules.random),
      logDriver: clusterOf(view)?.spec?.taskDefaults?.logDriver,
    };
    // A slot that lost its last task changes the count.
    const whole = slots === "*" || slots.values().some((slot) => !context.slots.has(slot));
    if (whole) {
      const plan = planService(context);
      if (plan.turns) this.#inTurns.add(service.id);
      else this.#inTurns.delete(service.id);
      this.dirty.awaits(`${service.id}/*`, plan.wakeAtMs);
      return plan.actions;
    }
    return [...slots].flatMap((slot) => {
      const plan = planPlace(slot, context.slots.get(slot) ?? [], context);
      this.dirty.awaits(`${service.id}/${slot}`, plan.wakeAtMs);
      return plan.actions;
    });
  }
}

/** The slots to look at, service by service; "*" where it is all of them. */
function groupPlaces(places: ReadonlySet<Place>): Map<string, Set<number> | "*"> {
  const services = new Map<string, Set<number> | "*">();
  for (const place of places) {
    const cut = place.lastIndexOf("/");
    const serviceId = place.slice(0, cut);
    const slots = services.get(serviceId);
    const slot = place.slice(cut + 1);
    if (slot === "*") services.set(serviceId, "*");
    else if (slots === undefined) services.set(serviceId, new Set([Number(slot)]));
    else if (slots !== "*") slots.add(Number(slot));
  }
  return services;
}
