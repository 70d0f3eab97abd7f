/**
 * The files of tasks' secrets and configs: in memory, on a tmpfs of this node that no container sees but by its own files.
 * They stay from a task's first start to its end, so that restarts in place need no manager; a restart of swarmd finds
 * them. The tmpfs is there while a task needs it.
 */
import { existsSync } from "node:fs";
import {
  chmod,
  chown,
  mkdir,
  readdir,
  realpath,
  rename,
  rm,
  rmdir,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Exec } from "../exec.ts";
import { readMountPoints } from "../volume/mount-table.ts";
import type { FileContent } from "./file-content.ts";

export interface PlacedFile {
  /** In the container. */
  readonly path: string;
  /** On the host. */
  readonly source: string;
}

export class SecretFiles {
  readonly #root: string;
  readonly #exec: Exec;
  /** The end of the newest step: the tmpfs must not go while a task's files come. */
  #busy: Promise<unknown> = Promise.resolve();

  constructor(root: string, exec: Exec) {
    this.#root = root;
    this.#exec = exec;
  }

  /** Whether the task's files are there. */
  async has(taskId: string): Promise<boolean> {
    return (await this.tasks()).includes(taskId);
  }

  /** The tasks that have files. */
  async tasks(): Promise<readonly string[]> {
    try {
      return (await readdir(this.#root)).filter((name) => !name.endsWith(".new"));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return [];
      throw error;
    }
  }

  /** Where the files that were written for the task are. */
  placed(taskId: string, paths: readonly string[]): readonly PlacedFile[] {
    return paths.map((path, index) => ({
      path,
      source: join(this.#root, taskId, `${index}`),
    }));
  }

  /** All of them or none, in the order of `placed`. */
  async write(taskId: string, files: readonly FileContent[]): Promise<void> {
    await this.#serial(async () => {
      await this.#mount();
      const fresh = join(this.#root, `${taskId}.new`);
      await rm(fresh, { recursive: true, force: true });
      await mkdir(fresh, { mode: 0o700 });
      for (const [index, { data, uid, gid, mode }] of files.entries()) {
        const path = join(fresh, `${index}`);
        await writeFile(path, data, { mode: 0o600 });
        await chown(path, uid, gid);
        await chmod(path, mode);
      }
      await rename(fresh, join(this.#root, taskId));
    });
  }

  /** Frees the task's files, and the tmpfs with the last of them. */
  async release(taskId: string): Promise<void> {
    if (!existsSync(this.#root)) return;
    await this.#serial(async () => {
      for (const name of [taskId, `${taskId}.new`]) {
        await rm(join(this.#root, name), { recursive: true, force: true });
      }
      await this.#unmountUnused();
    });
  }

  async #mount(): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    if (await this.#isMounted()) return;
    const options = "mode=0700,nosuid,nodev,noexec";
    await this.#exec.run("mount", ["-t", "tmpfs", "-o", options, "tmpfs", this.#root]);
  }

  async #unmountUnused(): Promise<void> {
    try {
      if ((await readdir(this.#root)).length > 0) return;
      if (await this.#isMounted()) await this.#exec.run("umount", ["--", this.#root]);
      await rmdir(this.#root);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw Fault.wrap("Cannot free the memory of secrets", error);
    }
  }

  async #isMounted(): Promise<boolean> {
    return (await readMountPoints()).includes(await realpath(this.#root));
  }

  async #serial<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#busy.catch(() => undefined).then(work);
    this.#busy = done;
    return await done;
  }
}
