/**
 * What a replicated service needs: as many slots as it has replicas, each with a task of the newest spec. Pure; the
 * slots are the orchestrator's index, everything else comes from the view.
 *
 * What runs and is outdated waits for its turn, which the update supervisor gives; everything else a slot has by itself.
 */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { earliest } from "../loop.ts";
import { wantedReplicas } from "../service-spec.ts";
import type { Action } from "../store/objects.ts";
import { isWanted, stateOf } from "../task.ts";
import { type NewTaskContext, newTask, planRemove, planStop } from "./new-task.ts";
import { newestOf, planSlot, type SlotContext } from "./plan-slot.ts";
import { planUpdate, type SlotNeed } from "./plan-update.ts";
import type { Slots } from "./slots.ts";

export interface ServiceContext extends SlotContext, NewTaskContext {
  readonly slots: Slots;
}

export interface ServicePlan {
  readonly actions: readonly Action[];
  readonly wakeAtMs: number | undefined;
}

/** The whole service: scale, update, and every slot. */
export function planService(context: ServiceContext): ServicePlan {
  const surplus = planScaleDown(context);
  const removed = new Set(surplus);
  const kept = [...context.slots.keys()].filter((slot) => !removed.has(slot));
  const needs = kept.toSorted((a, b) => a - b).map((slot) => needOf(slot, context));
  const slots = planNeeds(needs, context);
  const update = planUpdate(needs, context);
  if (update.service !== undefined && update.service.spec !== context.service.spec) {
    // Rolled back: what the slots need is planned with the other spec.
    return { actions: [planStatus(update.service)], wakeAtMs: undefined };
  }
  const turns = update.turns.map(({ slot, serving }) =>
    update.startFirst ? planCreate(context, slot) : planStop(serving, context.nowMs),
  );
  const removals = surplus
    .flatMap((slot) => context.slots.get(slot) ?? [])
    .map((task) => planRemove(task, context.nowMs));
  return {
    actions: [
      ...(update.service === undefined ? [] : [planStatus(update.service)]),
      ...removals,
      ...slots.actions,
      ...turns,
      ...planScaleUp(context, kept),
    ],
    wakeAtMs: earliest(slots.wakeAtMs, update.wakeAtMs),
  };
}

/** These slots only, of a service that neither scales nor updates. */
export function planSlots(context: ServiceContext, slots: Iterable<number>): ServicePlan {
  return planNeeds(
    [...slots].map((slot) => needOf(slot, context)),
    context,
  );
}

function needOf(slot: number, context: ServiceContext): SlotNeed<number> {
  const tasks = context.slots.get(slot) ?? [];
  return { slot, tasks, plan: planSlot(tasks, context) };
}

function planNeeds(needs: readonly SlotNeed[], context: ServiceContext): ServicePlan {
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

function planScaleUp(context: ServiceContext, kept: readonly number[]): readonly Action[] {
  const taken = new Set(kept);
  const actions: Action[] = [];
  for (let slot = 1; taken.size < wantedReplicas(context.service); slot++) {
    if (taken.has(slot)) continue;
    taken.add(slot);
    actions.push(planCreate(context, slot));
  }
  return actions;
}

/**
 * Slots to give up: what does not run first, then from the nodes that hold the most copies, then the higher numbers. With
 * an address for each slot, the higher numbers alone: those that stay keep theirs.
 */
function planScaleDown({ service, slots }: ServiceContext): readonly number[] {
  const surplus = slots.size - wantedReplicas(service);
  if (surplus <= 0) return [];
  const networks = service.spec?.task?.networks ?? [];
  if (networks.some(({ addresses }) => addresses.length > 0)) {
    return [...slots.keys()].toSorted((a, b) => b - a).slice(0, surplus);
  }
  const copiesByNode = new Map<string, number>();
  const ranked = [...slots]
    .toSorted(([a], [b]) => a - b)
    .map(([slot, tasks]) => {
      const task = newestOf(
        tasks.filter((one) => isWanted(one) && stateOf(one) === TaskState.RUNNING),
      );
      const running = task !== undefined;
      if (!running) return { slot, running, copy: 0 };
      // A node's third copy goes before any node's second: that is taking from the fullest.
      const copy = (copiesByNode.get(task.nodeId) ?? 0) + 1;
      copiesByNode.set(task.nodeId, copy);
      return { slot, running, copy };
    });
  ranked.sort(
    (a, b) => Number(a.running) - Number(b.running) || b.copy - a.copy || b.slot - a.slot,
  );
  return ranked.slice(0, surplus).map(({ slot }) => slot);
}

function planCreate(context: ServiceContext, slot: number): Action {
  return { action: "create", kind: "task", object: newTask(context, { slot }) };
}
