/**
 * Takes a lab down when the process that made it dies, by whatever means. A shell waits on a pipe whose only writer is
 * this process: a line says that there is nothing left to do, the pipe's end that nobody is left to do it.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { start } from "./process.ts";

export class Janitor {
  readonly #shell: ChildProcess;

  /** Runs `argv` if this process ends without `dismiss`. */
  constructor(argv: readonly string[]) {
    // In a session of its own: what ends this process, such as Ctrl-C, must not end the janitor.
    const shell = start(["sh", "-c", 'read -r _ || exec "$@"', "janitor", ...argv], {
      stdio: ["pipe", "ignore", "ignore"],
      cwd: "/",
      detached: true,
    });
    shell.unref();
    this.#shell = shell;
  }

  async dismiss(): Promise<void> {
    if (this.#shell.exitCode !== null || this.#shell.signalCode !== null) return;
    const ended = once(this.#shell, "exit");
    this.#shell.ref();
    this.#shell.stdin?.end("done\n");
    await ended;
  }
}
