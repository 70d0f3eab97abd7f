/**
 * How many replicas a service would have by what its tasks use now, as Kubernetes' HPA computes it. Pure.
 *
 * Of each slot one task counts: the further one of an update that starts first does not. What is not known counts so that it
 * holds back: where more are wished for, a task without a measurement uses nothing, and where fewer are, all that it is
 * given. Tasks that have just started, or do not run yet, use nothing where more are wished for, and are left out where
 * fewer are.
 */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { wantedReplicas } from "../service-spec.ts";
import { isWanted, stateOf } from "../task.ts";
import type { Usage } from "./usage-book.ts";

/** A use so near to the target is the target. */
const tolerance = 0.1;

/** A task's first measurements are of its start. */
export const warmUpMs = 30_000;

export type Metric = "cpu" | "memory";

export interface WishContext {
  readonly service: Service;
  /** The service's. */
  readonly tasks: readonly Task[];
  readonly usageOf: (taskId: string) => Usage | undefined;
  /** How long a measurement counts. */
  readonly freshMs: number;
  readonly nowMs: number;
}

export interface MetricWish {
  readonly metric: Metric;
  /** What is wanted, and what tasks use on average, in percent of what they are given. */
  readonly targetPercent: number;
  readonly percent: number;
  readonly replicas: number;
}

/** Of each metric that the service is scaled by; those of which nothing is known are left out. */
export function wishesOf(context: WishContext): readonly MetricWish[] {
  const { cpuPercent = 0, memoryPercent = 0 } = context.service.spec?.autoscale ?? {};
  const known = knownTasks(context);
  return (
    [
      ["cpu", cpuPercent],
      ["memory", memoryPercent],
    ] as const
  ).flatMap(([metric, targetPercent]) => {
    if (targetPercent === 0) return [];
    const loads = known.flatMap(({ task, usage }) => loadOf(task, metric, usage) ?? []);
    if (loads.length === 0) return [];
    const total = loads.reduce((sum, load) => sum + load, 0);
    const replicas = replicasFor(total, {
      measured: loads.length,
      missing: known.length - loads.length,
      current: wantedReplicas(context.service),
      target: targetPercent / 100,
    });
    const percent = Math.round((total / loads.length) * 100);
    return [{ metric, targetPercent, percent, replicas }];
  });
}

interface Counts {
  readonly measured: number;
  readonly missing: number;
  readonly current: number;
  /** What a task shall use, as a share of what it is given. */
  readonly target: number;
}

/** `total`: the sum of the measured tasks' shares. */
function replicasFor(total: number, { measured, missing, current, target }: Counts): number {
  const cold = Math.max(0, current - measured - missing);
  const up = total / (measured + missing + cold) / target;
  if (up > 1 + tolerance) return Math.max(wholeTasks(total / target), current);
  const down = (total + missing * Math.max(1, target)) / (measured + missing) / target;
  if (down >= 1 - tolerance) return current;
  return Math.min(wholeTasks(down * current), current);
}

/** The least that do, but for what is lost in computing. */
function wholeTasks(tasks: number): number {
  return Math.max(Math.ceil(tasks - 1e-9), 1);
}

interface KnownTask {
  readonly task: Task;
  readonly usage: Usage | undefined;
}

/** One of each slot, of those that run and are warm, with the measurements that count. */
function knownTasks({ tasks, usageOf, freshMs, nowMs }: WishContext): readonly KnownTask[] {
  const bySlot = new Map<bigint, Task>();
  for (const task of tasks) {
    if (!isWanted(task) || stateOf(task) !== TaskState.RUNNING) continue;
    const other = bySlot.get(task.slot);
    if (other === undefined || runsSinceMs(task) < runsSinceMs(other)) bySlot.set(task.slot, task);
  }
  return [...bySlot.values()]
    .filter((task) => nowMs - runsSinceMs(task) >= warmUpMs)
    .map((task) => {
      const usage = usageOf(task.id);
      const fresh = usage !== undefined && usage.atMs <= nowMs && nowMs - usage.atMs <= freshMs;
      return { task, usage: fresh ? usage : undefined };
    });
}

/** By its node's clock, but within what managers know: clocks differ. */
function runsSinceMs({ status, meta }: Task): number {
  const saidMs = Math.max(msFromTimestamp(status?.timestamp), msFromTimestamp(meta?.createdAt));
  return Math.min(saidMs, msFromTimestamp(meta?.updatedAt));
}

/** What the task uses as a share of what it is given; undefined where either is unknown. */
function loadOf(task: Task, metric: Metric, usage: Usage | undefined): number | undefined {
  const given = givenTo(task.spec, metric);
  if (usage === undefined || given === undefined) return undefined;
  return (metric === "cpu" ? usage.nanoCpus : usage.memoryBytes) / given;
}

/** What it reserves, else its limit. */
export function givenTo(spec: TaskSpec | undefined, metric: Metric): number | undefined {
  const { reservations, limits } = spec?.resources ?? {};
  const amounts = [reservations, limits].map((resources) =>
    Number(metric === "cpu" ? resources?.nanoCpus : resources?.memoryBytes),
  );
  return amounts.find((amount) => amount > 0);
}
