/**
 * A job's runs. Each has a number, its iteration, which its tasks carry; numbers only grow. A job without a schedule has
 * one run, that of the newest iteration; one with a schedule has those that ScheduleStatus lists. Tasks of other
 * iterations are of no use any more.
 */
import { create, equals } from "@bufbuild/protobuf";
import { type JobStatus, JobStatusSchema, type Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type JobRun,
  JobRunSchema,
  JobScheduleSchema,
  RunOverlap,
  RunState,
  ScheduleStatusSchema,
  VersionSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";

const keepCompletedDefault = 3;
const keepFailedDefault = 1;

/** A service whose tasks are to complete. */
export function isJob({ spec }: Pick<Service, "spec">): boolean {
  return spec?.mode.case === "replicatedJob" || spec?.mode.case === "globalJob";
}

/** Of the newest run; 0: there was none yet. */
export function iterationOf({ jobStatus }: Service): bigint {
  return jobStatus?.jobIteration?.index ?? 0n;
}

/** The runs that are, or are remembered, by iteration. */
export function runsOf(service: Service): ReadonlyMap<bigint, RunState> {
  if (service.spec?.schedule !== undefined) {
    const runs = service.scheduleStatus?.runs ?? [];
    return new Map(runs.map((run) => [run.iteration?.index ?? 0n, run.state]));
  }
  const iteration = iterationOf(service);
  return new Map(iteration === 0n ? [] : [[iteration, RunState.RUNNING]]);
}

export interface RunStart {
  readonly nowMs: number;
  /** The moment of its schedule; undefined: a user began it. */
  readonly scheduledAtMs?: number;
}

/** The job with a new run. Whether it may begin beside those that go on is its caller's matter. */
export function withRun(service: Service, { nowMs, scheduledAtMs }: RunStart): Service {
  const iteration = create(VersionSchema, { index: iterationOf(service) + 1n });
  const startedAt = timestampFromMs(nowMs);
  const jobStatus: JobStatus = create(JobStatusSchema, {
    jobIteration: iteration,
    lastExecution: startedAt,
  });
  const schedule = service.spec?.schedule;
  if (schedule === undefined) return { ...service, jobStatus };
  const before = service.scheduleStatus ?? create(ScheduleStatusSchema);
  const others =
    schedule.overlap === RunOverlap.REPLACE
      ? before.runs.map((run) => (isRunning(run) ? ended(run, RunState.REPLACED, nowMs) : run))
      : before.runs;
  const run = create(JobRunSchema, { iteration, startedAt, state: RunState.RUNNING });
  const scheduledAt = scheduledAtMs === undefined ? undefined : timestampFromMs(scheduledAtMs);
  if (scheduledAt !== undefined) run.scheduledAt = scheduledAt;
  const scheduleStatus = {
    ...before,
    runs: [...others, run],
    ...(scheduledAt !== undefined && { lastScheduledAt: scheduledAt }),
  };
  return withoutOldRuns({ ...service, jobStatus, scheduleStatus });
}

/** The job with the ends of runs, and without those that are not kept any more. */
export function withEnds(
  service: Service,
  ends: ReadonlyMap<bigint, RunState>,
  nowMs: number,
): Service {
  const { scheduleStatus } = service;
  if (scheduleStatus === undefined || ends.size === 0) return service;
  const runs = scheduleStatus.runs.map((run) => {
    const end = ends.get(run.iteration?.index ?? 0n);
    return end === undefined ? run : ended(run, end, nowMs);
  });
  return withoutOldRuns({ ...service, scheduleStatus: { ...scheduleStatus, runs } });
}

export function isRunning({ state }: JobRun): boolean {
  return state === RunState.RUNNING;
}

/** A new service: a job runs at once, unless it has a schedule. */
export function asCreated(service: Service, nowMs: number): Service {
  return isJob(service) && service.spec?.schedule === undefined
    ? withRun(service, { nowMs })
    : service;
}

/**
 * A service with a new spec. A job without a schedule runs again when the update changes what is run; one with a schedule
 * waits for its time. A service that did not wait for others so far does not begin to.
 */
export function asUpdated(before: Service, after: Service, nowMs: number): Service {
  const waitedFor = before.spec?.dependsOn ?? [];
  const waitsFor = after.spec?.dependsOn ?? [];
  const updated =
    waitedFor.length === 0 && waitsFor.length > 0 ? { ...after, dependenciesMet: true } : after;
  if (!isJob(after)) return updated;
  const [was, is] = [before.spec?.schedule, after.spec?.schedule];
  const { scheduleStatus, ...kept } = updated;
  if (is === undefined) {
    const runs = was !== undefined || !hasSameWork(before.spec, after.spec);
    return runs ? withRun(kept, { nowMs }) : kept;
  }
  if (was === undefined || scheduleStatus === undefined) return kept;
  if (equals(JobScheduleSchema, was, is)) return updated;
  const { nextAt: _, ...status } = scheduleStatus;
  return withoutOldRuns({ ...kept, scheduleStatus: status });
}

/** All that a run is made of. */
function hasSameWork(a: ServiceSpec | undefined, b: ServiceSpec | undefined): boolean {
  const work = (spec: ServiceSpec | undefined): ServiceSpec =>
    create(ServiceSpecSchema, {
      ...(spec?.task !== undefined && { task: spec.task }),
      ...(spec?.mode.case !== undefined && { mode: spec.mode }),
      ...(spec?.endpoint !== undefined && { endpoint: spec.endpoint }),
    });
  return equals(ServiceSpecSchema, work(a), work(b));
}

function ended(run: JobRun, state: RunState, nowMs: number): JobRun {
  return { ...run, state, endedAt: timestampFromMs(nowMs) };
}

/** Those that go on stay, and of those that ended the newest ones, as many as the schedule keeps. */
function withoutOldRuns(service: Service): Service {
  const { scheduleStatus, spec } = service;
  if (scheduleStatus === undefined) return service;
  const { runs } = scheduleStatus;
  const newest = (count: number, isOne: (run: JobRun) => boolean) =>
    count === 0 ? [] : runs.filter(isOne).slice(-count);
  const kept = new Set([
    ...runs.filter(isRunning),
    ...newest(spec?.schedule?.keepCompleted ?? keepCompletedDefault, (run) => isCompleted(run)),
    ...newest(
      spec?.schedule?.keepFailed ?? keepFailedDefault,
      (run) => !isRunning(run) && !isCompleted(run),
    ),
  ]);
  if (kept.size === runs.length) return service;
  const left = runs.filter((run) => kept.has(run));
  return { ...service, scheduleStatus: { ...scheduleStatus, runs: left } };
}

function isCompleted({ state }: JobRun): boolean {
  return state === RunState.COMPLETED;
}
