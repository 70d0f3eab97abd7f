/**
 * What the places of a service need, each a task of the newest spec: its slots, or of a global service its nodes. Pure; the
 * places are the orchestrator's index, everything else comes from the view.
 *
 * What runs and is outdated waits for its turn, which the update supervisor gives; everything else a place has by itself.
 */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { earliest } from "../loop.ts";
import type { Action } from "../store/objects.ts";
import { isTerminal } from "../task.ts";
import { type NewTaskContext, newTask, planStop } from "./new-task.ts";
import { planSlot, type SlotContext, whyLeaves } from "./plan-slot.ts";
import { beforeUpdate, heldSlots } from "./plan-canaries.ts";
import { beginUpdate, isMoving, planUpdate, type SlotNeed } from "./plan-update.ts";
import { takesTurns } from "./update-config.ts";

/** The number of a slot, or the ID of a node. */
type Place = number | string;

/** Each place that the service shall have, with its tasks: dead ones included, none where it is new. */
export type Places<K extends Place> = ReadonlyMap<K, readonly Task[]>;

export interface PlaceContext extends SlotContext, NewTaskContext {}

export interface ServicePlan {
  readonly actions: readonly Action[];
  readonly wakeAtMs: number | undefined;
}

export interface PlacesPlan extends ServicePlan {
  /** News of one place concern the others: they take turns. */
  readonly turns: boolean;
}

/** All of them: what each needs, and the turns of an update or of a move. */
export function planPlaces<K extends Place>(places: Places<K>, context: PlaceContext): PlacesPlan {
  const plain = Array.from(places, ([place, tasks]) => needOf(place, tasks, context));
  const service = beginUpdate(plain, context);
  const begun = { ...context, service };
  const before = { ...context, service: beforeUpdate(service) };
  const held = heldSlots(plain, begun);
  const needs = plain.map((need) =>
    held.has(need.slot) ? { ...needOf(need.slot, need.tasks, before), held: true } : need,
  );
  const update = planUpdate(needs, begun);
  const status = update.service ?? service;
  if (status.spec !== service.spec) {
    // Rolled back: what the places need is planned with the other spec.
    return { actions: [planStatus(status)], wakeAtMs: undefined, turns: true };
  }
  const contextOf = (place: K) => (held.has(place) ? before : context);
  const own = planNeeds(needs, contextOf);
  const turns = update.turns.map(({ slot, serving }) =>
    update.startFirst ? planCreate(contextOf(slot), slot) : planLeave(serving, context),
  );
  const news = status === context.service ? [] : [planStatus(status)];
  return {
    actions: [...news, ...own.actions, ...turns],
    wakeAtMs: earliest(own.wakeAtMs, update.wakeAtMs),
    turns:
      takesTurns(service) ||
      needs.some((need) => need.plan.progress === "due" || isMoving(need, context)),
  };
}

/** One alone, of a service whose places do not take turns. */
export function planPlace(
  place: Place,
  tasks: readonly Task[],
  context: PlaceContext,
): ServicePlan {
  return planNeeds([needOf(place, tasks, context)], () => context);
}

function needOf<K extends Place>(
  slot: K,
  tasks: readonly Task[],
  context: PlaceContext,
): SlotNeed<K> {
  return { slot, tasks, plan: planSlot(tasks, context), held: false };
}

function planNeeds<K extends Place>(
  needs: readonly SlotNeed<K>[],
  contextOf: (place: K) => PlaceContext,
): ServicePlan {
  const actions: Action[] = [];
  let wakeAtMs: number | undefined;
  for (const { slot, plan } of needs) {
    const context = contextOf(slot);
    actions.push(...plan.stop.map((task) => planLeave(task, context)));
    if (plan.create) actions.push(planCreate(context, slot));
    wakeAtMs = earliest(wakeAtMs, plan.wakeAtMs);
  }
  return { actions, wakeAtMs };
}

/** Told to stop, and why, where that is its node's matter. */
function planLeave(task: Task, context: PlaceContext): Action {
  const why = isTerminal(task) ? "" : whyLeaves(task, context);
  return planStop(why === "" ? task : { ...task, desiredMessage: why }, context.nowMs);
}

function planStatus(service: Service): Action {
  return { action: "update", kind: "service", object: service };
}

function planCreate(context: PlaceContext, place: Place): Action {
  const at = typeof place === "number" ? { slot: place } : { nodeId: place };
  return { action: "create", kind: "task", object: newTask(context, at) };
}
