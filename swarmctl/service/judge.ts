/** Whether a service has become what its spec wants, is on its way, or cannot. Pure. */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  RestartCondition,
  RunState,
  TaskState,
  UpdateState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { ended } from "../task/rows.ts";
import { findFailedPlace, findGivenUp } from "./given-up.ts";
import {
  isUnderUpdate,
  isUp,
  type Progress,
  tasksOfSpec,
  wantedCount,
  wantedTasks,
} from "./progress.ts";
import {
  awaitedRun,
  completedCount,
  isJob,
  isOnlyScheduled,
  newestRun,
  runTasks,
} from "./run-progress.ts";
import { taskName } from "./words.ts";

type Verdict =
  | { readonly kind: "waiting" }
  /** `fingerprint` stays the same as long as nothing restarts. `note`: what its user should know besides. */
  | { readonly kind: "converged"; readonly fingerprint: string; readonly note?: string }
  | { readonly kind: "failed"; readonly reason: string };

/** `rollback`: whether going back is what was asked for. */
export function judge(progress: Progress, { rollback = false } = {}): Verdict {
  const { service } = progress;
  if (progress.removed) return { kind: "failed", reason: "it was removed meanwhile" };
  if (service === undefined) return { kind: "waiting" };
  const { state, message = "" } = service.updateStatus ?? {};
  if (state === UpdateState.PAUSED || state === UpdateState.ROLLBACK_PAUSED) {
    return { kind: "failed", reason: message };
  }
  if (state === UpdateState.ROLLBACK_COMPLETED && !rollback) {
    return { kind: "failed", reason: progress.setback ?? "update rolled back" };
  }
  if (state === UpdateState.CANARY) return judgeCanaries(progress, service);
  // The managers judge its tasks meanwhile, and will say so here.
  if (isUnderUpdate(service) || service.rebalances > service.rebalancesDone) {
    return { kind: "waiting" };
  }
  return isJob(service) ? judgeRun(progress) : judgeTasks(progress);
}

/** Where the update goes on by itself, so does the wait; else it is its user's turn. */
function judgeCanaries(progress: Progress, service: Service): Verdict {
  const { updateStatus, spec } = service;
  if (spec?.update?.canaryPromoteAfter !== undefined) return { kind: "waiting" };
  const note = updateStatus?.message ?? "";
  const up = wantedTasks(progress).filter((task) => isUp(task, progress));
  return { kind: "converged", fingerprint: fingerprintOf(up), note };
}

function judgeTasks(progress: Progress): Verdict {
  const tasks = wantedTasks(progress);
  const dead = tasks.find((task) => endedForGood(task)) ?? findGivenUp(tasksOfSpec(progress));
  if (dead !== undefined) return { kind: "failed", reason: describeEnd(dead) };
  const wanted = wantedCount(progress);
  if (
    wanted === undefined ||
    tasks.length !== wanted ||
    !tasks.every((task) => isUp(task, progress))
  ) {
    return { kind: "waiting" };
  }
  return { kind: "converged", fingerprint: fingerprintOf(tasks) };
}

function judgeRun(progress: Progress): Verdict {
  if (isOnlyScheduled(progress)) return { kind: "converged", fingerprint: "scheduled" };
  const failed = findFailedPlace(runTasks(progress));
  const reason = failed === undefined ? "its run failed" : describeEnd(failed);
  switch (stateOfRun(progress)) {
    case RunState.COMPLETED:
      return { kind: "converged", fingerprint: "completed" };
    case RunState.REPLACED:
      return { kind: "failed", reason: "another run took the place of this one" };
    case RunState.FAILED:
      return { kind: "failed", reason };
    default:
      return failed === undefined ? { kind: "waiting" } : { kind: "failed", reason };
  }
}

/** Of a job with a schedule managers remember it. */
function stateOfRun(progress: Progress): RunState {
  const { service } = progress;
  const run = awaitedRun(progress);
  if (service?.spec?.schedule !== undefined) {
    const known = service.scheduleStatus?.runs.find(({ iteration }) => iteration?.index === run);
    return known?.state ?? RunState.RUNNING;
  }
  if (run !== newestRun(progress)) return RunState.REPLACED;
  const wanted = wantedCount(progress);
  const isComplete = wanted !== undefined && completedCount(progress) >= wanted;
  return isComplete ? RunState.COMPLETED : RunState.RUNNING;
}

function endedForGood(task: Task): boolean {
  return (
    task.spec?.restart?.condition === RestartCondition.NONE &&
    ended(task.status?.state ?? TaskState.NEW)
  );
}

function describeEnd(task: Task): string {
  const reason =
    task.status?.err || `it ended with exit code ${task.status?.container?.exitCode ?? 0}`;
  return `${taskName(task)} is not restarted: ${reason}`;
}

function fingerprintOf(tasks: readonly Task[]): string {
  return tasks.map(incarnation).toSorted().join();
}

function incarnation(task: Task): string {
  return `${task.id}/${task.status?.attempt ?? 0}`;
}
