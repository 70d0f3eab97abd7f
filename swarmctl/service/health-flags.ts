/** The flags of a health check, as Docker's, and what they make of one that the service has. */
import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { type HealthConfig, HealthConfigSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { duration, flag } from "../flags/parse-flag.ts";

export interface HealthFlags {
  readonly healthCmd?: string;
  readonly healthInterval?: Duration;
  readonly healthTimeout?: Duration;
  readonly healthRetries?: number;
  readonly healthStartPeriod?: Duration;
  readonly healthStartInterval?: Duration;
  /** commander's name for --no-healthcheck: true unless it is given. */
  readonly healthcheck?: boolean;
}

export function addHealthFlags(command: Command): void {
  command.optionsGroup("Health:");
  command
    .option("--health-cmd <command>", "run by a shell in the container to check its health")
    .option("--health-interval <duration>", "between checks (default 30s)", flag(duration))
    .option("--health-timeout <duration>", "for one check (default 30s)", flag(duration))
    .option("--health-retries <n>", "failures in a row (default 3)", flag(retries))
    .option("--health-start-period <duration>", "failures do not count in it", flag(duration))
    .option("--health-start-interval <duration>", "in the start period (5s)", flag(duration))
    .option("--no-healthcheck", "turn off the image's health check");
}

/** Undefined where no flag speaks of it. */
export function healthFromFlags(
  flags: HealthFlags,
  before?: HealthConfig,
): HealthConfig | undefined {
  const { healthCmd, healthInterval, healthTimeout, healthRetries } = flags;
  const { healthStartPeriod, healthStartInterval } = flags;
  const given = {
    ...(healthCmd !== undefined && { test: healthCmd === "" ? [] : ["CMD-SHELL", healthCmd] }),
    ...(healthInterval !== undefined && { interval: healthInterval }),
    ...(healthTimeout !== undefined && { timeout: healthTimeout }),
    ...(healthRetries !== undefined && { retries: healthRetries }),
    ...(healthStartPeriod !== undefined && { startPeriod: healthStartPeriod }),
    ...(healthStartInterval !== undefined && { startInterval: healthStartInterval }),
  };
  const speaks = Object.keys(given).length > 0;
  if (flags.healthcheck === false) {
    if (!speaks) return create(HealthConfigSchema, { test: ["NONE"] });
    throw new Fault("invalid-argument", "--no-healthcheck does not go with --health-… flags");
  }
  if (!speaks) return undefined;
  // Settings for a check that was turned off turn it on again.
  const isOff = before === undefined || before.test[0] === "NONE";
  return { ...(isOff ? create(HealthConfigSchema) : before), ...given };
}

function retries(text: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  throw new Fault("invalid-argument", "Write a whole number of 0 or more");
}
