/** A service's progress as lines: all tasks on a terminal, the sum and what goes wrong anywhere else. */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Io } from "../io.ts";
import { painter } from "../output/colour.ts";
import { liveLines } from "../output/live-lines.ts";
import { taskStateWord } from "../task/state-words.ts";
import {
  firstError,
  isRollback,
  isUnderUpdate,
  type Progress,
  presentTasks,
  runningCount,
  wantedCount,
} from "./progress.ts";
import { completedCount, isJob, isOnlyScheduled } from "./run-progress.ts";
import { scheduleWord } from "./scale-words.ts";
import { taskName } from "./words.ts";

/** Of more tasks than these only the numbers in each state are told. */
const taskLinesMax = 20;

/** What a task goes through, a step of its bar each. */
const steps = [
  TaskState.PENDING,
  TaskState.ASSIGNED,
  TaskState.ACCEPTED,
  TaskState.PREPARING,
  TaskState.READY,
  TaskState.STARTING,
  TaskState.RUNNING,
];

export interface ProgressPrinter {
  show(progress: Progress): void;
}

export const quietPrinter: ProgressPrinter = { show: () => {} };

export function progressPrinter(io: Io): ProgressPrinter {
  const { stdout, clock } = io;
  const paint = painter(io, stdout);
  const lines = liveLines(stdout, (line) =>
    line
      .replace(/(?<=^\S+: )(running|complete)\b/, (word) => paint("green", word))
      .replace(/(?<=^\S+: )(failed|rejected|orphaned)\b/, (word) => paint("red", word)),
  );
  return {
    show(progress) {
      const overall = overallLine(progress, clock.now());
      if (stdout.isTTY) return lines([overall, ...taskLines(progress)]);
      const error = firstError(progress);
      lines([overall, ...(error === undefined ? [] : [error])]);
    },
  };
}

export function overallLine(progress: Progress, nowMs: number): string {
  const { service } = progress;
  const wanted = wantedCount(progress) ?? "…";
  const running = runningCount(progress);
  if (service !== undefined && isJob(service)) {
    if (isOnlyScheduled(progress)) return `scheduled: ${scheduleWord(service, nowMs)}`;
    return `job progress: ${completedCount(progress)} out of ${wanted} complete, ${running} running`;
  }
  const isActive = service !== undefined && isUnderUpdate(service);
  const back = isActive && isRollback(service) ? "rolling back update: " : "";
  const watched = isActive && running === wanted ? ", watched whether they stay" : "";
  return `overall progress: ${back}${running} out of ${wanted} tasks${watched}`;
}

function taskLines(progress: Progress): string[] {
  const tasks = presentTasks(progress);
  if (tasks.length <= taskLinesMax) return tasks.map((task) => taskLine(task, progress));
  const byState = Map.groupBy(tasks, stateOf);
  return [...byState]
    .toSorted(([a], [b]) => b - a)
    .map(([state, some]) => `${taskStateWord(state).toLowerCase()}: ${some.length}`);
}

function taskLine(task: Task, { hostnames }: Progress): string {
  const { status } = task;
  const state = stateOf(task);
  const host = task.nodeId === "" ? "" : ` on ${hostnames.get(task.nodeId) ?? task.nodeId}`;
  const detail = state === TaskState.RUNNING ? "" : status?.err || status?.message || "";
  const word = taskStateWord(state).toLowerCase();
  return `${taskName(task)}: ${word.padEnd(10)}${bar(state)}${host}${detail === "" ? "" : `  ${detail}`}`;
}

/** "[====>  ]" */
function bar(state: TaskState): string {
  const hasFailed = state > TaskState.COMPLETE;
  const done = hasFailed ? 0 : steps.filter((step) => step <= state).length;
  const line = done === 0 || done === steps.length ? "=".repeat(done) : `${"=".repeat(done - 1)}>`;
  return `[${line.padEnd(steps.length)}]`;
}

function stateOf({ status }: Task): TaskState {
  return status?.state ?? TaskState.NEW;
}
