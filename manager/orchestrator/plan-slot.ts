/**
 * What one slot of a replicated service needs: nothing, its task stopped, a new task, or patience. Pure.
 *
 * A slot is known by its newest task. Invariant: at most two tasks are wanted (desired state RUNNING), one of the newest
 * spec, on a node that keeps it, and one that serves until that one runs; but for services that start first there is one.
 */
import type { Node, Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeAvailability, RestartCondition, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { meetsConstraints, readableConstraints } from "../scheduler/constraint.ts";
import { runsAnyOf, wantedPlatforms } from "../scheduler/platform.ts";
import { isAssigned, isLost, isTerminal, isWanted, stateOf } from "../task.ts";
import { conditionOf, planRestart } from "./plan-restart.ts";
import { hasPortsOf } from "./same-ports.ts";
import type { SameSpec } from "./same-spec.ts";

/** How long a new task waits for its predecessor to stop, as in Swarm. */
export const stopWaitMsMax = 60_000;

export interface SlotContext {
  readonly service: Service;
  readonly node: (id: string) => Node | undefined;
  readonly sameSpec: SameSpec;
  readonly nowMs: number;
}

export interface SlotPlan {
  /** The tasks that are to be given the desired state SHUTDOWN. */
  readonly stop: readonly Task[];
  /** Whether a new task is to be made, now. */
  readonly create: boolean;
  /** When the slot must be looked at again without any news of it. */
  readonly wakeAtMs?: number;
  /**
   * settled: as the service wants it, or dead for good.
   * unsettled: on the way there.
   * due: runs, but not what the service wants now, or not where; it waits for its turn.
   */
  readonly progress: "settled" | "unsettled" | "due";
  /** Of a slot that is due, the task that runs. */
  readonly serving?: Task;
}

const settled: SlotPlan = { stop: [], create: false, progress: "settled" };
const unsettled: SlotPlan = { ...settled, progress: "unsettled" };
const empty: SlotPlan = { stop: [], create: true, progress: "unsettled" };

export function planSlot(tasks: readonly Task[], context: SlotContext): SlotPlan {
  return inPatience(planTasks(tasks, context), tasks, context);
}

/** A new task comes when those that are told to stop have stopped, for they could not share what a slot has; or after a while. */
function inPatience(plan: SlotPlan, tasks: readonly Task[], context: SlotContext): SlotPlan {
  if (!plan.create) return plan;
  const endsAtMs = tasks
    .filter((task) => isStopping(task, plan, context))
    .map((task) => (isWanted(task) ? context.nowMs + stopWaitMsMax : patienceEndsAtMs(task)));
  const lastMs = Math.max(...endsAtMs, 0);
  if (lastMs <= context.nowMs) return plan;
  return { ...plan, create: false, progress: "unsettled", wakeAtMs: lastMs };
}

function isStopping(task: Task, { stop }: SlotPlan, { node }: SlotContext): boolean {
  if (isWanted(task) && !stop.includes(task)) return false;
  return isAssigned(task) && !isTerminal(task) && !isLost(task, node);
}

function patienceEndsAtMs({ desiredAt, meta }: Task): number {
  // Tasks of an earlier version do not say when they were told.
  return msFromTimestamp(desiredAt ?? meta?.updatedAt) + stopWaitMsMax;
}

function planTasks(tasks: readonly Task[], context: SlotContext): SlotPlan {
  const wanted = tasks.filter(isWanted);
  const current = wanted.filter((task) => !isDue(task, context));
  const fresh = newestOf(current.filter(isRunning)) ?? newestOf(current);
  const serving = newestOf(wanted.filter((task) => isServing(task, context)));
  if (fresh !== undefined) return planFresh(fresh, serving, { tasks, context });
  if (serving === undefined) {
    const newest = newestOf(tasks);
    if (newest === undefined) return empty;
    const others = wanted.filter((task) => task !== newest);
    return withStopped(others, planTask(newest, tasks, context));
  }
  const others = wanted.filter((task) => task !== serving);
  return withStopped(others, planRetry(serving, tasks, context));
}

interface Place {
  readonly tasks: readonly Task[];
  readonly context: SlotContext;
}

/** A task of the newest spec is there. One that serves meanwhile goes when this one runs. */
function planFresh(fresh: Task, serving: Task | undefined, { tasks, context }: Place): SlotPlan {
  const plan = planTask(fresh, tasks, context);
  const taken = isRunning(fresh) && plan.stop.length === 0;
  const others = tasks.filter(
    (task) => isWanted(task) && task !== fresh && (taken || task !== serving),
  );
  return withStopped(others, plan);
}

/** Only an old task serves. Where the new one beside it has ended, its restart is due to the policy and not to the update. */
function planRetry(serving: Task, tasks: readonly Task[], context: SlotContext): SlotPlan {
  const failed = newestOf(
    tasks.filter(
      (task) =>
        isOfVersion(task, context.service) &&
        !isDue(task, context) &&
        createdAtMs(task) >= createdAtMs(serving),
    ),
  );
  if (failed === undefined) return { ...settled, progress: "due", serving };
  return planStopped(failed, tasks, context);
}

function planTask(task: Task, tasks: readonly Task[], context: SlotContext): SlotPlan {
  if (!isWanted(task)) return planStopped(task, tasks, context);
  if (isTerminal(task)) return withStopped([task], planEnded(task, tasks, context));
  return planWanted(task, context);
}

function withStopped(stop: readonly Task[], plan: SlotPlan): SlotPlan {
  return stop.length === 0 ? plan : { ...plan, stop: [...stop, ...plan.stop] };
}

function planWanted(task: Task, context: SlotContext): SlotPlan {
  const outdated = isOutdated(task, context);
  // Swarm, too, gives up a task of condition none when it has to leave its node.
  const successor = outdated || !neverRestarts(task);
  const progress = successor ? "unsettled" : "settled";
  if (isLost(task, context.node)) return { stop: [task], create: successor, progress };
  // Its successor comes when it has stopped: the two could not share what it has.
  if (isExpelled(task, context) || isLeaving(task, context))
    return { stop: [task], create: false, progress };
  // What does not run yet has nothing to lose: it is replaced out of turn.
  if (outdated) return { ...empty, stop: [task] };
  return isRunning(task) ? settled : unsettled;
}

/** A task that was told to stop. */
function planStopped(task: Task, tasks: readonly Task[], context: SlotContext): SlotPlan {
  if (isTerminal(task)) return planEnded(task, tasks, context);
  return !isOutdated(task, context) && neverRestarts(task) ? settled : empty;
}

/** A task that has ended. */
function planEnded(task: Task, tasks: readonly Task[], context: SlotContext): SlotPlan {
  if (isOutdated(task, context)) return empty;
  // It stopped because it was told to, and did nothing that it would have to wait for.
  const obeyed = !isWanted(task) && stateOf(task) === TaskState.SHUTDOWN;
  if (obeyed && !neverRestarts(task)) return empty;
  const plan = planRestart(task, tasks, context.nowMs);
  if (!plan.restart) return settled;
  if (plan.dueAtMs <= context.nowMs) return empty;
  return { ...unsettled, wakeAtMs: plan.dueAtMs };
}

/** What a slot is known by: a wanted task before others, then the one told to stop last, then the one made last. */
export function newestOf(tasks: readonly Task[]): Task | undefined {
  let newest: Task | undefined;
  for (const task of tasks) {
    if (newest === undefined || isNewer(task, newest)) newest = task;
  }
  return newest;
}

function isNewer(a: Task, b: Task): boolean {
  if (isWanted(a) !== isWanted(b)) return isWanted(a);
  // One that was to take over and was called off has ended before the one that it was made after.
  if (!isWanted(a) && a.desiredAt !== undefined && b.desiredAt !== undefined) {
    const laterMs = msFromTimestamp(a.desiredAt) - msFromTimestamp(b.desiredAt);
    if (laterMs !== 0) return laterMs > 0;
  }
  const aMs = createdAtMs(a);
  const bMs = createdAtMs(b);
  return aMs === bMs ? a.id > b.id : aMs > bMs;
}

function createdAtMs(task: Task): number {
  return msFromTimestamp(task.meta?.createdAt);
}

function isRunning(task: Task): boolean {
  return stateOf(task) === TaskState.RUNNING;
}

/** Runs what the service does not want any more, or not there, and may do so until a new task takes over. */
function isServing(task: Task, context: SlotContext): boolean {
  return (
    isRunning(task) &&
    isDue(task, context) &&
    !isLost(task, context.node) &&
    !isExpelled(task, context) &&
    // Nothing takes over from one that is never started again.
    (isOutdated(task, context) || !neverRestarts(task))
  );
}

function isDue(task: Task, context: SlotContext): boolean {
  return isOutdated(task, context) || isLeaving(task, context);
}

/** Shall be replaced by one elsewhere, in its turn. */
export function isLeaving(task: Task, { node }: Pick<SlotContext, "node">): boolean {
  const spec = node(task.nodeId)?.spec;
  return task.moves || (spec?.availability === NodeAvailability.DRAIN && !spec.drainAtOnce);
}

/** Empty: it does not have to leave its node. */
export function whyLeaves(task: Task, context: SlotContext): string {
  if (isLost(task, context.node)) return "its node is down";
  if (task.moves) return "moved by a rebalance";
  return isLeaving(task, context) || isExpelled(task, context) ? "its node is drained" : "";
}

/** Has to leave its node whatever that takes away. */
function isExpelled(task: Task, { node }: SlotContext): boolean {
  const spec = node(task.nodeId)?.spec;
  return spec?.availability === NodeAvailability.DRAIN && spec.drainAtOnce;
}

/** Made since the service has its present spec. */
export function isOfVersion(task: Task, service: Service): boolean {
  return task.specVersion?.index === service.specVersion?.index;
}

/** It is not what the service wants; but what runs where it may is not moved for a change of where it may alone. */
export function isOutdated(
  task: Task,
  { service, sameSpec, node }: Pick<SlotContext, "service" | "sameSpec" | "node">,
): boolean {
  const wants = service.spec?.task;
  const likeness = sameSpec(task.spec, wants);
  if (likeness === "other") return true;
  if (likeness === "placement" && !suits(node(task.nodeId), wants)) return true;
  return !hasPortsOf(task, service.spec?.endpoint);
}

function suits(node: Node | undefined, spec: TaskSpec | undefined): boolean {
  return (
    node !== undefined &&
    meetsConstraints(node, readableConstraints(spec?.placement?.constraints ?? [])) &&
    runsAnyOf(node, wantedPlatforms(spec))
  );
}

function neverRestarts(task: Task): boolean {
  return conditionOf(task.spec?.restart) === RestartCondition.NONE;
}
