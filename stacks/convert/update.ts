/** A stack file's `update_config` or `rollback_config` → a service's. */
import { create } from "@bufbuild/protobuf";
import {
  type UpdateConfig,
  UpdateConfigSchema,
  UpdateFailureAction,
  UpdateOrder,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { UpdateEntry } from "../compose/compose-file.ts";
import { parseNotNegative } from "./duration.ts";
import type { Reader } from "./reader.ts";

const actions = {
  pause: UpdateFailureAction.PAUSE,
  continue: UpdateFailureAction.CONTINUE,
  rollback: UpdateFailureAction.ROLLBACK,
} as const;

const orders = {
  "stop-first": UpdateOrder.STOP_FIRST,
  "start-first": UpdateOrder.START_FIRST,
} as const;

export function updateConfig(
  reader: Reader,
  entry: UpdateEntry | undefined,
): UpdateConfig | undefined {
  if (entry === undefined) return undefined;
  const durationAt = (key: DurationKey) => reader.one(key, entry[key], parseNotNegative);
  const delay = durationAt("delay");
  const monitor = durationAt("monitor");
  const progressDeadline = durationAt("x-progress-deadline");
  const canaryPromoteAfter = durationAt("x-canary-promote-after");
  const { failure_action: action } = entry;
  return create(UpdateConfigSchema, {
    parallelism: BigInt(entry.parallelism ?? 1),
    // The contract's precision, or else a second deployment would find another ratio.
    maxFailureRatio: Math.fround(entry.max_failure_ratio ?? 0),
    order: orders[entry.order ?? "stop-first"],
    canary: BigInt(entry["x-canary"] ?? 0),
    ...(action !== undefined && { failureAction: actions[action] }),
    ...(delay !== undefined && { delay }),
    ...(monitor !== undefined && { monitor }),
    ...(progressDeadline !== undefined && { progressDeadline }),
    ...(canaryPromoteAfter !== undefined && { canaryPromoteAfter }),
  });
}

type DurationKey = "delay" | "monitor" | "x-progress-deadline" | "x-canary-promote-after";
