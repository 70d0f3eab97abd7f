/**
 * Which tasks a service's change would cost: what an update, or scaling down, does in the end, asked before it is done.
 * Pure, and by the functions that do it.
 */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { isJob, runsOf } from "../job.ts";
import type { View } from "../store/store.ts";
import { isTerminal, isWanted } from "../task.ts";
import { isOutdated } from "./plan-slot.ts";
import { surplusSlots } from "./plan-replicated.ts";
import { sameSpec } from "./same-spec.ts";

/** Those of the service as it is to be that would be replaced or removed, in the order of their slots. */
export function replacedTasks(service: Service, view: View): readonly Task[] {
  const tasks = view
    .tasksOfService(service.id)
    .filter(({ desiredState }) => desiredState < TaskState.REMOVE);
  const alive = tasks.filter((task) => isWanted(task) && !isTerminal(task)).toSorted(bySlot);
  const mode = service.spec?.mode.case;
  if (isJob(service)) {
    const runs = runsOf(service);
    return alive.filter(({ jobIteration }) => !runs.has(jobIteration?.index ?? 0n));
  }
  const slots = Map.groupBy(tasks, ({ slot }) => Number(slot));
  const context = { service, slots, sameSpec, node: (id: string) => view.get("node", id) };
  const surplus = new Set(mode === "replicated" ? surplusSlots(context) : []);
  return alive.filter((task) => surplus.has(Number(task.slot)) || isOutdated(task, context));
}

function bySlot(a: Task, b: Task): number {
  return Number(a.slot - b.slot) || (a.id < b.id ? -1 : 1);
}
