/** A stack file's `healthcheck` → a service's. */
import { create } from "@bufbuild/protobuf";
import { type HealthConfig, HealthConfigSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { HealthcheckEntry } from "./compose/compose-file.ts";
import { durationFromMs, parseDurationMs } from "#proto/time.ts";

export function parseHealthcheck(entry: HealthcheckEntry): HealthConfig {
  if (entry.disable === true) return create(HealthConfigSchema, { test: ["NONE"] });
  const { test = [], interval, timeout, start_period, start_interval } = entry;
  return create(HealthConfigSchema, {
    test: typeof test === "string" ? ["CMD-SHELL", test] : [...test],
    retries: entry.retries ?? 0,
    ...(interval !== undefined && { interval: durationOf(interval) }),
    ...(timeout !== undefined && { timeout: durationOf(timeout) }),
    ...(start_period !== undefined && { startPeriod: durationOf(start_period) }),
    ...(start_interval !== undefined && { startInterval: durationOf(start_interval) }),
  });
}

function durationOf(text: string) {
  return durationFromMs(parseDurationMs(text));
}
