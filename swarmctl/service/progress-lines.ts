/** A service's progress as lines: all tasks on a terminal, the sum and what goes wrong anywhere else. */
import { type Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Output } from "../io.ts";
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
import { taskName } from "./words.ts";

/** More services' tasks than these are summed up in the first line only. */
const taskLinesMax = 20;

export interface ProgressPrinter {
  show(progress: Progress): void;
}

export const quietPrinter: ProgressPrinter = { show: () => {} };

export function progressPrinter(output: Output): ProgressPrinter {
  const lines = liveLines(output);
  return {
    show(progress) {
      if (output.isTTY) return lines([overall(progress), ...taskLines(progress)]);
      const error = firstError(progress);
      lines([overall(progress), ...(error === undefined ? [] : [error])]);
    },
  };
}

function overall(progress: Progress): string {
  const { service } = progress;
  const [running, wanted] = [runningCount(progress), wantedCount(progress)];
  const isActive = service !== undefined && isUnderUpdate(service);
  const back = isActive && isRollback(service) ? "rolling back update: " : "";
  const watched = isActive && running === wanted ? ", watched whether they stay" : "";
  return `overall progress: ${back}${running} out of ${wanted} tasks${watched}`;
}

function taskLines(progress: Progress): string[] {
  if (wantedCount(progress) > taskLinesMax) return [];
  return presentTasks(progress)
    .slice(0, taskLinesMax)
    .map((task) => taskLine(task, progress));
}

function taskLine(task: Task, { hostnames }: Progress): string {
  const { status } = task;
  const state = status?.state ?? TaskState.NEW;
  const host = task.nodeId === "" ? "" : ` on ${hostnames.get(task.nodeId) ?? task.nodeId}`;
  const detail = state === TaskState.RUNNING ? "" : status?.err || status?.message || "";
  const word = taskStateWord(state).toLowerCase();
  return `${taskName(task)}: ${word.padEnd(10)}${host}${detail === "" ? "" : `  ${detail}`}`;
}
