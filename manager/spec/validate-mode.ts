/** What a service's mode must look like, and what goes with it. Pure. */
import { create } from "@bufbuild/protobuf";
import { ReplicatedJobSchema, type ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { type JobSchedule, RunOverlap } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration } from "#proto/time.ts";
import { checkCron, checkTimeZone } from "../job-scheduler/cron.ts";
import { isJob } from "../job.ts";
import { mostReplicas } from "../service-spec.ts";
import { checkEnum, checkRange, invalid, parsed } from "./field.ts";

/** Above this, a number of replicas is a slip of the finger. */
export const replicasMax = 10_000n;

/** Every task carries its spec, and all tasks of a service may be written in one transaction. */
const tasksBytesMax = 64 * 1024 * 1024;

/** Tasks of more runs than this are nothing that anybody looks through. */
const runsKeptMax = 1_000;

/** A change of leader takes some seconds: with less, it would cost runs. */
const startingDeadlineMsMin = 10_000;

/** The mode with its defaults filled in, as Swarm has them. */
export function completeMode(spec: ServiceSpec): ServiceSpec["mode"] {
  const { mode } = spec;
  if (isJob({ spec })) checkJob(spec);
  else if (spec.schedule !== undefined) {
    throw invalid("schedule", "is for jobs: use the mode replicated-job or global-job");
  }
  if (mode.case !== "replicated") refuseAddresses(spec);
  switch (mode.case) {
    case "replicated":
      checkRange("replicated.replicas", mode.value.replicas, { min: 0n, max: replicasMax });
      return mode;
    case "replicatedJob": {
      const maxConcurrent = mode.value.maxConcurrent || 1n;
      const totalCompletions = mode.value.totalCompletions || maxConcurrent;
      const range = { min: 1n, max: replicasMax };
      checkRange("replicated_job.max_concurrent", maxConcurrent, range);
      checkRange("replicated_job.total_completions", totalCompletions, range);
      const value = create(ReplicatedJobSchema, { maxConcurrent, totalCompletions });
      return { case: "replicatedJob", value };
    }
    case "global":
    case "globalJob":
      return mode;
    default:
      throw invalid("mode", "is missing: use replicated, global, replicated-job or global-job");
  }
}

/** `sizeBytes`: the spec's, of which every task has a copy. */
export function checkTasksSize(spec: ServiceSpec, sizeBytes: number): void {
  const { mode } = spec;
  const isReplicatedJob = mode.case === "replicatedJob";
  const count = isReplicatedJob ? Number(mode.value.totalCompletions) : mostReplicas(spec);
  if (count * sizeBytes <= tasksBytesMax) return;
  const fitting = Math.floor(tasksBytesMax / sizeBytes);
  const problem = `is ${count}, each with a copy of a spec of ${sizeBytes} bytes, over ${tasksBytesMax} bytes in all: use at most ${fitting} replicas or a smaller spec`;
  const autoscaled =
    spec.autoscale === undefined ? "replicated.replicas" : "autoscale.max_replicas";
  throw invalid(isReplicatedJob ? "replicated_job.total_completions" : autoscaled, problem);
}

function checkJob(spec: ServiceSpec): void {
  for (const field of ["update", "rollback"] as const) {
    if (spec[field] === undefined) continue;
    const words = "update and rollback configuration is not supported for jobs";
    throw invalid(field, `is given, but ${words}: leave it out`);
  }
  if (spec.schedule !== undefined) checkSchedule("schedule", spec.schedule);
}

function checkSchedule(path: string, schedule: JobSchedule): void {
  parsed(`${path}.cron`, () => checkCron(schedule.cron));
  parsed(`${path}.time_zone`, () => checkTimeZone(schedule.timeZone));
  checkEnum(`${path}.overlap`, schedule.overlap, RunOverlap);
  const kept = { min: 0, max: runsKeptMax };
  checkRange(`${path}.keep_completed`, schedule.keepCompleted ?? 0, kept);
  checkRange(`${path}.keep_failed`, schedule.keepFailed ?? 0, kept);
  const deadlineMs = msFromDuration(schedule.startingDeadline, startingDeadlineMsMin);
  if (deadlineMs >= startingDeadlineMsMin) return;
  const problem = `is ${deadlineMs / 1000} s: use ${startingDeadlineMsMin / 1000} s or more, so that a change of leader costs no run`;
  throw invalid(`${path}.starting_deadline`, problem);
}

/** Each slot of a replicated service has its own. */
function refuseAddresses({ task, mode }: ServiceSpec): void {
  const index = (task?.networks ?? []).findIndex(({ addresses }) => addresses.length > 0);
  if (index < 0) return;
  const path = `task.networks[${index}].addresses`;
  throw invalid(path, `are given, but the mode is ${mode.case}: only slots of replicated services`);
}
