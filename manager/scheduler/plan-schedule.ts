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
import { Preemption } from "./plan-preemption.ts";
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

interface Draft {
  readonly context: ScheduleContext;
  readonly board: Board;
  readonly actions: Action[];
  readonly blocked: Map<string, string>;
  readonly rest: Task[];
  /** The IDs of the tasks that give way. */
  readonly evicted: Set<string>;
}

export function planSchedule(tasks: readonly Task[], context: ScheduleContext): SchedulePlan {
  const board = new Board(context.view, context.loads);
  const draft: Draft = {
    context,
    board,
    actions: [],
    blocked: new Map(),
    rest: [],
    evicted: new Set(),
  };
  for (const group of groupsOf(tasks)) {
    const begun = draft.actions.length + draft.blocked.size > 0;
    if (begun && isSpent(draft)) draft.rest.push(...group);
    else placeGroup(group, draft);
  }
  const { actions, blocked, rest } = draft;
  return { actions, blocked, rest };
}

/** In the order in which they are placed. */
export function inOrder(tasks: readonly Task[]): readonly Task[] {
  return [...groupsOf(tasks)].flat();
}

function groupsOf(tasks: readonly Task[]): readonly (readonly Task[])[] {
  const groups = Map.groupBy(tasks, keyOf);
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

function keyOf(task: Task): string {
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
      const reason = explain(needs, board);
      block(group.slice(index), { needs, candidates: board.all, reason }, draft);
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
    const obstacle = candidate && findObstacle(needs, candidate);
    if (candidate === undefined) {
      block(
        [task],
        { needs, candidates: [], reason: "no suitable node (its node is gone)" },
        draft,
      );
    } else if (obstacle === undefined) {
      assign(task, needs, candidate, draft);
    } else {
      const reason = explainObstacle(obstacle, candidate);
      block([task], { needs, candidates: [candidate], reason }, draft);
    }
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

interface Blockade {
  readonly needs: Needs;
  readonly candidates: readonly Candidate[];
  readonly reason: string;
}

/** No node has room for them as it is: others give way, or they wait and say why. */
function block(
  tasks: readonly Task[],
  { needs, candidates, reason }: Blockade,
  draft: Draft,
): void {
  const { board, context, blocked, evicted } = draft;
  const preemption = context.preemption
    ? new Preemption(needs, candidates, { board, evicted })
    : undefined;
  let hopeless = preemption === undefined;
  for (const task of tasks) {
    const claimed = hopeless ? undefined : claimRoom(task, needs, preemption, draft);
    hopeless ||= claimed === undefined;
    const why = claimed === undefined ? reason : explainClaim(claimed);
    blocked.set(task.id, why);
    const note = planNote(task, { why, nominatedNodeId: claimed?.node.id ?? "" }, context.nowMs);
    if (note !== undefined) draft.actions.push(note);
  }
}

/** The node where there will be room when all have ended that stop or are told to. */
function claimRoom(
  task: Task,
  needs: Needs,
  preemption: Preemption | undefined,
  draft: Draft,
): Candidate | undefined {
  const { board, evicted, context } = draft;
  const nominated = board.get(task.nominatedNodeId);
  if (nominated !== undefined && preemption?.holds(nominated) === true) {
    nominated.claim(task.id, needs);
    return nominated;
  }
  const eviction = preemption?.next();
  if (eviction === undefined) return undefined;
  for (const victim of eviction.victims) {
    evicted.add(victim.id);
    draft.actions.push(planEviction(victim, task, context.nowMs));
  }
  eviction.candidate.claim(task.id, needs);
  return eviction.candidate;
}

function planEviction(victim: Task, task: Task, nowMs: number): Action {
  const name = `${task.serviceAnnotations?.name || task.serviceId}.${task.slot || task.nodeId}`;
  const desiredMessage = `preempted: gives way to ${name} of priority ${priorityOf(task)}`;
  const desiredState = TaskState.SHUTDOWN;
  const desiredAt = timestampFromMs(nowMs);
  const object = { ...victim, desiredState, desiredAt, desiredMessage };
  return { action: "update", kind: "task", object };
}

function explainClaim({ node }: Candidate): string {
  return `waits for room on ${node.description?.hostname || node.id}: tasks of lower priority give way`;
}

function explain(needs: Needs, board: Board): string {
  const obstacles = new Map<Obstacle, number>();
  board.effort += board.all.length;
  for (const candidate of board.all) {
    const obstacle = findObstacle(needs, candidate);
    if (obstacle !== undefined) obstacles.set(obstacle, (obstacles.get(obstacle) ?? 0) + 1);
  }
  return explainObstacles(obstacles);
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
