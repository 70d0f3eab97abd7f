/**
 * What a replicated service needs: as many slots as it shall have replicas. Which of them it keeps is said here, what each
 * needs in plan-places.ts. Pure; the slots are the orchestrator's index.
 */
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeAvailability, NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { wantedReplicas } from "../service-spec.ts";
import { isWanted, stateOf } from "../task.ts";
import { planRemove } from "./new-task.ts";
import { type PlaceContext, type PlacesPlan, planPlaces } from "./plan-places.ts";
import { newestOf } from "./plan-slot.ts";
import type { Slots } from "./slots.ts";

export interface ServiceContext extends PlaceContext {
  readonly slots: Slots;
}

/** The whole service: scale, update, and every slot. */
export function planService(context: ServiceContext): PlacesPlan {
  const surplus = surplusSlots(context);
  const removals = surplus
    .flatMap((slot) => context.slots.get(slot) ?? [])
    .map((task) => planRemove(task, context.nowMs));
  const plan = planPlaces(keptSlots(context, surplus), context);
  return { ...plan, actions: [...removals, ...plan.actions] };
}

/** Those that stay, and the lowest free ones, empty, in place of those that are missing. */
function keptSlots({ service, slots }: ServiceContext, surplus: readonly number[]): Slots {
  const removed = new Set(surplus);
  const kept = new Set([...slots.keys()].filter((slot) => !removed.has(slot)));
  for (let slot = 1; kept.size < wantedReplicas(service); slot++) kept.add(slot);
  const inOrder = [...kept].toSorted((a, b) => a - b);
  return new Map<number, readonly Task[]>(inOrder.map((slot) => [slot, slots.get(slot) ?? []]));
}

/**
 * Slots to give up: what does not run first, then what is on nodes that take no tasks, then from the nodes that hold the most
 * copies, then the higher numbers. With an address for each slot, the higher numbers alone: those that stay keep theirs.
 */
export function surplusSlots({
  service,
  slots,
  node,
}: Pick<ServiceContext, "service" | "slots" | "node">): readonly number[] {
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
      if (!running) return { slot, running, settled: true, copy: 0 };
      // A node's third copy goes before any node's second: that is taking from the fullest.
      const copy = (copiesByNode.get(task.nodeId) ?? 0) + 1;
      copiesByNode.set(task.nodeId, copy);
      return { slot, running, settled: takesTasks(node(task.nodeId)), copy };
    });
  ranked.sort(
    (a, b) =>
      Number(a.running) - Number(b.running) ||
      Number(a.settled) - Number(b.settled) ||
      b.copy - a.copy ||
      b.slot - a.slot,
  );
  return ranked.slice(0, surplus).map(({ slot }) => slot);
}

/** Whether what runs there may stay: the node is neither drained or paused, nor down. */
function takesTasks(node: Node | undefined): boolean {
  return (
    node?.status?.state === NodeState.READY && node.spec?.availability === NodeAvailability.ACTIVE
  );
}
