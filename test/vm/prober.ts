/** Somebody outside who asks the stack all the time, through every host that is up; in a process of its own. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Fault } from "#proto/fault.ts";
import type { Machine } from "./machine.ts";
import type { Site } from "./site.ts";
import { publishedPort } from "./stack.ts";

const program = fileURLToPath(new URL("prober-main.ts", import.meta.url));
const pauseMs = 500;

export interface Probed {
  readonly answered: number;
  /** Time, host and reason of each. */
  readonly failures: readonly string[];
  readonly slowestMs: number;
}

export class Prober implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** Resolves when it has begun to ask. */
  static async start(site: Site, machines: readonly Machine[]): Promise<Prober> {
    const hosts = machines.map(({ address }) => address);
    const args = [program, String(pauseMs), `:${publishedPort}/cgi-bin/ask`, ...hosts];
    const process = site.operator.spawn(globalThis.process.execPath, args, {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const prober = new Prober(process);
    await prober.#until("asking");
    return prober;
  }

  constructor(process: ChildProcess) {
    if (process.stdout === null) throw new Fault("internal", "no pipes");
    this.#process = process;
    this.#lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  }

  /** Resolves when the machine is not asked any more. */
  async leaveOut({ address }: Machine): Promise<void> {
    this.#process.stdin?.write(`${address} down\n`);
    await this.#until(`${address} down`);
  }

  async takeIn({ address }: Machine): Promise<void> {
    this.#process.stdin?.write(`${address} up\n`);
    await this.#until(`${address} up`);
  }

  /** Resolves when so many have been answered, or have failed. */
  async answers(count: number): Promise<void> {
    this.#process.stdin?.write(`${count} wanted\n`);
    await this.#until(`${count} there`);
  }

  /** What came of all requests. */
  async stop(): Promise<Probed> {
    this.#process.stdin?.end();
    return JSON.parse(await this.#until("{")) as Probed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const ended = once(this.#process, "exit");
    this.#process.stdin?.end();
    await ended;
  }

  async #until(prefix: string): Promise<string> {
    for (;;) {
      const line = await this.#lines.next();
      if (line.done === true) throw new Fault("internal", `the prober ended before "${prefix}"`);
      if (line.value.startsWith(prefix)) return line.value;
    }
  }
}
