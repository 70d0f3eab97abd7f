/**
 * What a job needs: of each of its runs as many tasks that complete as it asks for, never more; those of runs that nobody
 * remembers are removed. Pure.
 *
 * A run has places: slots from 1 to the number of completions, of which as many are at work as may be at a time; of a global
 * job the nodes. A place is done when one of its tasks has completed, whatever becomes of the node after that. It has
 * failed when its last task ended otherwise and the restart policy has had enough. The others go on meanwhile.
 */
import { create } from "@bufbuild/protobuf";
import type { Node, Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  NodeAvailability,
  RestartCondition,
  RestartPolicySchema,
  RunState,
  TaskState,
  VersionSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { runsOf } from "../job.ts";
import { earliest } from "../loop.ts";
import type { Action } from "../store/objects.ts";
import { isLost, isTerminal, isWanted, stateOf } from "../task.ts";
import { eligibilityFor, whyLeft } from "./eligible-nodes.ts";
import {
  type NewTaskContext,
  newTask,
  planRemove,
  planStop,
  type TaskPlace,
  waitsForOthers,
} from "./new-task.ts";
import { conditionOf, planRestart } from "./plan-restart.ts";
import { newestOf, stopWaitMsMax } from "./plan-slot.ts";

export interface RunContext {
  readonly service: Service;
  readonly nodes: readonly Node[];
  readonly node: (id: string) => Node | undefined;
  readonly nowMs: number;
}

export interface JobContext extends RunContext, NewTaskContext {}

export interface JobPlan {
  readonly actions: readonly Action[];
  readonly wakeAtMs: number | undefined;
}

interface PlacePlan {
  readonly stop: readonly Task[];
  readonly create: boolean;
  readonly state: "going" | "completed" | "failed";
  readonly wakeAtMs?: number;
}

/** `tasks`: all that the service has, without those to be removed. */
export function planJob(tasks: readonly Task[], context: JobContext): JobPlan {
  const { service, nowMs } = context;
  const runs = runsOf(service);
  const byRun = Map.groupBy(tasks, ({ jobIteration }) => jobIteration?.index ?? 0n);
  const actions: Action[] = [];
  let wakeAtMs: number | undefined;
  for (const [iteration, old] of byRun) {
    if (!runs.has(iteration)) actions.push(...old.map((task) => planRemove(task, nowMs)));
  }
  for (const [iteration, state] of runs) {
    const own = byRun.get(iteration) ?? [];
    if (state === RunState.RUNNING) {
      const plan = planRun(own, context);
      actions.push(...plan.remove.map((task) => planRemove(task, nowMs)));
      actions.push(...plan.stop.map((task) => planStop(task, nowMs)));
      for (const place of plan.create) {
        actions.push({
          action: "create",
          kind: "task",
          object: jobTask(context, place, iteration),
        });
      }
      wakeAtMs = earliest(wakeAtMs, plan.wakeAtMs);
    } else actions.push(...own.filter(isGoing).map((task) => planStop(task, nowMs)));
  }
  return { actions, wakeAtMs };
}

/** How a run that goes on stands, by its tasks. */
export function verdictOf(tasks: readonly Task[], context: RunContext): RunState {
  return planRun(tasks, context).state;
}

interface RunPlan {
  readonly remove: readonly Task[];
  readonly stop: readonly Task[];
  readonly create: readonly TaskPlace[];
  readonly state: RunState;
  readonly wakeAtMs: number | undefined;
}

function planRun(tasks: readonly Task[], context: RunContext): RunPlan {
  const { places, left, free } = placesOf(tasks, context);
  const create: TaskPlace[] = [];
  // As for global services: with a node goes what is known of its tasks.
  const remove = left.filter(({ nodeId }) => context.node(nodeId) === undefined);
  const stop = left
    .filter((task) => isGoing(task) && !remove.includes(task))
    .map((task) => leaving(task, context));
  let going = 0;
  let failed = 0;
  let wakeAtMs: number | undefined;
  for (const { place, own } of places) {
    const plan = planPlace(own, context);
    stop.push(...plan.stop);
    if (plan.create) create.push(place);
    if (plan.state === "going") going++;
    if (plan.state === "failed") failed++;
    wakeAtMs = earliest(wakeAtMs, plan.wakeAtMs);
  }
  const started = free.slice(0, Math.max(maxConcurrent(context.service) - going, 0));
  create.push(...started);
  const over = going === 0 && free.length === 0 && places.length > 0;
  const end = failed === 0 ? RunState.COMPLETED : RunState.FAILED;
  return { remove, stop, create, state: over ? end : RunState.RUNNING, wakeAtMs };
}

interface RunPlaces {
  /** Those that had a task. */
  readonly places: readonly { readonly place: TaskPlace; readonly own: readonly Task[] }[];
  /** Those that have yet to get their first. */
  readonly free: readonly TaskPlace[];
  /** Tasks that are on nodes which the job is not for any more. */
  readonly left: readonly Task[];
}

function placesOf(tasks: readonly Task[], context: RunContext): RunPlaces {
  const mode = context.service.spec?.mode;
  if (mode?.case === "globalJob") return nodePlaces(tasks, context);
  const total = mode?.case === "replicatedJob" ? Number(mode.value.totalCompletions) : 0;
  const bySlot = Map.groupBy(tasks, ({ slot }) => Number(slot));
  const places = Array.from(bySlot, ([slot, own]) => ({ place: { slot }, own }));
  const free: TaskPlace[] = [];
  for (let slot = 1; places.length + free.length < total; slot++) {
    if (!bySlot.has(slot)) free.push({ slot });
  }
  return { places, free, left: [] };
}

/** A node that completed has done so, whatever it is now. */
function nodePlaces(tasks: readonly Task[], { service, nodes }: RunContext): RunPlaces {
  const eligibility = eligibilityFor(service);
  const byNode = Map.groupBy(tasks, ({ nodeId }) => nodeId);
  const places: { place: TaskPlace; own: readonly Task[] }[] = [];
  const free: TaskPlace[] = [];
  for (const node of nodes) {
    const own = byNode.get(node.id);
    const eligible = eligibility(node);
    if (eligible === "none" && !own?.some(hasCompleted)) continue;
    byNode.delete(node.id);
    const place = { nodeId: node.id };
    if (own !== undefined) places.push({ place, own });
    else if (eligible === "takes") free.push(place);
  }
  return { places, free, left: [...byNode.values()].flat() };
}

function maxConcurrent({ spec }: Service): number {
  return spec?.mode.case === "replicatedJob" ? Number(spec.mode.value.maxConcurrent) : Infinity;
}

const going: PlacePlan = { stop: [], create: false, state: "going" };
const again: PlacePlan = { ...going, create: true };
const failed: PlacePlan = { ...going, state: "failed" };

function planPlace(tasks: readonly Task[], context: RunContext): PlacePlan {
  if (tasks.some(hasCompleted)) {
    return { ...going, stop: tasks.filter(isGoing), state: "completed" };
  }
  const newest = newestOf(tasks);
  if (newest === undefined) return again;
  const others = tasks.filter((task) => isWanted(task) && task !== newest);
  const plan = isTerminal(newest)
    ? planEnded(newest, tasks, context.nowMs)
    : planGoing(newest, context);
  return others.length === 0 ? plan : { ...plan, stop: [...others, ...plan.stop] };
}

function planGoing(task: Task, { node, nowMs }: RunContext): PlacePlan {
  // As in Swarm: of condition none, one that loses its node is not made up for.
  const next = neverRestarts(task) ? failed : again;
  if (isLost(task, node)) return { ...next, stop: isWanted(task) ? [leaving(task, { node })] : [] };
  if (!isWanted(task)) {
    const patienceEndsAtMs = msFromTimestamp(task.desiredAt) + stopWaitMsMax;
    return nowMs >= patienceEndsAtMs ? next : { ...going, wakeAtMs: patienceEndsAtMs };
  }
  const drained = node(task.nodeId)?.spec?.availability === NodeAvailability.DRAIN;
  return drained ? { ...going, stop: [leaving(task, { node })] } : going;
}

/** With why it must stop: for its node. */
function leaving(task: Task, { node }: Pick<RunContext, "node">): Task {
  return { ...task, desiredMessage: whyLeft(node(task.nodeId)) };
}

function planEnded(task: Task, tasks: readonly Task[], nowMs: number): PlacePlan {
  const stop = isWanted(task) ? [task] : [];
  const state = stateOf(task);
  // It did not end by itself, and has nothing to wait for.
  const taken = state === TaskState.ORPHANED || (!isWanted(task) && state === TaskState.SHUTDOWN);
  if (taken) return { ...(neverRestarts(task) ? failed : again), stop };
  const plan = planRestart(task, tasks, nowMs);
  if (!plan.restart) return { ...failed, stop };
  return plan.dueAtMs <= nowMs ? { ...again, stop } : { ...going, stop, wakeAtMs: plan.dueAtMs };
}

function neverRestarts({ spec }: Task): boolean {
  return conditionOf(spec?.restart) === RestartCondition.NONE;
}

function hasCompleted(task: Task): boolean {
  return stateOf(task) === TaskState.COMPLETE;
}

function isGoing(task: Task): boolean {
  return isWanted(task) && !isTerminal(task);
}

function jobTask(context: JobContext, place: TaskPlace, iteration: bigint): Task {
  const task = newTask(context, place);
  const desiredState = waitsForOthers(context.service) ? TaskState.READY : TaskState.COMPLETE;
  const jobIteration = create(VersionSchema, { index: iteration });
  return { ...task, ...(task.spec && { spec: onceOnly(task.spec) }), jobIteration, desiredState };
}

/** A job's task that has completed is not to run again, though its policy says that any is: as in Swarm. */
function onceOnly(spec: TaskSpec): TaskSpec {
  if (conditionOf(spec.restart) !== RestartCondition.ANY) return spec;
  const restart = spec.restart ?? create(RestartPolicySchema);
  return { ...spec, restart: { ...restart, condition: RestartCondition.ON_FAILURE } };
}
