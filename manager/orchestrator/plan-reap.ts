/**
 * Which tasks may be forgotten. Pure.
 *
 * A slot keeps its newest dead tasks as history. A task that was to be removed is deleted when its agent has reported its
 * end, or when no node has anything of it. A node that is down may still run its tasks, so they wait for it to come back
 * and report; a node that is gone, or was down for a day, is not waited for: its tasks become ORPHANED, as in Swarm.
 */
import type { Cluster, Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { historyLimit } from "../cluster.ts";
import { earliest } from "../loop.ts";
import type { Action } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { isAssigned, isTerminal, isWanted, managerStatus } from "../task.ts";
import { newestOf } from "./plan-slot.ts";

export const orphanAfterMs = 24 * 3_600_000;

export interface ReapPlan {
  readonly actions: readonly Action[];
  readonly wakeAtMs: number | undefined;
}

/** Tasks with desired state REMOVE that nothing is left of. */
export function planRemovals(tasks: Iterable<Task>): readonly Action[] {
  const actions: Action[] = [];
  for (const task of tasks) {
    if (task.desiredState >= TaskState.REMOVE && hasEnded(task)) actions.push(planDelete(task));
  }
  return actions;
}

/** The dead tasks of one place, a slot or a service's node, beyond what is kept. A job's completed task is not dead. */
export function planHistory(
  slot: readonly Task[],
  cluster: Cluster | undefined,
): readonly Action[] {
  const dead = slot.filter((task) => !isWanted(task) && hasEnded(task));
  if (dead.length === 0) return [];
  const newest = newestOf(slot);
  const attemptsMax = Number(newest?.spec?.restart?.maxAttempts ?? 0n);
  // Fewer would make the orchestrator forget restarts that it has to count.
  const limit = Math.max(historyLimit(cluster), attemptsMax > 0 ? attemptsMax + 1 : 0);
  const kept = dead
    .filter(isAssigned)
    .toSorted((a, b) => createdAtMs(b) - createdAtMs(a))
    .slice(0, limit);
  const keep = new Set(kept);
  // A slot whose task ended for good is known by that task alone: without it, it would be filled again.
  if (newest !== undefined) keep.add(newest);
  // Beside a task that serves until the next one runs, the one that failed to is needed, too.
  const latest = slot.toSorted((a, b) => createdAtMs(b) - createdAtMs(a))[0];
  if (latest !== undefined) keep.add(latest);
  return dead.filter((task) => !keep.has(task)).map(planDelete);
}

/** The tasks of a node that is gone or DOWN. */
export function planOrphans(view: View, nodeId: string, nowMs: number): ReapPlan {
  const node = view.get("node", nodeId);
  if (node !== undefined && node.status?.state !== NodeState.DOWN) return nothing;
  const lostAtMs = node === undefined ? nowMs : downSinceMs(node) + orphanAfterMs;
  const tasks = view.tasksOfNode(nodeId).filter((task) => !isTerminal(task) && !isWanted(task));
  if (tasks.length === 0) return nothing;
  if (nowMs < lostAtMs) return { actions: [], wakeAtMs: lostAtMs };
  return { actions: tasks.map((task) => planOrphan(task, nowMs)), wakeAtMs: undefined };
}

export function joinReapPlans(plans: Iterable<ReapPlan>): ReapPlan {
  const actions: Action[] = [];
  let wakeAtMs: number | undefined;
  for (const plan of plans) {
    actions.push(...plan.actions);
    wakeAtMs = earliest(wakeAtMs, plan.wakeAtMs);
  }
  return { actions, wakeAtMs };
}

const nothing: ReapPlan = { actions: [], wakeAtMs: undefined };

function planOrphan(task: Task, nowMs: number): Action {
  if (task.desiredState >= TaskState.REMOVE) return planDelete(task);
  const status = managerStatus({
    state: TaskState.ORPHANED,
    message: "orphaned",
    err: "the node is gone, or has been down for a day",
    nowMs,
  });
  return { action: "update", kind: "task", object: { ...task, status } };
}

function planDelete(task: Task): Action {
  return { action: "remove", kind: "task", object: task };
}

function hasEnded(task: Task): boolean {
  return isTerminal(task) || !isAssigned(task);
}

function createdAtMs(task: Task): number {
  return msFromTimestamp(task.meta?.createdAt);
}

/** The last change of a node that is DOWN is, but for edits by users, its going down. */
function downSinceMs(node: Node): number {
  return msFromTimestamp(node.meta?.updatedAt);
}
