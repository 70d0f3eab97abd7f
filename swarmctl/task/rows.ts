/**
 * Tasks as the rows that `ps` prints: by service and slot, the newest task of a slot first and what was before it below,
 * marked ` \_`. Restarts in place are attempts of one task; each that ended is a row of its own, so that the history reads
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
  readonly image: string;
  readonly desired: TaskState;
  readonly state: TaskState;
  readonly sinceMs: number;
  readonly error: string;
}

export function taskRows(tasks: readonly Task[]): TaskRow[] {
  const slots = Map.groupBy(tasks.toSorted(compareTasks), taskName);
  return [...slots.values()].flatMap((history) =>
    history.flatMap((task, index) => rowsOf(task, index > 0)),
  );
}

function rowsOf(task: Task, past: boolean): TaskRow[] {
  const { status } = task;
  const common = { task, name: taskName(task), image: imageOf({ task: task.spec }) };
  const own: TaskRow = {
    ...common,
    past,
    desired: task.desiredState,
    state: status?.state ?? TaskState.NEW,
    sinceMs: msFromTimestamp(status?.timestamp ?? task.meta?.createdAt),
    error: status?.err ?? "",
  };
  const attempts = (status?.attempts ?? []).toReversed();
  // The status of a task that ended tells of its last attempt already.
  const told =
    ended(own.state) && attempts[0]?.number === status?.attempt ? attempts.slice(1) : attempts;
  return [own, ...told.map((attempt) => ({ ...common, past: true, ...rowOfAttempt(attempt) }))];
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

/** By service, slot, then the newest first. */
function compareTasks(a: Task, b: Task): number {
  return (
    compareText(a.serviceAnnotations?.name ?? "", b.serviceAnnotations?.name ?? "") ||
    Number(a.slot - b.slot) ||
    compareText(a.slot === 0n ? a.nodeId : "", b.slot === 0n ? b.nodeId : "") ||
    msFromTimestamp(b.meta?.createdAt) - msFromTimestamp(a.meta?.createdAt) ||
    compareText(a.id, b.id)
  );
}
