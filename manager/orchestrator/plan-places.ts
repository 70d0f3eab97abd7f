/**
 * What the places of a service need, each a task of the newest spec: its slots, or of a global service its nodes. Pure; the
 * places are the orchestrator's index, everything else comes from the view.
 *
 * What runs and is outdated waits for its turn, which the update supervisor gives; everything else a place has by itself.
 */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { earliest } from "../loop.ts";
import type { Action } from "../store/objects.ts";
import { type NewTaskContext, newTask, planStop } from "./new-task.ts";
import { planSlot, type SlotContext } from "./plan-slot.ts";
import { planUpdate, type SlotNeed } from "./plan-update.ts";

/** The number of a slot, or the ID of a node. */
type Place = number | string;

/** Each place that the service shall have, with its tasks: dead ones included, none where it is new. */
export type Places<K extends Place> = ReadonlyMap<K, readonly Task[]>;

export interface PlaceContext extends SlotContext, NewTaskContext {}

export interface ServicePlan {
  readonly actions: readonly Action[];
  readonly wakeAtMs: number | undefined;
}

/** All of them: what each needs, and the turns of an update. */
export function planPlaces<K extends Place>(places: Places<K>, context: PlaceContext): ServicePlan {
  const needs = Array.from(places, ([place, tasks]) => needOf(place, tasks, context));
  const own = planNeeds(needs, context);
  const update = planUpdate(needs, context);
  if (update.service !== undefined && update.service.spec !== context.service.spec) {
    // Rolled back: what the places need is planned with the other spec.
    return { actions: [planStatus(update.service)], wakeAtMs: undefined };
  }
  const turns = update.turns.map(({ slot, serving }) =>
    update.startFirst ? planCreate(context, slot) : planStop(serving, context.nowMs),
  );
  const status = update.service === undefined ? [] : [planStatus(update.service)];
  return {
    actions: [...status, ...own.actions, ...turns],
    wakeAtMs: earliest(own.wakeAtMs, update.wakeAtMs),
  };
}

/** One alone, of a service that neither scales nor updates. */
export function planPlace(
  place: Place,
  tasks: readonly Task[],
  context: PlaceContext,
): ServicePlan {
  return planNeeds([needOf(place, tasks, context)], context);
}

function needOf<K extends Place>(
  slot: K,
  tasks: readonly Task[],
  context: PlaceContext,
): SlotNeed<K> {
  return { slot, tasks, plan: planSlot(tasks, context) };
}

function planNeeds(needs: readonly SlotNeed<Place>[], context: PlaceContext): ServicePlan {
  const actions: Action[] = [];
  let wakeAtMs: number | undefined;
  for (const { slot, plan } of needs) {
    actions.push(...plan.stop.map((task) => planStop(task, context.nowMs)));
    if (plan.create) actions.push(planCreate(context, slot));
    wakeAtMs = earliest(wakeAtMs, plan.wakeAtMs);
  }
  return { actions, wakeAtMs };
}

function planStatus(service: Service): Action {
  return { action: "update", kind: "service", object: service };
}

function planCreate(context: PlaceContext, place: Place): Action {
  const at = typeof place === "number" ? { slot: place } : { nodeId: place };
  return { action: "create", kind: "task", object: newTask(context, at) };
}
