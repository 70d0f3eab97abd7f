/** Progress as text: lines that replace each other on a terminal, one line per change anywhere else. */
import { type Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Output } from "../io.ts";
import { truncate, visible } from "../output/table.ts";
import { taskStateWord } from "../task/print-tasks.ts";
import { firstError, type Progress, presentTasks, runningCount, wantedCount } from "./progress.ts";
import { taskName } from "./words.ts";

/** More services' tasks than these are summed up in the first line only. */
const taskLinesMax = 20;

export interface ProgressPrinter {
  show(progress: Progress): void;
}

export const quietPrinter: ProgressPrinter = { show: () => {} };

export function progressPrinter(output: Output): ProgressPrinter {
  return output.isTTY ? terminalPrinter(output) : linePrinter(output);
}

function linePrinter(output: Output): ProgressPrinter {
  const told = new Set<string>();
  return {
    show(progress) {
      const error = firstError(progress);
      for (const line of [overall(progress), ...(error === undefined ? [] : [error])]) {
        if (told.has(line)) continue;
        told.add(line);
        output.write(`${visible(line)}\n`);
      }
    },
  };
}

function terminalPrinter(output: Output): ProgressPrinter {
  let shown = "";
  return {
    show(progress) {
      const width = (output.columns ?? 80) - 1;
      const lines = [overall(progress), ...taskLines(progress)];
      const text = lines.map((line) => `\x1b[K${truncate(visible(line), width)}\n`).join("");
      if (text === shown) return;
      // Back to the first of the lines shown before; what is left of them below is erased.
      const back = shown === "" ? "" : `\x1b[${shown.split("\n").length - 1}A\r`;
      shown = text;
      output.write(`${back}${text}\x1b[J`);
    },
  };
}

function overall(progress: Progress): string {
  return `overall progress: ${runningCount(progress)} out of ${wantedCount(progress)} tasks`;
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
