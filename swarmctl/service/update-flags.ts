/** The flags of how a service's tasks are replaced: by its updates, and by its rollbacks. */
import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import {
  type UpdateConfig,
  UpdateConfigSchema,
  UpdateFailureAction,
  UpdateOrder,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { duration, flag, oneOf, wholeNumber } from "../flags/parse-flag.ts";

/** An update or a rollback, whose flags differ by their first word only. */
type Replacement = "update" | "rollback";

interface Settings {
  readonly Parallelism: bigint;
  readonly Delay: Duration;
  readonly Order: UpdateOrder;
  readonly Monitor: Duration;
  readonly FailureAction: UpdateFailureAction;
  readonly MaxFailureRatio: number;
  readonly ProgressDeadline: Duration;
}

export type UpdateFlags = {
  readonly [K in `${Replacement}${keyof Settings}`]?: K extends `${Replacement}${infer S extends keyof Settings}`
    ? Settings[S]
    : never;
} & { readonly updateCanary?: bigint; readonly updateCanaryPromoteAfter?: Duration };

const order = oneOf<UpdateOrder>({
  "stop-first": UpdateOrder.STOP_FIRST,
  "start-first": UpdateOrder.START_FIRST,
});

const rollbackAction = oneOf<UpdateFailureAction>({
  pause: UpdateFailureAction.PAUSE,
  continue: UpdateFailureAction.CONTINUE,
});

const updateAction = oneOf<UpdateFailureAction>({
  pause: UpdateFailureAction.PAUSE,
  continue: UpdateFailureAction.CONTINUE,
  rollback: UpdateFailureAction.ROLLBACK,
});

export function addUpdateFlags(command: Command): void {
  command.optionsGroup("Updates and rollbacks:");
  addFlags(command, "update", [
    "pause (default; canaries: rollback), continue or rollback",
    flag(updateAction),
  ]);
  addFlags(command, "rollback", ["pause (default) or continue", flag(rollbackAction)]);
  command
    .option(
      "--update-canary <n>",
      "updates: change n tasks, then wait for a promotion; 0 (default): do not",
      flag(wholeNumber),
    )
    .option(
      "--update-canary-promote-after <duration>",
      "updates: go on by themselves when the canaries have run well for so long",
      flag(duration),
    );
}

type Action = readonly [words: string, parse: (text: string) => UpdateFailureAction];

function addFlags(command: Command, kind: Replacement, [words, parse]: Action): void {
  const what = kind === "update" ? "updates" : "rollbacks";
  command
    .option(
      `--${kind}-parallelism <n>`,
      `${what}: slots at a time (default 1); 0: all`,
      flag(wholeNumber),
    )
    .option(
      `--${kind}-delay <duration>`,
      `${what}: wait between slots (default 0s)`,
      flag(duration),
    )
    .option(`--${kind}-order <word>`, `${what}: stop-first (default) or start-first`, flag(order))
    .option(
      `--${kind}-monitor <duration>`,
      `${what}: how long a task must run (default 5s)`,
      flag(duration),
    )
    .option(`--${kind}-failure-action <word>`, `${what}: ${words}`, parse)
    .option(
      `--${kind}-max-failure-ratio <ratio>`,
      `${what}: 0 (default) to 1 may fail`,
      flag(ratio),
    )
    .option(
      `--${kind}-progress-deadline <duration>`,
      `${what}: a task that takes longer to run has failed (default 10m); 0: no limit`,
      flag(duration),
    );
}

/** As before where no flag speaks of it. */
export function changedReplacement(
  kind: Replacement,
  before: UpdateConfig | undefined,
  given: UpdateFlags,
): UpdateConfig | undefined {
  const parallelism = given[`${kind}Parallelism`];
  const delay = given[`${kind}Delay`];
  const wantedOrder = given[`${kind}Order`];
  const monitor = given[`${kind}Monitor`];
  const failureAction = given[`${kind}FailureAction`];
  const maxFailureRatio = given[`${kind}MaxFailureRatio`];
  const progressDeadline = given[`${kind}ProgressDeadline`];
  const canary = kind === "update" ? given.updateCanary : undefined;
  const canaryPromoteAfter = kind === "update" ? given.updateCanaryPromoteAfter : undefined;
  const changes = {
    ...(canary !== undefined && { canary }),
    ...(canaryPromoteAfter !== undefined && { canaryPromoteAfter }),
    ...(parallelism !== undefined && { parallelism }),
    ...(delay !== undefined && { delay }),
    ...(wantedOrder !== undefined && { order: wantedOrder }),
    ...(monitor !== undefined && { monitor }),
    ...(failureAction !== undefined && { failureAction }),
    ...(maxFailureRatio !== undefined && { maxFailureRatio }),
    ...(progressDeadline !== undefined && { progressDeadline }),
  };
  if (Object.keys(changes).length === 0) return before;
  return { ...(before ?? create(UpdateConfigSchema, { parallelism: 1n })), ...changes };
}

function ratio(value: string): number {
  const number = Number(value);
  // The contract's precision, or else the same ratio read back would be another one.
  if (/^\d*\.?\d+$/.test(value) && number <= 1) return Math.fround(number);
  throw new Fault("invalid-argument", "Write a ratio from 0 to 1, such as 0.2");
}
