/**
 * Where tasks go. Pure: the tasks that wait, the store and the nodes' loads in, assignments out.
 *
 * Tasks of one service and spec version form a group, since what fits one fits all. Higher priorities go first, then tasks
 * that are for one node alone. Each task of a group goes to the best node there is after the ones before it, so that a batch
 * spreads as evenly as its tasks would one by one.
 */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type SchedulingStrategy, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import type { Action } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { managerStatus } from "../task.ts";
import { Board } from "./board.ts";
import type { Candidate } from "./candidate.ts";
import { explainObstacle, explainObstacles, findObstacle, type Obstacle } from "./filters.ts";
import { hostPortsOf, type Needs, needsOf, priorityOf } from "./needs.ts";
import type { NodeLoads } from "./node-load.ts";
import { Evictions, Preemption, type Victim } from "./plan-preemption.ts";
import { openPool } from "./pool.ts";

export interface ScheduleContext {
  readonly view: View;
  readonly loads: NodeLoads;
  readonly strategy: SchedulingStrategy;
  /** Whether tasks of lower priority give way. */
  readonly preemption: boolean;
  readonly nowMs: number;
  /** How much one plan may do, in looks at a node; what is left comes back as `rest`. */
  readonly effortMax?: number;
}

export interface SchedulePlan {
  readonly actions: readonly Action[];
  /** IDs of the tasks that no node can take now, each with why. */
  readonly blocked: ReadonlyMap<string, string>;
  /** What the plan did not get to. */
  readonly rest: readonly Task[];
}

/** Tasks of a group that no node has room for. */
interface Blockade {
  readonly needs: Needs;
  /** The node that they are for alone; undefined: any. */
  readonly nodeId: string | undefined;
  readonly tasks: readonly Task[];
  /** By the task's ID: the node on which others give way to it. */
  readonly claims: ReadonlyMap<string, Candidate>;
}

interface Draft {
  readonly context: ScheduleContext;
  readonly board: Board;
  readonly actions: Action[];
  readonly blockades: Blockade[];
  readonly rest: Task[];
  readonly evictions: Evictions;
}

export function planSchedule(tasks: readonly Task[], context: ScheduleContext): SchedulePlan {
  const board = new Board(context.view, context.loads);
  const draft: Draft = {
    context,
    board,
    actions: [],
    blockades: [],
    rest: [],
    evictions: new Evictions(board),
  };
  for (const group of groupsOf(tasks)) {
    const begun = draft.actions.length + draft.blockades.length > 0;
    if (begun && isSpent(draft)) draft.rest.push(...group);
    else placeGroup(group, draft);
  }
  const blocked = new Map<string, string>();
  // At the end, when all is placed that can be: who looks again then finds the same.
  for (const blockade of draft.blockades) explain(blockade, blocked, draft);
  const evictions = draft.evictions.needed().map((one) => planEviction(one, context.nowMs));
  return { actions: [...draft.actions, ...evictions], blocked, rest: draft.rest };
}

/** In the order in which they are placed. */
export function inOrder(tasks: readonly Task[]): readonly Task[] {
  return [...groupsOf(tasks)].flat();
}

function groupsOf(tasks: readonly Task[]): readonly (readonly Task[])[] {
  const groups = Map.groupBy(tasks, groupKeyOf);
  const ranked = [...groups.values()].flatMap((group) => {
    const [first] = group;
    return first === undefined ? [] : [{ group, first }];
  });
  return ranked
    .toSorted(
      (a, b) =>
        priorityOf(b.first) - priorityOf(a.first) ||
        Number(a.first.nodeId === "") - Number(b.first.nodeId === ""),
    )
    .map(({ group }) => group);
}

/** What fits one task fits all with the same. */
export function groupKeyOf(task: Task): string {
  const { id, serviceId, specVersion, nodeId } = task;
  if (serviceId === "") return id;
  return `${nodeId}/${serviceId}/${specVersion?.index ?? 0n}/${[...hostPortsOf(task)].join()}`;
}

function isSpent({ board, context }: Draft): boolean {
  return board.effort > (context.effortMax ?? Infinity);
}

function placeGroup(group: readonly Task[], draft: Draft): void {
  const [first] = group;
  if (first === undefined) return;
  const { board, context } = draft;
  const needs = needsOf(first);
  // They do not stand in their own way.
  for (const task of group) board.get(task.nominatedNodeId)?.dropClaim(task.id);
  if (first.nodeId !== "") {
    placeOnNode(group, needs, draft);
    return;
  }
  const pool = openPool(board, { needs, ...context });
  for (const [index, task] of group.entries()) {
    const best = pool.best();
    if (best === undefined) {
      block(group.slice(index), needs, draft);
      return;
    }
    assign(task, needs, best, draft);
    pool.settle();
    if (isSpent(draft)) {
      draft.rest.push(...group.slice(index + 1));
      return;
    }
  }
}

