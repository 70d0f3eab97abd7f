/**
 * How fast the scheduler places tasks: the very plan that the leader makes, in parts of the same size, with the nodes' loads
 * folded from each part before the next, in one process. What is left out is the log: no part is written.
 */
import { create } from "@bufbuild/protobuf";
import { type Node, NodeSchema, type Task, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type TaskSpec, TaskSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeState, SchedulingStrategy, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import { NodeLoads } from "#manager/scheduler/node-load.ts";
import { planSchedule } from "#manager/scheduler/plan-schedule.ts";
import { effortMax, partTasksMax } from "#manager/scheduler/scheduler.ts";
import type { View } from "#manager/store/store.ts";
import { openTestStore } from "#manager/testing/fixtures.ts";

/** Of each service. */
const replicas = 100;

/** The sizes that are measured, as shares of the one asked for: growth shows between them. */
const shares = [0.1, 0.3, 1] as const;

const zones = 3;

export interface SchedulerSize {
  readonly nodes: number;
  readonly tasks: number;
}

export interface SchedulerTrial extends SchedulerSize {
  readonly placed: number;
  readonly ms: number;
  /** The longest time for which planning one part holds the event loop. */
  readonly longestPartMs: number;
  /** The most tasks that any node has, less the fewest. */
  readonly unevenness: number;
}

export async function* benchScheduler(size: SchedulerSize): AsyncIterable<SchedulerTrial> {
  const [first, ...others] = shares.map((share) => ({
    nodes: Math.max(1, Math.round(size.nodes * share)),
    tasks: Math.max(1, Math.round(size.tasks * share)),
  }));
  if (first === undefined) return;
  // Once for the compiler, whose work would else be the smallest size's alone.
  await measure(first);
  for (const one of [first, ...others]) yield await measure(one);
}

async function measure(size: SchedulerSize): Promise<SchedulerTrial> {
  const nodes = Array.from({ length: size.nodes }, (_, index) => makeNode(index, size));
  const { store, put } = openTestStore();
  await put("node", ...nodes);
  const loads = new NodeLoads(store);
  let ms = 0;
  let longestPartMs = 0;
  let placed = 0;
  let waiting: readonly Task[] = [];
  for (let made = 0; made < size.tasks || waiting.length > 0; ) {
    const count = Math.min(partTasksMax - waiting.length, size.tasks - made);
    const tasks = [...waiting, ...Array.from({ length: count }, (_, n) => makeTask(made + n))];
    made += count;
    const beganMs = systemClock.monotonic();
    const plan = place(tasks, store, loads);
    const plannedMs = systemClock.monotonic();
    waiting = plan.rest;
    placed += plan.placed;
    for (const fold of plan.folds) fold();
    ms += systemClock.monotonic() - beganMs;
    longestPartMs = Math.max(longestPartMs, plannedMs - beganMs);
    if (plan.placed === 0) break;
  }
  const counts = nodes.map(({ id }) => loads.of(id).tasks);
  return { ...size, placed, ms, longestPartMs, unevenness: spanOf(counts) };
}

function place(tasks: readonly Task[], view: View, loads: NodeLoads) {
  const { actions, rest, blocked } = planSchedule(tasks, {
    view,
    loads,
    strategy: SchedulingStrategy.SPREAD,
    preemption: false,
    nowMs: systemClock.now(),
    effortMax,
  });
  const before = new Map(tasks.map((task) => [task.id, task]));
  const folds = actions.map(({ kind, object }) => () => {
    if (kind === "task") loads.onChange({ kind, before: before.get(object.id), after: object });
  });
  return { folds, rest, placed: actions.length - blocked.size };
}

/** With room for its share of all tasks, and a bit more. */
function makeNode(index: number, { nodes, tasks }: SchedulerSize): Node {
  const share = BigInt(Math.ceil((tasks / nodes) * 1.5) + 10);
  return create(NodeSchema, {
    id: `node${index}`,
    number: index,
    spec: { annotations: { labels: { zone: `zone${index % zones}` } } },
    status: { state: NodeState.READY },
    description: {
      platform: { os: "linux", architecture: "amd64" },
      resources: { nanoCpus: share * specCpus, memoryBytes: share * specMemory },
    },
  });
}

const specCpus = 100_000_000n;
const specMemory = 64n * 1024n * 1024n;

/** A third of all services each: nothing asked for, room reserved, a constraint. */
const specs: readonly TaskSpec[] = [
  create(TaskSpecSchema, {}),
  create(TaskSpecSchema, {
    resources: { reservations: { nanoCpus: specCpus, memoryBytes: specMemory } },
  }),
  create(TaskSpecSchema, { placement: { constraints: ["node.labels.zone != other"] } }),
];

function makeTask(index: number): Task {
  const service = Math.floor(index / replicas);
  const task = create(TaskSchema, {
    id: `task${index}`,
    serviceId: `service${service}`,
    specVersion: { index: 1n },
    slot: BigInt((index % replicas) + 1),
    desiredState: TaskState.RUNNING,
    status: { state: TaskState.PENDING },
  });
  const spec = specs[service % specs.length];
  if (spec !== undefined) task.spec = spec;
  return task;
}

function spanOf(counts: readonly number[]): number {
  let least = Infinity;
  let most = 0;
  for (const count of counts) {
    least = Math.min(least, count);
    most = Math.max(most, count);
  }
  return most - least;
}
