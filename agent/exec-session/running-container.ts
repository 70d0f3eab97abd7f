/**
 * A task's container as those find it who look into it: its first process, and what it was started with. Read from the
 * disk each time, so that it holds also for containers that an earlier run of this program started.
 */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import { isId } from "#proto/ids.ts";
import { isContainerAlive, readPid } from "../container/supervised-process.ts";

export interface ContainerPlaces {
  /** A folder for each task. */
  readonly tasksFolder: string;
  /** Where the runtime keeps its state of each container. */
  readonly runtimeRoot: string;
}

export interface RunningContainer {
  readonly taskId: string;
  /** On the host. */
  readonly pid: number;
  /** Of the present attempt. */
  readonly bundle: string;
}

export interface ContainerProcess {
  readonly terminal?: boolean;
  readonly env?: readonly string[];
  readonly cwd: string;
  readonly [other: string]: unknown;
}

/** The container of a task that runs here; anything else is a Fault. */
export async function runningContainer(
  taskId: string,
  { tasksFolder, runtimeRoot }: ContainerPlaces,
): Promise<RunningContainer> {
  if (!isId(taskId)) throw new Fault("invalid-argument", `"${taskId}" is not the ID of a task`);
  const attempts = (await attemptsOf(join(tasksFolder, taskId))).toSorted((a, b) => b - a);
  if (attempts.length === 0) {
    throw new Fault("not-found", `task "${taskId}" has no container on this node`);
  }
  const created = existsSync(join(runtimeRoot, taskId, "exec.fifo"));
  for (const attempt of created ? [] : attempts) {
    const bundle = join(tasksFolder, taskId, `${attempt}`);
    const pid = readPid(join(bundle, "pid"));
    if (pid !== undefined && isContainerAlive(pid, taskId)) return { taskId, pid, bundle };
  }
  throw new Fault("failed-precondition", `the container of task "${taskId}" does not run now`);
}

/** What the container's first process is started with. */
export async function containerProcess({ bundle }: RunningContainer): Promise<ContainerProcess> {
  const spec: { readonly process: ContainerProcess } = JSON.parse(
    await readFile(join(bundle, "config.json"), "utf8"),
  );
  return spec.process;
}

async function attemptsOf(taskFolder: string): Promise<number[]> {
  try {
    const names = await readdir(taskFolder);
    return names.filter((name) => /^[0-9]+$/.test(name)).map(Number);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return [];
    throw thrown;
  }
}
