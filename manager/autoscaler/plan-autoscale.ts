/**
 * How many replicas a scaled service shall have from now on. Pure: what the leader remembers of earlier rounds comes in and goes
 * out, and may be lost: a new leader begins with the number that there is.
 *
 * Measurements come and go, so a wish alone changes nothing (Kubernetes' stabilisation): fewer are taken only when no round
 * of the last minutes wished for more, more only when none wished for fewer. What a user set counts as a wish of that moment.
 */
import { create } from "@bufbuild/protobuf";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type Autoscale,
  type AutoscaleStatus,
  AutoscaleStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration, msFromTimestamp, timestampFromMs } from "#proto/time.ts";
import { wantedReplicas } from "../service-spec.ts";
import { type Metric, type MetricWish, type WishContext, wishesOf } from "./wish.ts";

/** As Kubernetes: a burst passes, and starting is dearer than staying. */
const scaleDownAfterMsDefault = 300_000;

/** Between two steps up, so that the tasks of the one before can take their share. */
const stepUpMs = 15_000;

/** What one step may come to: the larger of the two. */
const stepUpFactor = 2;
const stepUpTasks = 4;

/** How often percents and words that alone are new are written, and how often the same ones are. */
const wordsMs = 30_000;
const sameWordsMs = 300_000;

/** Without any measurement for so long, people are told. */
const silentMs = 60_000;

interface Wish {
  readonly atMs: number;
  readonly replicas: number;
}

/** What a leader remembers of a service. */
export interface Memory {
  readonly wishes: readonly Wish[];
  /** What the last round left. */
  readonly replicas: number;
  /** When anything was last measured, or the leader began. */
  readonly heardMs: number;
}

export interface AutoscaleContext extends WishContext {
  readonly memory: Memory | undefined;
}

export interface AutoscalePlan {
  /** The service with another status; undefined where there is nothing to write. */
  readonly service: Service | undefined;
  readonly memory: Memory | undefined;
}

interface Situation {
  readonly autoscale: Autoscale;
  readonly status: AutoscaleStatus | undefined;
  readonly memory: Memory;
  readonly metrics: readonly MetricWish[];
  readonly current: number;
  readonly nowMs: number;
}

export function planAutoscale(context: AutoscaleContext): AutoscalePlan {
  const { service, nowMs } = context;
  const { autoscale, mode } = service.spec ?? {};
  const { autoscaleStatus: status, ...unscaled } = service;
  if (autoscale === undefined || mode?.case !== "replicated") {
    return { service: status && unscaled, memory: undefined };
  }
  const current = wantedReplicas(service);
  const metrics = wishesOf(context);
  const memory = remember(context.memory, { autoscale, current, metrics, nowMs });
  const situation = { autoscale, status, memory, metrics, current, nowMs };
  const replicas = decide(situation);
  const next = nextStatus(situation, replicas);
  return {
    service: isNews(situation, next) ? { ...service, autoscaleStatus: next } : undefined,
    memory: { ...memory, replicas },
  };
}

function remember(
  before: Memory | undefined,
  { autoscale, current, metrics, nowMs }: Omit<Situation, "status" | "memory">,
): Memory {
  const keptMs = Math.max(downAfterMs(autoscale), upAfterMs(autoscale));
  const wishes = before?.wishes.filter(({ atMs }) => isWithin(keptMs, atMs, nowMs)) ?? [];
  const heardMs = metrics.length > 0 ? nowMs : (before?.heardMs ?? nowMs);
  // Whoever made it other than the last round left it, a user, other bounds or the leader before, had a reason; and while
  // nothing is known, nobody knows that fewer would do.
  if (before?.replicas !== current || metrics.length === 0) {
    wishes.push({ atMs: nowMs, replicas: current });
  }
  if (metrics.length > 0) wishes.push({ atMs: nowMs, replicas: wishedReplicas(metrics) });
  return { wishes, replicas: current, heardMs };
}

/** The metric that wants the most. */
function wishedReplicas(metrics: readonly MetricWish[]): number {
  return Math.max(...metrics.map(({ replicas }) => replicas));
}

