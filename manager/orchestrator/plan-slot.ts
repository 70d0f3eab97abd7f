/**
 * What one slot of a replicated service needs: nothing, its task stopped, a new task, or patience. Pure.
 *
 * A slot is known by its newest task. Invariant: a slot has at most one task that is wanted (desired state RUNNING).
 */
import type { Node, Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeAvailability, RestartCondition, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { isLost, isTerminal, isWanted, stateOf } from "../task.ts";
import { conditionOf, planRestart } from "./plan-restart.ts";
import { hasPortsOf } from "./same-ports.ts";
import type { SameSpec } from "./same-spec.ts";

/** How long a new task waits for its predecessor to stop, as in Swarm. */
const stopWaitMsMax = 60_000;

export interface SlotContext {
  readonly service: Service;
  readonly node: (id: string) => Node | undefined;
  readonly sameSpec: SameSpec;
  readonly nowMs: number;
}

export interface SlotPlan {
  /** The task that is to be given the desired state SHUTDOWN. */
  readonly stop?: Task;
  /** Whether a new task is to be made, now. */
  readonly create: boolean;
  /** When the slot must be looked at again without any news of it. */
  readonly wakeAtMs?: number;
  /**
   * settled: as the service wants it, or dead for good.
   * unsettled: on the way there.
   * outdated: runs, but not what the service wants now; an update has to take it on.
   */
  readonly progress: "settled" | "unsettled" | "outdated";
}

const settled: SlotPlan = { create: false, progress: "settled" };
const unsettled: SlotPlan = { create: false, progress: "unsettled" };

export function planSlot(tasks: readonly Task[], context: SlotContext): SlotPlan {
  const newest = newestOf(tasks);
  if (newest === undefined) return { create: true, progress: "unsettled" };
  if (!isWanted(newest)) return planStopped(newest, tasks, context);
  if (isTerminal(newest)) return { ...planEnded(newest, tasks, context), stop: newest };
  return planWanted(newest, context);
}

function planWanted(task: Task, context: SlotContext): SlotPlan {
  const outdated = isOutdated(task, context);
  // Swarm, too, gives up a task of condition none when it has to leave its node.
  const successor = outdated || !neverRestarts(task);
  const progress = successor ? "unsettled" : "settled";
  if (isLost(task, context.node)) return { stop: task, create: successor, progress };
  // Its successor comes when it has stopped: the two could not share what it has.
  if (isDrained(task, context)) return { stop: task, create: false, progress };
  const running = stateOf(task) === TaskState.RUNNING;
  if (!outdated) return running ? settled : unsettled;
  // What does not run yet has nothing to lose: it is replaced out of turn.
  return running
    ? { create: false, progress: "outdated" }
    : { stop: task, create: true, progress: "unsettled" };
}

/** A task that was told to stop. */
function planStopped(task: Task, tasks: readonly Task[], context: SlotContext): SlotPlan {
  if (isTerminal(task)) return planEnded(task, tasks, context);
  if (!isOutdated(task, context) && neverRestarts(task)) return settled;
  if (isLost(task, context.node)) return { create: true, progress: "unsettled" };
  // Tasks of an earlier version do not say when they were told.
  const toldAt = task.desiredAt ?? task.meta?.updatedAt;
  const patienceEndsAtMs = msFromTimestamp(toldAt) + stopWaitMsMax;
  if (context.nowMs >= patienceEndsAtMs) return { create: true, progress: "unsettled" };
  return { ...unsettled, wakeAtMs: patienceEndsAtMs };
}

/** A task that has ended. */
function planEnded(task: Task, tasks: readonly Task[], context: SlotContext): SlotPlan {
  if (isOutdated(task, context)) return { create: true, progress: "unsettled" };
  // It stopped because it was told to, and did nothing that it would have to wait for.
  const obeyed = !isWanted(task) && stateOf(task) === TaskState.SHUTDOWN;
  if (obeyed && !neverRestarts(task)) return { create: true, progress: "unsettled" };
  const plan = planRestart(task, tasks, context.nowMs);
  if (!plan.restart) return settled;
  if (plan.dueAtMs <= context.nowMs) return { create: true, progress: "unsettled" };
  return { ...unsettled, wakeAtMs: plan.dueAtMs };
}

/** What a slot is known by: a wanted task before others, then the one made last. */
export function newestOf(tasks: readonly Task[]): Task | undefined {
  let newest: Task | undefined;
  for (const task of tasks) {
    if (newest === undefined || isNewer(task, newest)) newest = task;
  }
  return newest;
}

function isNewer(a: Task, b: Task): boolean {
  if (isWanted(a) !== isWanted(b)) return isWanted(a);
  const aMs = msFromTimestamp(a.meta?.createdAt);
  const bMs = msFromTimestamp(b.meta?.createdAt);
  return aMs === bMs ? a.id > b.id : aMs > bMs;
}

function isOutdated(task: Task, { service, sameSpec }: SlotContext): boolean {
  return !sameSpec(task.spec, service.spec?.task) || !hasPortsOf(task, service.spec?.endpoint);
}

function neverRestarts(task: Task): boolean {
  return conditionOf(task.spec?.restart) === RestartCondition.NONE;
}

function isDrained(task: Task, context: SlotContext): boolean {
  return context.node(task.nodeId)?.spec?.availability === NodeAvailability.DRAIN;
}
