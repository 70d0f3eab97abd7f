/** A stack file's `healthcheck` → a service's. */
import { create } from "@bufbuild/protobuf";
import { type HealthConfig, HealthConfigSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { HealthcheckEntry } from "../compose/compose-file.ts";
import { parseDuration } from "./duration.ts";
import type { Reader } from "./reader.ts";

export function healthcheck(reader: Reader, entry: HealthcheckEntry): HealthConfig {
  if (entry.disable === true) return create(HealthConfigSchema, { test: ["NONE"] });
  const durationAt = (key: DurationKey) => reader.one(key, entry[key], parseDuration);
  const interval = durationAt("interval");
  const timeout = durationAt("timeout");
  const startPeriod = durationAt("start_period");
  const startInterval = durationAt("start_interval");
  return create(HealthConfigSchema, {
    test: [...(entry.test ?? [])],
    retries: entry.retries ?? 0,
    ...(interval !== undefined && { interval }),
    ...(timeout !== undefined && { timeout }),
    ...(startPeriod !== undefined && { startPeriod }),
    ...(startInterval !== undefined && { startInterval }),
  });
}

type DurationKey = "interval" | "timeout" | "start_period" | "start_interval";
