/**
 * When a job with a schedule runs, and how its runs end. Pure.
 *
 * All that is remembered is in the service: the moment that comes next, the last one that was taken, and the runs. A run
 * begins by one change of the service that names its moment, so that a change of leader neither loses nor doubles one.
 */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  JobScheduleSchema,
  RunOverlap,
  RunState,
  type ScheduleStatus,
  ScheduleStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { create } from "@bufbuild/protobuf";
import { msFromDuration, msFromTimestamp, timestampFromMs } from "#proto/time.ts";
import { isRunning, withEnds, withRun } from "../job.ts";
import { type RunContext, verdictOf } from "../orchestrator/plan-job.ts";
import { type CronTime, cronProblem, lastRunMs, nextRunMs } from "./cron.ts";

/** A run that is less late than this has not been missed: cron is exact to the minute, and a new leader takes seconds. */
const lateMsMax = 60_000;

/** A moment that was taken and is further ahead than this was taken by a clock that was wrong: it holds nothing up. */
const clockErrorMsMax = 3_600_000;

export interface RunsPlan {
  /** The same as before where nothing changes. */
  readonly service: Service;
  readonly wakeAtMs: number | undefined;
}

/** `tasks`: all that the service has, without those to be removed. */
export function planRuns(tasks: readonly Task[], context: RunContext): RunsPlan {
  const { nowMs } = context;
  const service = planEnds(tasks, context);
  const schedule = service.spec?.schedule;
  if (schedule === undefined) return { service, wakeAtMs: undefined };
  if (schedule.suspended) return { service: withNext(service, undefined), wakeAtMs: undefined };
  const time: CronTime = { expression: schedule.cron, timeZone: schedule.timeZone };
  const problem = cronProblem(time);
  if (problem !== undefined)
    return { service: withProblem(service, problem, nowMs), wakeAtMs: undefined };
  const known = service.scheduleStatus?.nextAt;
  const dueMs = known === undefined ? undefined : msFromTimestamp(known);
  const nextMs = nextRunMs(time, afterMs(service, nowMs));
  // Also where it is known: a clock that was ahead has found one that is too late.
  const looked =
    dueMs === undefined || dueMs > nowMs ? service : planDue(service, { time, dueMs, nowMs });
  return { service: withNext(looked, nextMs), wakeAtMs: nextMs };
}

/** Where the clock was put back, what was taken is not taken again. */
function afterMs({ scheduleStatus }: Service, nowMs: number): number {
  const takenMs = msFromTimestamp(scheduleStatus?.lastScheduledAt);
  return takenMs - nowMs > clockErrorMsMax ? nowMs : Math.max(nowMs, takenMs);
}

interface Due {
  readonly time: CronTime;
  /** The first moment that was not looked at yet. */
  readonly dueMs: number;
  readonly nowMs: number;
}

/** Of several moments that went by unseen the last one counts. */
function planDue(service: Service, { time, dueMs, nowMs }: Due): Service {
  const scheduledAtMs = Math.max(lastRunMs(time, nowMs) ?? dueMs, dueMs);
  const leftOutBecause = obstacleOf(service, nowMs - scheduledAtMs);
  if (leftOutBecause === undefined) return withRun(service, { nowMs, scheduledAtMs });
  return leftOut(service, leftOutBecause, scheduledAtMs);
}

function leftOut(service: Service, leftOutBecause: string, atMs: number): Service {
  const before = service.scheduleStatus ?? create(ScheduleStatusSchema);
  const leftOutAt = timestampFromMs(atMs);
  return { ...service, scheduleStatus: { ...before, leftOutAt, leftOutBecause } };
}

/** No run begins until a manager that can read the schedule leads; it is said once. */
function withProblem(service: Service, problem: string, nowMs: number): Service {
  const waiting = withNext(service, undefined);
  return waiting.scheduleStatus?.leftOutBecause === problem
    ? waiting
    : leftOut(waiting, problem, nowMs);
}

function obstacleOf({ spec, scheduleStatus }: Service, lateMs: number): string | undefined {
  const { startingDeadline, overlap } = spec?.schedule ?? create(JobScheduleSchema);
  const patienceMs = msFromDuration(startingDeadline, lateMsMax);
  if (lateMs >= patienceMs) {
    return `no manager led until ${Math.round(lateMs / 1000)} s later, and it may be ${patienceMs / 1000} s late`;
  }
  const goesOn = overlap === RunOverlap.FORBID && (scheduleStatus?.runs ?? []).some(isRunning);
  return goesOn ? "the run before it went on, and the overlap is forbidden" : undefined;
}

function withNext(service: Service, nextMs: number | undefined): Service {
  const before = service.scheduleStatus;
  const known = before?.nextAt === undefined ? undefined : msFromTimestamp(before.nextAt);
  if (before !== undefined && known === nextMs) return service;
  const { nextAt: _, ...kept } = before ?? create(ScheduleStatusSchema);
  const scheduleStatus: ScheduleStatus = {
    ...kept,
    ...(nextMs !== undefined && { nextAt: timestampFromMs(nextMs) }),
  };
  return { ...service, scheduleStatus };
}

/** The runs that have ended say so: from then on they are history, whatever becomes of nodes and policies. */
function planEnds(tasks: readonly Task[], context: RunContext): Service {
  const { service, nowMs } = context;
  const byRun = Map.groupBy(tasks, ({ jobIteration }) => jobIteration?.index ?? 0n);
  const ends = new Map<bigint, RunState>();
  for (const run of (service.scheduleStatus?.runs ?? []).filter(isRunning)) {
    const iteration = run.iteration?.index ?? 0n;
    const verdict = verdictOf(byRun.get(iteration) ?? [], context);
    if (verdict !== RunState.RUNNING) ends.set(iteration, verdict);
  }
  return withEnds(service, ends, nowMs);
}
