/** The flags of when a task's container is started again. */
import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import {
  RestartCondition,
  type RestartPolicy,
  RestartPolicySchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { duration, flag, wholeNumber } from "../flags/parse-flag.ts";
import { restartCondition } from "./words.ts";

export interface RestartFlags {
  readonly restartCondition?: RestartCondition;
  readonly restartDelay?: Duration;
  readonly restartMaxAttempts?: bigint;
  readonly restartWindow?: Duration;
}

export function addRestartFlags(command: Command): void {
  command.optionsGroup("Restarts:");
  command
    .option(
      "--restart-condition <word>",
      "any (default), on-failure (default of jobs) or none",
      flag(restartCondition),
    )
    .option("--restart-delay <duration>", "between attempts (default 5s)", flag(duration))
    .option("--restart-max-attempts <n>", "0 (default): no limit", flag(wholeNumber))
    .option("--restart-window <duration>", "in which attempts count", flag(duration));
}

/** A new service's: always, as Docker's. A job's: until it has ended well. */
export function newRestart(given: RestartFlags, isJob = false): RestartPolicy {
  const condition = isJob ? RestartCondition.ON_FAILURE : RestartCondition.ANY;
  const usual = create(RestartPolicySchema, { condition });
  return changedRestart(usual, given) ?? usual;
}

/** As before where no flag speaks of it: another spec would replace the tasks. */
export function changedRestart(
  before: RestartPolicy | undefined,
  given: RestartFlags,
): RestartPolicy | undefined {
  const { restartCondition: condition, restartDelay, restartMaxAttempts, restartWindow } = given;
  const changes = {
    ...(condition !== undefined && { condition }),
    ...(restartMaxAttempts !== undefined && { maxAttempts: restartMaxAttempts }),
    ...(restartDelay !== undefined && { delay: restartDelay }),
    ...(restartWindow !== undefined && { window: restartWindow }),
  };
  if (Object.keys(changes).length === 0) return before;
  return { ...(before ?? newRestart({})), ...changes };
}
