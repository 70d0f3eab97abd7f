/**
 * Where tasks go. Pure: the tasks that wait, the nodes and their loads in, assignments out.
 *
 * Tasks of one service and spec version form a group, since what fits one fits all. Each task of a group goes to the
 * best node there is after the ones before it, so that a batch spreads as evenly as its tasks would one by one: nodes on
 * which the version keeps failing last, then the fewest tasks of the service, then the fewest tasks.
 */
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Action } from "../store/objects.ts";
import { managerStatus } from "../task.ts";
import { type Candidate, explainObstacles, type Filter, findObstacle } from "./filters.ts";
import type { PortKey } from "../allocator/port-book.ts";
import {
  capacityOf,
  hostPortsOf,
  keepsFailing,
  type NodeLoad,
  reservationOf,
} from "./node-load.ts";

export interface ScheduleContext {
  readonly nodes: readonly Node[];
  readonly load: (nodeId: string) => NodeLoad;
  readonly nowMs: number;
}

export interface SchedulePlan {
  readonly actions: readonly Action[];
  /** IDs of the tasks that no node can take now, each with why. */
  readonly blocked: ReadonlyMap<string, string>;
}

/** A node while the batch is being placed: as it is, plus what was already put on it. */
interface Bench extends Candidate {
  free: { nanoCpus: number; memoryBytes: number };
  tasks: number;
  tasksOfService: number;
  readonly tasksByService: Map<string, number>;
  readonly takenPorts: Set<PortKey>;
  lastResort: boolean;
}

export function planSchedule(tasks: readonly Task[], context: ScheduleContext): SchedulePlan {
  const benches = context.nodes.map((node) => benchOf(node, context.load(node.id)));
  const actions: Action[] = [];
  const blocked = new Map<string, string>();
  for (const group of groupsOf(tasks)) {
    const [first] = group;
    if (first === undefined) continue;
    for (const bench of benches) prepare(bench, first, context);
    const usable = benches.filter((bench) => findObstacle(first, bench) === undefined);
    for (const task of group) {
      const best = pickBest(task, usable);
      if (best === undefined) {
        const reason = explain(task, benches);
        blocked.set(task.id, reason);
        const note = planNote(task, reason, context.nowMs);
        if (note !== undefined) actions.push(note);
      } else {
        place(task, best);
        actions.push(planAssign(task, best.node.id, context.nowMs));
      }
    }
  }
  return { actions, blocked };
}

function benchOf(node: Node, load: NodeLoad): Bench {
  const capacity = capacityOf(node);
  return {
    node,
    free: {
      nanoCpus: capacity.nanoCpus - load.reserved.nanoCpus,
      memoryBytes: capacity.memoryBytes - load.reserved.memoryBytes,
    },
    tasks: load.tasks,
    tasksByService: new Map(load.tasksByService),
    tasksOfService: 0,
    takenPorts: new Set(load.hostPorts.keys()),
    lastResort: false,
  };
}

function prepare(bench: Bench, task: Task, context: ScheduleContext): void {
  bench.tasksOfService = bench.tasksByService.get(task.serviceId) ?? 0;
  bench.lastResort = keepsFailing(context.load(bench.node.id), task, context.nowMs);
}

function pickBest(task: Task, usable: readonly Bench[]): Bench | undefined {
  let best: Bench | undefined;
  for (const bench of usable) {
    if (best !== undefined && !ranksBefore(bench, best)) continue;
    // Places may have run out since the group began.
    if (findObstacle(task, bench) === undefined) best = bench;
  }
  return best;
}

function ranksBefore(a: Bench, b: Bench): boolean {
  if (a.lastResort !== b.lastResort) return b.lastResort;
  if (a.tasksOfService !== b.tasksOfService) return a.tasksOfService < b.tasksOfService;
  return a.tasks < b.tasks;
}

function place(task: Task, bench: Bench): void {
  const { nanoCpus, memoryBytes } = reservationOf(task);
  bench.free.nanoCpus -= nanoCpus;
  bench.free.memoryBytes -= memoryBytes;
  bench.tasks++;
  bench.tasksOfService++;
  bench.tasksByService.set(task.serviceId, bench.tasksOfService);
  for (const port of hostPortsOf(task)) bench.takenPorts.add(port);
}

function explain(task: Task, benches: readonly Bench[]): string {
  const obstacles = new Map<Filter, number>();
  for (const bench of benches) {
    const obstacle = findObstacle(task, bench);
    if (obstacle !== undefined) obstacles.set(obstacle, (obstacles.get(obstacle) ?? 0) + 1);
  }
  return explainObstacles(obstacles);
}

function planAssign(task: Task, nodeId: string, nowMs: number): Action {
  const message = "scheduler assigned task to node";
  const status = managerStatus({ state: TaskState.ASSIGNED, message, nowMs });
  return { action: "update", kind: "task", object: { ...task, nodeId, status } };
}

/** Tells the user why the task waits; once, not with every try. */
function planNote(task: Task, err: string, nowMs: number): Action | undefined {
  if (task.status?.err === err) return undefined;
  const message = "pending task scheduling";
  const status = managerStatus({ state: TaskState.PENDING, message, err, nowMs });
  return { action: "update", kind: "task", object: { ...task, status } };
}

function groupsOf(tasks: readonly Task[]): Iterable<readonly Task[]> {
  return Map.groupBy(tasks, (task) =>
    task.serviceId === "" ? task.id : `${task.serviceId}/${task.specVersion?.index ?? 0n}`,
  ).values();
}
