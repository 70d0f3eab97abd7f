/** By what a service is scaled, and where it stands, for people. */
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { formatAgo } from "../output/age.ts";
import type { Line } from "./pretty-lines.ts";

export function autoscaleLines({ spec, autoscaleStatus: status }: Service, nowMs: number): Line[] {
  const { autoscale } = spec ?? {};
  if (autoscale === undefined) return [];
  const isMeasured = status?.measuredAt !== undefined;
  const use = (name: string, wanted: number, is: number | undefined): Line[] =>
    wanted === 0 ? [] : [[1, name, `${isMeasured ? `${is ?? 0}%` : "?"} of ${wanted}% wanted`]];
  const { scaledAt, message = "" } = status ?? {};
  return [
    [0, "Autoscale"],
    [1, "Replicas", `${autoscale.minReplicas} to ${autoscale.maxReplicas}`],
    ...use("CPU", autoscale.cpuPercent, status?.cpuPercent),
    ...use("Memory", autoscale.memoryPercent, status?.memoryPercent),
    ...(scaledAt === undefined
      ? []
      : [[1, "Last scaled", formatAgo(msFromTimestamp(scaledAt), nowMs)] as const]),
    ...(message === "" ? [] : [[1, "Message", message] as const]),
  ];
}
