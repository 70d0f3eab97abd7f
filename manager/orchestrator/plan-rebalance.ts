/**
 * Which tasks of a service shall move so that it is spread as evenly as the scheduler would spread it now: over the values
 * of its preferred labels first, then over nodes. Pure, and by the scheduler's own filters: what is chosen has somewhere to
 * go. As few as can be: nothing moves where it makes a difference of less than two.
 */
import { toBinary } from "@bufbuild/protobuf";
import { type Node, type Service, type Task, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeAvailability, RestartCondition, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { Candidate } from "../scheduler/candidate.ts";
import { findObstacle } from "../scheduler/filters.ts";
import { type Needs, needsOf } from "../scheduler/needs.ts";
import type { NodeLoads } from "../scheduler/node-load.ts";
import { holdingOf } from "../scheduler/tally.ts";
import type { Action } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { isWanted, stateOf } from "../task.ts";
import { conditionOf } from "./plan-restart.ts";

/** What one step marks at most: what a transaction takes, and what may be thought out without keeping others waiting. */
const stepBytes = 2 * 1024 * 1024;
const stepMoves = 500;

interface StepContext extends Pick<RebalanceContext, "takes" | "nowMs"> {
  readonly view: View;
  /** Asked for where something is chosen, which most steps do not: it takes a look at every task there is. */
  readonly loads: () => NodeLoads;
}

/**
 * The next step of a service's rebalance: its tasks are marked, or all that were have moved. What is chosen is chosen once,
 * but for very many tasks, so that a rebalance comes to an end wherever the scheduler puts the new ones.
 */
export function planRebalanceStep(service: Service, context: StepContext): readonly Action[] {
  const { view } = context;
  const { rebalances, rebalancesBegun, rebalancesDone } = service;
  const tasks = view.tasksOfService(service.id).filter(isWanted);
  if (tasks.some(({ moves }) => moves)) return [];
  if (rebalancesBegun === rebalances && rebalancesDone !== rebalances) {
    return [planService({ ...service, rebalancesDone: rebalances })];
  }
  const movable = tasks.filter((task) => mayMove(task, view));
  const nodes = view.list("node");
  const loads = context.loads();
  const chosen = planRebalance(movable, { ...context, service, nodes, loads });
  const [first] = chosen;
  if (first === undefined) {
    if (rebalancesDone === rebalances) return [];
    const done = { rebalancesBegun: rebalances, rebalancesDone: rebalances };
    return [planService({ ...service, ...done })];
  }
  const part = chosen.slice(0, Math.ceil(stepBytes / toBinary(TaskSchema, first).length));
  // Unasked, it counts all the same.
  const number = rebalancesDone === rebalances ? rebalances + 1n : rebalances;
  const isAll = part.length === chosen.length && chosen.length < stepMoves;
  const begun = isAll ? number : rebalancesBegun;
  return [
    planService({ ...service, rebalances: number, rebalancesBegun: begun }),
    ...part.map((task): Action => {
      return { action: "update", kind: "task", object: { ...task, moves: true } };
    }),
  ];
}

function planService(object: Service): Action {
  return { action: "update", kind: "service", object };
}

/** It runs on a node that takes tasks, too, and would be made again elsewhere. */
function mayMove(task: Task, view: View): boolean {
  const availability = view.get("node", task.nodeId)?.spec?.availability;
  return (
    stateOf(task) === TaskState.RUNNING &&
    availability === NodeAvailability.ACTIVE &&
    conditionOf(task.spec?.restart) !== RestartCondition.NONE
  );
}

export interface RebalanceContext {
  /** What moves is made anew from its spec: where its tasks may go is asked of that, not of theirs. */
  readonly service: Service;
  readonly nodes: readonly Node[];
  readonly loads: NodeLoads;
  /** Whether the node may be given tasks. */
  readonly takes: (node: Node) => boolean;
  readonly nowMs: number;
}

/** A node as it would be after the moves so far. */
interface Site {
  readonly candidate: Candidate;
  /** Its tasks that may move, those that came last at the end. */
  readonly movable: Task[];
  readonly mayTake: boolean;
}

/** At most as many as a step takes. `movable`: tasks of the service. */
export function planRebalance(
  movable: readonly Task[],
  { service, nodes, loads, takes, nowMs }: RebalanceContext,
): readonly Task[] {
  const [first] = movable;
  if (first === undefined) return [];
  const needs = needsOf(asNew(first, service));
  const failing = new Set(loads.failingNodes(needs.serviceId, needs.specVersion, nowMs));
  const byNode = Map.groupBy(movable, ({ nodeId }) => nodeId);
  const sites = nodes.map((node) => ({
    candidate: new Candidate(node, loads.of(node.id)),
    movable: (byNode.get(node.id) ?? []).toSorted(byAge),
    mayTake: takes(node) && !failing.has(node.id),
  }));
  const chosen: Task[] = [];
  while (chosen.length < stepMoves) {
    const move = findMove(sites, needs, 0);
    const task = move?.from.movable.pop();
    if (move === undefined || task === undefined) break;
    const holding = holdingOf(task);
    move.from.candidate.remove(holding);
    move.to.candidate.place({ ...holding, granted: move.to.candidate.grant(needs) });
    chosen.push(task);
  }
  return chosen;
}

function asNew(task: Task, { spec, specVersion }: Service): Task {
  const { spec: _, specVersion: __, ...kept } = task;
  return {
    ...kept,
    ...(spec?.task === undefined ? {} : { spec: spec.task }),
    ...(specVersion === undefined ? {} : { specVersion }),
  };
}

interface Move {
  readonly from: Site;
  readonly to: Site;
}

/** The one that evens out most, on the outermost level that is uneven. */
function findMove(sites: readonly Site[], needs: Needs, depth: number): Move | undefined {
  const parts = partsOf(sites, needs, depth);
  const fullest: Search = { needs, may: canGive, before: (a, b) => a > b };
  const emptiest: Search = { needs, may: (site) => canTake(site, needs), before: (a, b) => a < b };
  const [giver, taker] = [bestOf(parts, fullest), bestOf(parts, emptiest)];
  if (giver === undefined || taker === undefined) return undefined;
  if (countOf(giver, needs) - countOf(taker, needs) >= 2) {
    const from = descend(giver, fullest, depth);
    const to = descend(taker, emptiest, depth);
    return from && to && { from, to };
  }
  if (needs.spreadOver[depth] === undefined) return undefined;
  for (const part of parts) {
    const move = findMove(part, needs, depth + 1);
    if (move !== undefined) return move;
  }
  return undefined;
}

/** By the value of the label of this depth; below the last one each node is a part. */
function partsOf(
  sites: readonly Site[],
  { spreadOver }: Needs,
  depth: number,
): readonly (readonly Site[])[] {
  const read = spreadOver[depth];
  if (read === undefined) return sites.map((site) => [site]);
  return [...Map.groupBy(sites, ({ candidate }) => read(candidate.node)).values()];
}

interface Search {
  readonly needs: Needs;
  readonly may: (site: Site) => boolean;
  /** By how many tasks of the service there are. */
  readonly before: (a: number, b: number) => boolean;
}

/** The site that is first on every level on the way down. */
function descend(part: readonly Site[], search: Search, depth: number): Site | undefined {
  const [only, ...others] = part;
  if (others.length === 0) return only;
  const best = bestOf(partsOf(part, search.needs, depth + 1), search);
  return best && descend(best, search, depth + 1);
}

function bestOf(
  parts: readonly (readonly Site[])[],
  { needs, may, before }: Search,
): readonly Site[] | undefined {
  let best: readonly Site[] | undefined;
  let bestCount = 0;
  for (const part of parts) {
    const count = countOf(part, needs);
    if (best !== undefined && !before(count, bestCount)) continue;
    if (!part.some(may)) continue;
    best = part;
    bestCount = count;
  }
  return best;
}

function countOf(part: readonly Site[], { serviceId }: Needs): number {
  let count = 0;
  for (const { candidate } of part) count += candidate.wantedOf(serviceId);
  return count;
}

function canGive({ movable }: Site): boolean {
  return movable.length > 0;
}

function canTake({ candidate, mayTake }: Site, needs: Needs): boolean {
  return mayTake && findObstacle(needs, candidate) === undefined;
}

function byAge(a: Task, b: Task): number {
  const olderMs = msFromTimestamp(a.meta?.createdAt) - msFromTimestamp(b.meta?.createdAt);
  return olderMs || (a.id < b.id ? -1 : 1);
}
