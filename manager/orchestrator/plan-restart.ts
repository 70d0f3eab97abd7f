/**
 * Whether and when a slot whose task has ended gets a new one. The agent restarts containers in place; what arrives here
 * has used up what the agent may do, or could not start at all. Pure: everything is read off the slot's dead tasks, so
 * that a new leader decides as the old one would have.
 */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { RestartCondition, type RestartPolicy, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration, msFromTimestamp } from "#proto/time.ts";
import { isTerminal, stateOf } from "../task.ts";

const delayMsDefault = 5_000;
const backoffMsMin = 100;
const backoffMsMax = 60_000;

/** Dead tasks older than this do not lengthen the wait any more. */
const recentMs = 300_000;

export type RestartPlan =
  | { readonly restart: false; readonly reason: string }
  | { readonly restart: true; readonly dueAtMs: number };

export function conditionOf(policy: RestartPolicy | undefined): RestartCondition {
  return policy === undefined ? RestartCondition.ANY : policy.condition;
}

/** What is to follow on `ended`, a terminal task, the newest of its slot. */
export function planRestart(ended: Task, slot: readonly Task[], nowMs: number): RestartPlan {
  const policy = ended.spec?.restart;
  const condition = conditionOf(policy);
  if (condition === RestartCondition.NONE) {
    return { restart: false, reason: "the restart condition is none" };
  }
  if (condition === RestartCondition.ON_FAILURE && stateOf(ended) === TaskState.COMPLETE) {
    return { restart: false, reason: "the task completed" };
  }
  const generation = slot.filter((task) => isTerminal(task) && sameVersion(task, ended));
  const attemptsMax = Number(policy?.maxAttempts ?? 0n);
  if (attemptsMax > 0) {
    const windowMs = msFromDuration(policy?.window, 0);
    const attempts = countAttempts(generation, windowMs > 0 ? diedAtMs(ended) - windowMs : 0);
    // The first run of all is no restart, as in Swarm.
    if (attempts > attemptsMax) {
      return { restart: false, reason: `${attemptsMax} restarts are used up` };
    }
  }
  const recent = generation.filter((task) => diedAtMs(task) > nowMs - recentMs).length;
  const delayMs = msFromDuration(policy?.delay, delayMsDefault);
  return { restart: true, dueAtMs: diedAtMs(ended) + backoffMs(delayMs, recent) };
}

/** The policy's delay after the first death, doubled with each further one up to a minute; never less than the delay. */
function backoffMs(delayMs: number, deaths: number): number {
  if (deaths <= 1) return delayMs;
  const grownMs = Math.max(delayMs, backoffMsMin) * 2 ** Math.min(deaths - 1, 16);
  return Math.max(delayMs, Math.min(grownMs, backoffMsMax));
}

/** Runs of the tasks that ended after `sinceMs`, in-place restarts included. */
function countAttempts(tasks: readonly Task[], sinceMs: number): number {
  let count = 0;
  for (const task of tasks) {
    if (sinceMs <= 0) count += Math.max(task.status?.attempt ?? 0, 1);
    else {
      const earlier = (task.status?.attempts ?? []).filter(
        ({ number, endedAt }) =>
          number !== task.status?.attempt && msFromTimestamp(endedAt) >= sinceMs,
      );
      count += earlier.length + (diedAtMs(task) >= sinceMs ? 1 : 0);
    }
  }
  return count;
}

/** By the node's clock, but not after the manager heard of it: clocks differ. */
export function diedAtMs(task: Task): number {
  return Math.min(msFromTimestamp(task.status?.timestamp), msFromTimestamp(task.meta?.updatedAt));
}

function sameVersion(a: Task, b: Task): boolean {
  return a.specVersion?.index === b.specVersion?.index;
}
