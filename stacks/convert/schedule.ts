/** Ours: `deploy.x-schedule`, when a job runs, and `deploy.x-autoscale`, how many replicas there are by what they use. */
import { create } from "@bufbuild/protobuf";
import {
  type Autoscale,
  AutoscaleSchema,
  type JobSchedule,
  JobScheduleSchema,
  RunOverlap,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { DeployEntry } from "../compose/compose-file.ts";
import type { AutoscaleEntry } from "../compose/extensions.ts";
import { parseNotNegative } from "./duration.ts";
import { type Reader, refusal } from "./reader.ts";

const overlaps = {
  forbid: RunOverlap.FORBID,
  allow: RunOverlap.ALLOW,
  replace: RunOverlap.REPLACE,
} as const;

/** `reader`: of `deploy`. */
export function schedule(
  reader: Reader,
  { mode, "x-schedule": given }: DeployEntry,
): JobSchedule | undefined {
  if (given === undefined) return undefined;
  const place = reader.under("x-schedule");
  if (mode !== "replicated-job" && mode !== "global-job") {
    throw place.fault("goes with a job: write mode: replicated-job or global-job beside it");
  }
  const entry = typeof given === "string" ? { cron: given } : given;
  const startingDeadline = place.one(
    "starting_deadline",
    entry.starting_deadline,
    parseNotNegative,
  );
  const { keep_completed: keepCompleted, keep_failed: keepFailed } = entry;
  return create(JobScheduleSchema, {
    cron: entry.cron,
    timeZone: entry.time_zone ?? "",
    overlap: overlaps[entry.overlap ?? "forbid"],
    suspended: entry.suspended ?? false,
    ...(keepCompleted !== undefined && { keepCompleted }),
    ...(keepFailed !== undefined && { keepFailed }),
    ...(startingDeadline !== undefined && { startingDeadline }),
  });
}

/** `reader`: of `deploy`. */
export function autoscale(
  reader: Reader,
  { mode = "replicated", "x-autoscale": entry }: DeployEntry,
): Autoscale | undefined {
  if (entry === undefined) return undefined;
  const place = reader.under("x-autoscale");
  if (mode !== "replicated") throw place.fault(`does not go with mode ${mode}`);
  const percentAt = (key: "cpu" | "memory") => place.one(key, entry[key], parsePercent) ?? 0;
  const durationAt = (key: "scale_up_after" | "scale_down_after") =>
    place.one(key, entry[key], parseNotNegative);
  const scaleUpAfter = durationAt("scale_up_after");
  const scaleDownAfter = durationAt("scale_down_after");
  checkBounds(place, entry);
  return create(AutoscaleSchema, {
    minReplicas: BigInt(entry.min ?? 1),
    maxReplicas: BigInt(entry.max),
    cpuPercent: percentAt("cpu"),
    memoryPercent: percentAt("memory"),
    ...(scaleUpAfter !== undefined && { scaleUpAfter }),
    ...(scaleDownAfter !== undefined && { scaleDownAfter }),
  });
}

function checkBounds(place: Reader, { min = 1, max, cpu, memory }: AutoscaleEntry): void {
  if (max < min) throw place.under("max").fault(`is ${max}, less than min, which is ${min}`);
  if (cpu === undefined && memory === undefined) {
    throw place.fault("says by what to scale neither with cpu nor with memory, such as cpu: 70%");
  }
}

/** "70%", "70" or 70. */
function parsePercent(given: string | number): number {
  const percent = Number(/^(\d{1,4})%?$/.exec(String(given))?.[1]);
  if (percent >= 1) return percent;
  throw refusal(`"${given}" is not a percentage such as 70%`);
}