function decide({ autoscale, status, memory, metrics, current, nowMs }: Situation): number {
  if (metrics.length === 0) return current;
  const wished = wishedReplicas(metrics);
  const wishesWithin = (ms: number) =>
    memory.wishes.filter(({ atMs }) => isWithin(ms, atMs, nowMs)).map((wish) => wish.replicas);
  const highest = Math.max(wished, ...wishesWithin(downAfterMs(autoscale)));
  if (wished < current) return withinBounds(Math.min(highest, current), autoscale);
  if (isWithin(stepUpMs, msFromTimestamp(status?.scaledAt), nowMs)) return current;
  const lowest = Math.min(wished, ...wishesWithin(upAfterMs(autoscale)));
  const most = Math.max(current * stepUpFactor, current + stepUpTasks);
  return withinBounds(Math.min(Math.max(lowest, current), most), autoscale);
}

function nextStatus(situation: Situation, replicas: number): AutoscaleStatus {
  const { status, metrics, memory, nowMs } = situation;
  const before = Number(status?.replicas ?? replicas);
  const isSilent = metrics.length === 0;
  const next = create(AutoscaleStatusSchema, {
    replicas: BigInt(replicas),
    message: status?.message ?? "",
    cpuPercent: percentOf("cpu", metrics) ?? status?.cpuPercent ?? 0,
    memoryPercent: percentOf("memory", metrics) ?? status?.memoryPercent ?? 0,
  });
  const scaledAt = before === replicas ? status?.scaledAt : timestampFromMs(nowMs);
  if (scaledAt !== undefined) next.scaledAt = scaledAt;
  const measuredAt = isSilent ? status?.measuredAt : timestampFromMs(nowMs);
  if (measuredAt !== undefined) next.measuredAt = measuredAt;
  if (before !== replicas) next.message = scaledWords(situation, before, replicas);
  else if (!isSilent) next.message = steadyWords(situation, replicas);
  else if (status === undefined || nowMs - memory.heardMs >= silentMs) {
    next.message = "nothing was measured of its tasks lately: there are as many as before";
  }
  return next;
}

function isNews({ status, metrics, nowMs }: Situation, next: AutoscaleStatus): boolean {
  if (status === undefined || status.replicas !== next.replicas) return true;
  const same =
    status.message === next.message &&
    status.cpuPercent === next.cpuPercent &&
    status.memoryPercent === next.memoryPercent;
  const quietMs = same ? sameWordsMs : wordsMs;
  if (same && metrics.length === 0) return false;
  return !isWithin(quietMs, msFromTimestamp(status.measuredAt), nowMs);
}

function scaledWords(situation: Situation, before: number, replicas: number): string {
  const { autoscale, current } = situation;
  const scaled = `scaled from ${before} to ${replicas}`;
  if (replicas !== current) return `${scaled}: ${metricWords(situation.metrics)}`;
  // The bounds are others.
  return `${scaled}: ${BigInt(replicas) === autoscale.maxReplicas ? "more" : "fewer"} are not allowed`;
}

function steadyWords({ metrics, autoscale }: Situation, replicas: number): string {
  const wished = wishedReplicas(metrics);
  const words = metricWords(metrics);
  if (wished === replicas) return words;
  if (BigInt(wished) > autoscale.maxReplicas && BigInt(replicas) === autoscale.maxReplicas) {
    return `${words}: ${wished} are wished for, more than ${replicas} are not allowed`;
  }
  if (wished < replicas && BigInt(replicas) === autoscale.minReplicas) {
    return `${words}: fewer than ${replicas} are not allowed`;
  }
  return `${words}: there will be ${wished}, should that go on`;
}

function metricWords(metrics: readonly MetricWish[]): string {
  return metrics
    .map(({ metric, percent, targetPercent }) => {
      const name = metric === "cpu" ? "CPU" : "memory";
      return `${name} at ${percent} %, ${targetPercent} % wanted`;
    })
    .join("; ");
}

function percentOf(metric: Metric, metrics: readonly MetricWish[]): number | undefined {
  return metrics.find((wish) => wish.metric === metric)?.percent;
}

function downAfterMs({ scaleDownAfter }: Autoscale): number {
  return msFromDuration(scaleDownAfter, scaleDownAfterMsDefault);
}

function upAfterMs({ scaleUpAfter }: Autoscale): number {
  return msFromDuration(scaleUpAfter, 0);
}

/** A clock that was set back does not count. */
function isWithin(ms: number, atMs: number, nowMs: number): boolean {
  return atMs <= nowMs && nowMs - atMs < ms;
}

function withinBounds(replicas: number, { minReplicas, maxReplicas }: Autoscale): number {
  return Math.min(Math.max(replicas, Number(minReplicas)), Number(maxReplicas));
}
