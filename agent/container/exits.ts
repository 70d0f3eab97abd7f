/**
 * The exits of containers. conmon writes a container's exit code to a file named after it, by renaming, so inotify tells
 * of it at once and a file that is there is complete. The files stay until their attempt is released, so an exit that
 * happened while nobody looked is found later.
 */
import { type FSWatcher, mkdirSync, readFileSync, watch } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import { isId } from "#proto/ids.ts";
import type { Log } from "#proto/ports.ts";

export type OnExit = (taskId: string, exitCode: number) => void;

export class Exits {
  readonly folder: string;
  readonly #watcher: FSWatcher;

  constructor(folder: string, modules: { readonly onExit: OnExit; readonly log: Log }) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    this.#watcher = watch(folder, (_event, name) => {
      if (name === null || !isId(name)) return;
      try {
        const exitCode = this.read(name);
        if (exitCode !== undefined) modules.onExit(name, exitCode);
      } catch (error) {
        // Too many open files, for one. Whoever looks from time to time finds it later.
        modules.log.error("Cannot read how a container ended", {
          task: name,
          error: Fault.from(error).message,
        });
      }
    });
    this.#watcher.on("error", (error) =>
      modules.log.error("Cannot watch for exits of containers", { error: error.message }),
    );
  }

  /** The exit code of the task's present attempt, if it ended. Read at once: a stale file must not be taken for a new one. */
  read(taskId: string): number | undefined {
    try {
      const text = readFileSync(join(this.folder, taskId), "utf8");
      return /^-?[0-9]{1,5}$/.test(text.trim()) ? Number(text) : undefined;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  async forget(taskId: string): Promise<void> {
    await rm(join(this.folder, taskId), { force: true });
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
  }
}
