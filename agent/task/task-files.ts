/**
 * What a task leaves on disk so that it goes on when this program is started again: the task as the managers sent it,
 * and its state. Written by renaming, so a file is old or new, never half; not synced, because after a power loss the
 * containers are gone anyway and the managers send their tasks again.
 */
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Fault, errnoOf } from "#proto/fault.ts";
import { type Task, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { isId } from "#proto/ids.ts";
import type { State } from "./state.ts";
import { parseState } from "./parse-state.ts";

export interface StoredTask {
  readonly task: Task;
  readonly state: State;
}

export class TaskFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async saveTask(task: Task): Promise<void> {
    await mkdir(join(this.#folder, task.id), { recursive: true });
    await this.#write(task.id, "task.bin", toBinary(TaskSchema, task));
  }

  async saveState(taskId: string, state: State): Promise<void> {
    await this.#write(taskId, "state.json", JSON.stringify(state));
  }

  /** The IDs of all tasks that have a folder here. */
  async list(): Promise<readonly string[]> {
    try {
      return (await readdir(this.#folder)).filter(isId);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return [];
      throw error;
    }
  }

  /** Undefined where a file is missing or torn. */
  async load(taskId: string): Promise<StoredTask | undefined> {
    const folder = join(this.#folder, taskId);
    try {
      const [task, state] = await Promise.all([
        readFile(join(folder, "task.bin")),
        readFile(join(folder, "state.json"), "utf8"),
      ]);
      return { task: parseTask(task, taskId), state: parseState(state) };
    } catch (error) {
      const fault = Fault.from(error);
      if (fault.code === "not-found" || fault.code === "data-loss") return undefined;
      throw error;
    }
  }

  async #write(taskId: string, name: string, content: string | Uint8Array): Promise<void> {
    const path = join(this.#folder, taskId, name);
    await writeFile(`${path}.new`, content, { mode: 0o600 });
    await rename(`${path}.new`, path);
  }
}

function parseTask(bytes: Uint8Array, taskId: string): Task {
  try {
    const task = fromBinary(TaskSchema, bytes);
    if (task.id === taskId) return task;
  } catch (error) {
    throw new Fault("data-loss", `the file of task "${taskId}" is damaged`, { cause: error });
  }
  throw new Fault("data-loss", `the file of task "${taskId}" is that of another task`);
}