/** Tasks that are for one node alone, as those of global services. */
function placeOnNode(group: readonly Task[], needs: Needs, draft: Draft): void {
  for (const task of group) {
    const candidate = draft.board.get(task.nodeId);
    const fits = candidate !== undefined && draft.board.fits(needs, candidate);
    if (fits) assign(task, needs, candidate, draft);
    else block([task], needs, draft);
  }
}

function assign(task: Task, needs: Needs, candidate: Candidate, draft: Draft): void {
  const granted = candidate.grant(needs);
  draft.board.place({ ...needs, wanted: true, granted }, candidate);
  const message = "scheduler assigned task to node";
  const { nowMs } = draft.context;
  const object: Task = {
    ...task,
    nodeId: candidate.node.id,
    nominatedNodeId: "",
    assignedGenericResources: [...granted],
    status: managerStatus({ state: TaskState.ASSIGNED, message, nowMs }),
  };
  draft.actions.push({ action: "update", kind: "task", object });
}

/** No node has room for them as it is: others give way, or they wait. */
function block(tasks: readonly Task[], needs: Needs, draft: Draft): void {
  const nodeId = tasks[0]?.nodeId || undefined;
  const claims = new Map<string, Candidate>();
  draft.blockades.push({ needs, nodeId, tasks, claims });
  if (!draft.context.preemption) return;
  const { board, evictions } = draft;
  const candidates = nodeId === undefined ? board.all : [board.get(nodeId) ?? []].flat();
  const preemption = new Preemption(needs, candidates, { board, evictions });
  for (const task of tasks) {
    const claimed = claimRoom(task, { needs, preemption }, draft);
    if (claimed === undefined) return;
    claims.set(task.id, claimed);
  }
}

/** The node where there will be room when all have ended that stop or are told to. */
function claimRoom(
  task: Task,
  { needs, preemption }: { readonly needs: Needs; readonly preemption: Preemption },
  draft: Draft,
): Candidate | undefined {
  const { board, evictions } = draft;
  const nominated = board.get(task.nominatedNodeId);
  if (nominated !== undefined && preemption.holds(nominated)) {
    nominated.claim(task.id, needs);
    return nominated;
  }
  const eviction = preemption.next();
  if (eviction !== undefined) evictions.add(eviction, task, needs);
  return eviction?.candidate;
}

function planEviction({ victim, task }: Victim, nowMs: number): Action {
  const name = `${task.serviceAnnotations?.name || task.serviceId}.${task.slot || task.nodeId}`;
  const desiredMessage = `preempted: gives way to ${name} of priority ${priorityOf(task)}`;
  const desiredState = TaskState.SHUTDOWN;
  const desiredAt = timestampFromMs(nowMs);
  const object = { ...victim, desiredState, desiredAt, desiredMessage };
  return { action: "update", kind: "task", object };
}

function explain(
  { needs, nodeId, tasks, claims }: Blockade,
  blocked: Map<string, string>,
  draft: Draft,
) {
  const { board, actions, context } = draft;
  const reason = nodeId === undefined ? whyNowhere(needs, board) : whyNotOn(nodeId, needs, board);
  for (const task of tasks) {
    const claimed = claims.get(task.id);
    const why =
      claimed === undefined
        ? reason
        : `waits for room on ${claimed.name}: tasks of lower priority give way`;
    blocked.set(task.id, why);
    const note = planNote(task, { why, nominatedNodeId: claimed?.node.id ?? "" }, context.nowMs);
    if (note !== undefined) actions.push(note);
  }
}

function whyNowhere(needs: Needs, board: Board): string {
  const obstacles = new Map<Obstacle, number>();
  board.effort += board.all.length;
  for (const candidate of board.all) {
    const obstacle = findObstacle(needs, candidate);
    if (obstacle !== undefined) obstacles.set(obstacle, (obstacles.get(obstacle) ?? 0) + 1);
  }
  return explainObstacles(obstacles);
}

function whyNotOn(nodeId: string, needs: Needs, board: Board): string {
  const candidate = board.get(nodeId);
  if (candidate === undefined) return "no suitable node (its node is gone)";
  return explainObstacle(findObstacle(needs, candidate) ?? "no room on {nodes}", candidate);
}

/** Tells the user why the task waits, and others for whose room; once, not with every try. */
function planNote(
  task: Task,
  { why: err, nominatedNodeId }: { readonly why: string; readonly nominatedNodeId: string },
  nowMs: number,
): Action | undefined {
  if (task.status?.err === err && task.nominatedNodeId === nominatedNodeId) return undefined;
  const message = "pending task scheduling";
  const status = managerStatus({ state: TaskState.PENDING, message, err, nowMs });
  return { action: "update", kind: "task", object: { ...task, nominatedNodeId, status } };
}
