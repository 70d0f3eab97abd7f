/**
 * Tasks as the rows that `ps` prints: by service, run of a job (the newest first) and slot, the newest task of a slot first
 * and what was before it below, marked ` \_`. Restarts in place are attempts of one task; each that ended is a row of its own, so that the history reads
 * as Swarm's users know it.
 */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type Attempt, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { imageOf, taskName } from "../service/words.ts";
import { compareText } from "../output/table.ts";

export interface TaskRow {
  readonly task: Task;
  readonly name: string;
  /** Not the newest of its slot. */
  readonly past: boolean;
  /** Of a job. */
  readonly run: Run | undefined;
  readonly image: string;
  readonly desired: TaskState;
  readonly state: TaskState;
  readonly sinceMs: number;
  readonly error: string;
}

export interface Run {
  readonly iteration: bigint;
  /** When its first task was made. */
  readonly sinceMs: number;
}

export function taskRows(tasks: readonly Task[]): TaskRow[] {
  const runs = runsOf(tasks);
  const slots = Map.groupBy(
    tasks.toSorted(compareTasks),
    (task) => `${taskName(task)} ${runKey(task)}`,
  );
  return [...slots.values()].flatMap((history) =>
    history.flatMap((task, index) =>
      rowsOf(task, { past: index > 0, run: runs.get(runKey(task)) }),
    ),
  );
}

function runsOf(tasks: readonly Task[]): ReadonlyMap<string, Run> {
  const runs = new Map<string, Run>();
  for (const task of tasks) {
    if (task.jobIteration === undefined) continue;
    const { sinceMs = Infinity } = runs.get(runKey(task)) ?? {};
    const createdMs = msFromTimestamp(task.meta?.createdAt);
    const iteration = task.jobIteration.index;
    runs.set(runKey(task), { iteration, sinceMs: Math.min(sinceMs, createdMs) });
  }
  return runs;
}

function runKey({ serviceId, jobIteration }: Task): string {
  return jobIteration === undefined ? "" : `${serviceId} ${jobIteration.index}`;
}

function rowsOf(task: Task, { past, run }: Pick<TaskRow, "past" | "run">): TaskRow[] {
  const { status } = task;
  const common = { task, name: taskName(task), run, image: imageOf({ task: task.spec }) };
  const own: TaskRow = {
    ...common,
    past,
    desired: task.desiredState,
    state: status?.state ?? TaskState.NEW,
    sinceMs: msFromTimestamp(status?.timestamp ?? task.meta?.createdAt),
    error: whyNot(task),
  };
  const attempts = (status?.attempts ?? []).toReversed();
  // The status of a task that ended tells of its last attempt already.
  const told =
    ended(own.state) && attempts[0]?.number === status?.attempt ? attempts.slice(1) : attempts;
  return [own, ...told.map((attempt) => ({ ...common, past: true, ...rowOfAttempt(attempt) }))];
}

/**
 * Why a task is not where it shall be, or has to go for another. What another service keeps from going on, the dependency
 * gate says so in the message.
 */
export function whyNot({ status, desiredMessage }: Task): string {
  if (status?.err) return status.err;
  if (desiredMessage !== "") return desiredMessage;
  const isHeld = (status?.state ?? TaskState.NEW) <= TaskState.READY;
  const message = status?.message ?? "";
  return isHeld && message.startsWith("waiting for ") ? message : "";
}

function rowOfAttempt(attempt: Attempt): Pick<TaskRow, "desired" | "state" | "sinceMs" | "error"> {
  const failed = attempt.exitCode !== 0 || attempt.reason !== "";
  return {
    desired: TaskState.SHUTDOWN,
    state: failed ? TaskState.FAILED : TaskState.COMPLETE,
    sinceMs: msFromTimestamp(attempt.endedAt),
    error: attempt.reason || (failed ? `task: non-zero exit (${attempt.exitCode})` : ""),
  };
}

export function ended(state: TaskState): boolean {
  return state >= TaskState.COMPLETE;
}

/** By service, run, slot, then the newest first. */
function compareTasks(a: Task, b: Task): number {
  return (
    compareText(a.serviceAnnotations?.name ?? "", b.serviceAnnotations?.name ?? "") ||
    Number((b.jobIteration?.index ?? 0n) - (a.jobIteration?.index ?? 0n)) ||
    Number(a.slot - b.slot) ||
    compareText(a.slot === 0n ? a.nodeId : "", b.slot === 0n ? b.nodeId : "") ||
    msFromTimestamp(b.meta?.createdAt) - msFromTimestamp(a.meta?.createdAt) ||
    compareText(a.id, b.id)
  );
}
