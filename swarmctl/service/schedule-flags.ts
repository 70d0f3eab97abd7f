/** The flags of a job that runs again and again. */
import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { type JobSchedule, JobScheduleSchema, RunOverlap } from "#proto/gen/swarm/v1/types_pb.ts";
import { duration, flag, oneOf, wholeNumber } from "../flags/parse-flag.ts";

export interface ScheduleFlags {
  /** False: --no-schedule. */
  readonly schedule?: string | false;
  readonly timeZone?: string;
  readonly scheduleOverlap?: RunOverlap;
  readonly scheduleKeepCompleted?: number;
  readonly scheduleKeepFailed?: number;
  readonly scheduleSuspend?: boolean;
  readonly scheduleDeadline?: Duration;
}

export const overlapWords = {
  forbid: RunOverlap.FORBID,
  allow: RunOverlap.ALLOW,
  replace: RunOverlap.REPLACE,
};

export function addScheduleFlags(command: Command, verb: "create" | "update"): void {
  command.optionsGroup("How many tasks, and when:");
  command
    .option("--schedule <cron>", 'when a job runs: "*/5 * * * *", @hourly, … (mode: a job)')
    .option("--time-zone <zone>", "of the schedule, such as Europe/Berlin (default UTC)")
    .option(
      "--schedule-overlap <word>",
      "where a run is due while one goes on: forbid (default), allow or replace",
      flag(oneOf<RunOverlap>(overlapWords)),
    )
    .option("--schedule-keep-completed <n>", "runs to keep (default 3)", flag(count))
    .option("--schedule-keep-failed <n>", "failed runs to keep (default 1)", flag(count))
    .option("--schedule-suspend", "begin no runs")
    .option("--no-schedule-suspend", "begin runs again")
    .option(
      "--schedule-deadline <duration>",
      "how late a run that was missed may begin (default: it is left out)",
      flag(duration),
    );
  if (verb === "update") command.option("--no-schedule", "run no more by itself");
}

function count(text: string): number {
  const number = Number(wholeNumber(text));
  if (number <= 0xffff_ffff) return number;
  throw new Fault("invalid-argument", "Write a smaller number");
}

/** Undefined: there is none. */
export function changedSchedule(
  before: JobSchedule | undefined,
  given: ScheduleFlags,
): JobSchedule | undefined {
  if (given.schedule === false) return undefined;
  const { schedule: cron, timeZone, scheduleOverlap: overlap, scheduleSuspend: suspended } = given;
  const { scheduleKeepCompleted: keepCompleted, scheduleKeepFailed: keepFailed } = given;
  const { scheduleDeadline: startingDeadline } = given;
  const changes = {
    ...(cron !== undefined && { cron }),
    ...(timeZone !== undefined && { timeZone }),
    ...(overlap !== undefined && { overlap }),
    ...(keepCompleted !== undefined && { keepCompleted }),
    ...(keepFailed !== undefined && { keepFailed }),
    ...(suspended !== undefined && { suspended }),
    ...(startingDeadline !== undefined && { startingDeadline }),
  };
  if (Object.keys(changes).length === 0) return before;
  if (before === undefined && cron === undefined) {
    const problem = "--time-zone and --schedule-… flags go with --schedule: say when the job runs";
    throw new Fault("invalid-argument", problem);
  }
  return { ...(before ?? create(JobScheduleSchema)), ...changes };
}
