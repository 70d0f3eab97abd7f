/** The clients (main.ts), on a host from which the managers can be reached. */
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Host } from "#lab/host.ts";
import { Fault } from "#proto/fault.ts";
import type { Job } from "./main.ts";
import type { Operation } from "./operation.ts";

const program = fileURLToPath(new URL("main.ts", import.meta.url));

export class Clients implements Disposable {
  readonly operations: Operation[] = [];
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  constructor(host: Host, job: Job) {
    this.#child = host.spawn(process.execPath, [program, JSON.stringify(job)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const { stdout } = this.#child;
    if (stdout === null) throw new Fault("internal", "the clients have no output");
    createInterface({ input: stdout }).on("line", (line) => {
      this.operations.push(JSON.parse(line) as Operation);
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    promise.catch(() => {}); // who finishes is told
    this.#ended = promise;
    this.#child.on("close", (status) => {
      if (status === 0) resolve();
      else reject(new Fault("internal", `the clients ended with status ${status}`));
    });
  }

  /** Resolves when all of them have ended what they were at, and everything is in `operations`. */
  async finish(): Promise<void> {
    this.#child.stdin?.end();
    await this.#ended;
  }

  [Symbol.dispose](): void {
    this.#child.stdin?.end();
  }
}
