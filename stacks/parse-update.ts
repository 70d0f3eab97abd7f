/** A stack file's `update_config` or `rollback_config` → a service's. */
import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { Fault } from "#proto/fault.ts";
import {
  type UpdateConfig,
  UpdateConfigSchema,
  UpdateFailureAction,
  UpdateOrder,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs, parseDurationMs } from "#proto/time.ts";
import type { UpdateEntry } from "./compose/compose-file.ts";
import type { Path } from "./compose/node.ts";
import { at, type StackContext } from "./stack-context.ts";

const actions = {
  pause: UpdateFailureAction.PAUSE,
  continue: UpdateFailureAction.CONTINUE,
  rollback: UpdateFailureAction.ROLLBACK,
} as const;

const orders = {
  "stop-first": UpdateOrder.STOP_FIRST,
  "start-first": UpdateOrder.START_FIRST,
} as const;

export function parseUpdate(
  context: StackContext,
  path: Path,
  entry: UpdateEntry | undefined,
): UpdateConfig | undefined {
  if (entry === undefined) return undefined;
  const durationAt = (key: "delay" | "monitor" | "x-progress-deadline") => {
    const text = entry[key];
    return text === undefined
      ? undefined
      : at(context, [...path, key], () => parseNotNegative(text));
  };
  const delay = durationAt("delay");
  const monitor = durationAt("monitor");
  const progressDeadline = durationAt("x-progress-deadline");
  return create(UpdateConfigSchema, {
    parallelism: BigInt(entry.parallelism ?? 1),
    failureAction: actions[entry.failure_action ?? "pause"],
    // The contract's precision, or else a second deployment would find another ratio.
    maxFailureRatio: Math.fround(entry.max_failure_ratio ?? 0),
    order: orders[entry.order ?? "stop-first"],
    ...(delay !== undefined && { delay }),
    ...(monitor !== undefined && { monitor }),
    ...(progressDeadline !== undefined && { progressDeadline }),
  });
}

export function parseNotNegative(text: string): Duration {
  const ms = parseDurationMs(text);
  if (ms < 0) throw new Fault("invalid-argument", `"${text}" is negative`);
  return durationFromMs(ms);
}
