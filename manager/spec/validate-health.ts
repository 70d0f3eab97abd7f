/** What a health check must look like, as Docker has it. Pure. */
import type { HealthConfig } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration } from "#proto/time.ts";
import { checkRange, invalid } from "./field.ts";

/** No use is known for more, and every failure of a container that is ill costs its users the interval. */
const retriesMax = 1_000_000;

export function checkHealth(path: string, health: HealthConfig): void {
  checkTest(`${path}.test`, health.test);
  const { interval, timeout, startPeriod, startInterval, retries } = health;
  const durations = {
    interval,
    timeout,
    start_period: startPeriod,
    start_interval: startInterval,
  };
  for (const [field, duration] of Object.entries(durations)) {
    const ms = msFromDuration(duration, 0);
    if (ms === 0 || ms >= 1) continue;
    throw invalid(`${path}.${field}`, `is ${ms} ms: use at least 1 ms, or 0 for the default`);
  }
  checkRange(`${path}.retries`, retries, { min: 0, max: retriesMax });
}

/** The empty test is the image's. */
function checkTest(path: string, test: readonly string[]): void {
  const [kind, ...words] = test;
  if (words.some((word) => word.includes("\0"))) throw invalid(path, "has a NUL character");
  switch (kind) {
    case undefined:
      return;
    case "NONE":
      if (words.length > 0) throw invalid(path, "NONE takes nothing after it");
      return;
    case "CMD":
      if ((words[0] ?? "") === "") throw invalid(path, "CMD needs a program after it");
      return;
    case "CMD-SHELL":
      if (words.length !== 1) throw invalid(path, "CMD-SHELL takes one command line after it");
      return;
    default:
      throw invalid(path, `begins with "${kind}": use CMD, CMD-SHELL or NONE`);
  }
}
