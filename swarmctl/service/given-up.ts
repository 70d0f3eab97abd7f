/** Which slots of a service the managers have given up, told from its tasks as the managers tell it. Pure. */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { RestartCondition, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration, msFromTimestamp } from "#proto/time.ts";
import { ended } from "../task/rows.ts";
import { placeOf } from "./words.ts";

/** Of tasks made from one spec, the last of a slot that gets no further one: it completed, or its restarts are used up. */
export function findGivenUp(tasks: readonly Task[]): Task | undefined {
  for (const slot of Map.groupBy(tasks, placeOf).values()) {
    const [newest] = slot.toSorted((a, b) => createdAtMs(b) - createdAtMs(a));
    if (newest === undefined || newest.desiredState !== TaskState.SHUTDOWN) continue;
    if (ended(newest.status?.state ?? TaskState.NEW) && isGivenUp(newest, slot)) return newest;
  }
  return undefined;
}

/** The same of one run of a job, whose tasks are to complete. */
export function findFailedPlace(tasks: readonly Task[]): Task | undefined {
  for (const place of Map.groupBy(tasks, placeOf).values()) {
    const [newest] = place.toSorted((a, b) => createdAtMs(b) - createdAtMs(a));
    const state = newest?.status?.state ?? TaskState.NEW;
    if (newest === undefined || !ended(state) || state === TaskState.COMPLETE) continue;
    const isNever = newest.spec?.restart?.condition === RestartCondition.NONE;
    if (isNever || isGivenUp(newest, place)) return newest;
  }
  return undefined;
}

/** With a window restarts come free again, so that may yet go on. */
function isGivenUp({ spec, status }: Task, slot: readonly Task[]): boolean {
  const { condition, maxAttempts = 0n, window } = spec?.restart ?? {};
  if (condition === RestartCondition.ON_FAILURE && status?.state === TaskState.COMPLETE) {
    return true;
  }
  if (maxAttempts === 0n || msFromDuration(window, 0) > 0) return false;
  const runs = slot.reduce((sum, task) => sum + Math.max(task.status?.attempt ?? 0, 1), 0);
  return BigInt(runs) > maxAttempts;
}

function createdAtMs(task: Task): number {
  return msFromTimestamp(task.meta?.createdAt);
}
