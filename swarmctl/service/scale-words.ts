/** Schedules and autoscaling in a few words, for lists, `inspect --pretty` and progress. */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { formatSpan } from "../output/age.ts";

/** "*\/5 * * * * Europe/Berlin, next in 4 minutes" */
export function scheduleWord({ spec, scheduleStatus }: Service, nowMs: number): string {
  const { schedule } = spec ?? {};
  if (schedule === undefined) return "";
  const zone = schedule.timeZone === "" ? "" : ` ${schedule.timeZone}`;
  const nextAt = scheduleStatus?.nextAt;
  const next = schedule.suspended
    ? ", suspended"
    : nextAt === undefined
      ? ""
      : `, next ${formatUntil(msFromTimestamp(nextAt), nowMs)}`;
  return `${schedule.cron}${zone}${next}`;
}

export function formatUntil(atMs: number, nowMs: number): string {
  return atMs <= nowMs ? "now" : `in ${formatSpan(atMs - nowMs)}`;
}

/** "2-10, cpu 63%/70%": the bounds, and of what is looked at what it is and what it shall be. */
export function autoscaleWord({ spec, autoscaleStatus }: Service): string {
  const { autoscale } = spec ?? {};
  if (autoscale === undefined) return "";
  const isMeasured = autoscaleStatus?.measuredAt !== undefined;
  const use = (name: string, is: number | undefined, wanted: number) =>
    wanted === 0 ? [] : [`${name} ${isMeasured ? `${is ?? 0}%` : "?"}/${wanted}%`];
  return [
    `${autoscale.minReplicas}-${autoscale.maxReplicas}`,
    ...use("cpu", autoscaleStatus?.cpuPercent, autoscale.cpuPercent),
    ...use("memory", autoscaleStatus?.memoryPercent, autoscale.memoryPercent),
  ].join(", ");
}

/** How many replicas a replicated service shall have: the spec's number, or within its bounds what its use asks for. */
export function wantedReplicas({ spec, autoscaleStatus }: Service): bigint {
  if (spec?.mode.case !== "replicated") return 0n;
  const { replicas } = spec.mode.value;
  const { autoscale } = spec;
  if (autoscale === undefined) return replicas;
  const found = autoscaleStatus?.replicas ?? replicas;
  if (found < autoscale.minReplicas) return autoscale.minReplicas;
  return found > autoscale.maxReplicas ? autoscale.maxReplicas : found;
}
