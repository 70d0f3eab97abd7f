/**
 * The place of everything that is not complete yet, on the same file system as the rest so that a finished thing is
 * renamed out of it. Whatever is in it when the daemon starts was left by a process that died, and is removed.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Random } from "#proto/ports.ts";
import type { Exec } from "../exec.ts";

export interface TemporaryPath extends AsyncDisposable {
  readonly path: string;
}

/** An image's tree may have a hundred thousand files. */
const removeTimeoutMs = 10 * 60_000;

const nameBytes = 12;

const leftoverAttemptsMax = 10;

export class TemporaryFolder {
  readonly #path: string;
  readonly #modules: { readonly exec: Exec; readonly random: Random };

  static async open(
    path: string,
    modules: { readonly exec: Exec; readonly random: Random },
  ): Promise<TemporaryFolder> {
    const folder = new TemporaryFolder(path, modules);
    await folder.#removeLeftovers();
    await mkdir(path, { recursive: true, mode: 0o700 });
    return folder;
  }

  constructor(path: string, modules: { readonly exec: Exec; readonly random: Random }) {
    this.#path = path;
    this.#modules = modules;
  }

  /** A path for a file. When disposed the file is removed, unless it was renamed. */
  file(): TemporaryPath {
    const path = this.#name();
    return { path, [Symbol.asyncDispose]: () => rm(path, { force: true }) };
  }

  /** A new, empty folder. When disposed it is removed with everything in it, unless it was renamed. */
  async folder(): Promise<TemporaryPath> {
    const path = this.#name();
    await mkdir(path, { mode: 0o755 });
    return { path, [Symbol.asyncDispose]: () => this.#remove(path) };
  }

  #name(): string {
    return join(this.#path, Buffer.from(this.#modules.random.bytes(nameBytes)).toString("hex"));
  }

  /** A program that a killed process has left may write one thing more before it sees that its input has ended. */
  async #removeLeftovers(): Promise<void> {
    for (let attempts = 1; ; attempts += 1) {
      try {
        return await this.#remove(this.#path);
      } catch (error) {
        if (attempts === leftoverAttemptsMax) throw error;
      }
    }
  }

  /** By a child process: a big tree is a lot of work for an event loop. */
  async #remove(path: string): Promise<void> {
    await this.#modules.exec.run("rm", ["-rf", "--", path], { timeoutMs: removeTimeoutMs });
  }
}
