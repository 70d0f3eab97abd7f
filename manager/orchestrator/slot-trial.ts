/**
 * How the new task of a slot does in an update: it is on its way, watched, has passed, or has failed. Pure, and read off
 * the slot's tasks alone, so that a new leader goes on where the old one was.
 */
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type Attempt, RestartCondition, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { isTerminal, isWanted, stateOf } from "../task.ts";
import { conditionOf, diedAtMs } from "./plan-restart.ts";
import { isOfVersion, isOutdated, newestOf, type SlotContext } from "./plan-slot.ts";
import type { UpdateSettings } from "./update-config.ts";

export type Trial =
  /** `untilMs`: when its patience ends. */
  | { readonly kind: "going"; readonly untilMs: number }
  /** Runs since then; watched while the clock is before `untilMs`. */
  | { readonly kind: "up"; readonly sinceMs: number; readonly untilMs: number }
  | {
      readonly kind: "failed";
      readonly sinceMs: number;
      readonly task: Task;
      readonly reason: string;
    };

/** undefined: the slot has no new task yet, or the update has nothing to do with the one that it has. */
export function tryOf(
  tasks: readonly Task[],
  context: SlotContext,
  settings: UpdateSettings,
): Trial | undefined {
  const current = tasks.filter((task) => !isOutdated(task, context));
  const made = current.filter((task) => isOfVersion(task, context.service));
  for (const task of made) {
    const failure = failureOf(task, context.service, settings);
    if (failure !== undefined) return { kind: "failed", task, ...failure };
  }
  const wanted = current.filter(isWanted);
  // One that leaves its node is not on trial a second time: what runs counts, not what takes over from it.
  const running = newestOf(wanted.filter((task) => stateOf(task) === TaskState.RUNNING));
  const newest = running ?? newestOf(wanted);
  if (newest === undefined || isTerminal(newest)) return undefined;
  if (hasBeenUp(newest)) {
    if (!made.includes(newest)) return undefined;
    const sinceMs = upSinceMs(newest);
    return { kind: "up", sinceMs, untilMs: sinceMs + settings.monitorMs };
  }
  // One that waited for other services has been let go later than it was made.
  const letGoMs = Math.max(createdAtMs(newest), msFromTimestamp(newest.desiredAt));
  const sinceMs = Math.max(letGoMs, startedAtMs(context.service));
  const untilMs = sinceMs + settings.deadlineMs;
  if (context.nowMs < untilMs) return { kind: "going", untilMs };
  const said = newest.status?.err || newest.status?.message || "nothing is known of it";
  const reason = `it does not run after ${settings.deadlineMs / 1000} s: ${said}`;
  return { kind: "failed", task: newest, sinceMs: untilMs, reason };
}

interface Failure {
  readonly sinceMs: number;
  readonly reason: string;
}

/** What failed before a paused update went on is forgiven. */
function failureOf(
  task: Task,
  service: Service,
  { monitorMs }: UpdateSettings,
): Failure | undefined {
  const resumedAtMs = createdAtMs(task) < startedAtMs(service) ? startedAtMs(service) : 0;
  for (const attempt of attemptsOf(task)) {
    const endedAtMs = msFromTimestamp(attempt.endedAt);
    const upMs = attempt.upAt === undefined ? 0 : endedAtMs - msFromTimestamp(attempt.upAt);
    const early = attempt.upAt === undefined || upMs < monitorMs;
    if (early && endedAtMs >= resumedAtMs && !isDone(task, attempt)) {
      const sinceMs = Math.min(endedAtMs, msFromTimestamp(task.meta?.updatedAt));
      return { sinceMs, reason: attempt.reason || "it ended early" };
    }
  }
  const state = stateOf(task);
  const neverStarted =
    (state === TaskState.FAILED || state === TaskState.REJECTED) &&
    (task.status?.attempts ?? []).length === 0;
  if (!neverStarted || diedAtMs(task) < resumedAtMs) return undefined;
  return { sinceMs: diedAtMs(task), reason: task.status?.err ?? "" };
}

/** Those that ended by themselves: the last one of a task that was told to stop did not. */
function attemptsOf({ status }: Task): readonly Attempt[] {
  const attempts = status?.attempts ?? [];
  if (status?.state !== TaskState.SHUTDOWN) return attempts;
  return attempts.filter(({ number }) => number !== status.attempt);
}

/** It has done its work and is not to be started again. */
function isDone(task: Task, attempt: Attempt): boolean {
  const { status } = task;
  return (
    status?.state === TaskState.COMPLETE &&
    attempt.number === status.attempt &&
    conditionOf(task.spec?.restart) !== RestartCondition.ANY
  );
}

function hasBeenUp(task: Task): boolean {
  const attempts = task.status?.attempts ?? [];
  return stateOf(task) === TaskState.RUNNING || attempts.some(({ upAt }) => upAt !== undefined);
}

/** By its node's clock, but within what managers know: clocks differ. */
function upSinceMs(task: Task): number {
  const first = task.status?.attempts.find(({ upAt }) => upAt !== undefined);
  const saidMs = msFromTimestamp(first?.upAt ?? task.status?.timestamp);
  return Math.min(Math.max(saidMs, createdAtMs(task)), msFromTimestamp(task.meta?.updatedAt));
}

function createdAtMs(task: Task): number {
  return msFromTimestamp(task.meta?.createdAt);
}

function startedAtMs({ updateStatus }: Service): number {
  return msFromTimestamp(updateStatus?.startedAt);
}
