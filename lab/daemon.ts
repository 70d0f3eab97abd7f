/**
 * A program that runs in a box by itself, as a child of its init: `swarmd` on a host, the registry on the LAN. Who it is
 * stands in a file beside the box, so any process can stop it or look whether it runs.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Box } from "./box.ts";
import {
  childrenOf,
  identify,
  innerPid,
  isAlive,
  isStopped,
  type ProcessId,
  parseProcessId,
  sendSignal,
} from "./process-id.ts";
import { type WaitOptions, waitFor } from "./wait.ts";

const stopTimeoutMs = 20_000;
const logTailBytes = 2_000;

export interface DaemonOptions {
  readonly name: string;
  readonly argv: readonly string[];
  /** Its output is appended here. */
  readonly logPath: string;
}

export class Daemon {
  readonly logPath: string;
  readonly #box: Box;
  readonly #options: DaemonOptions;

  constructor(box: Box, options: DaemonOptions) {
    this.logPath = options.logPath;
    this.#box = box;
    this.#options = options;
  }

  /** The running process, as the machine numbers it. */
  get process(): ProcessId | undefined {
    const record = this.#record();
    return record !== undefined && isAlive(record) ? record : undefined;
  }

  /** Starts it; `extraArgs` come after its usual ones. Resolves when the process is there, not when it is ready. */
  async start(extraArgs: readonly string[] = []): Promise<void> {
    const { name, argv, logPath } = this.#options;
    if (this.process !== undefined) {
      throw new Fault("failed-precondition", `"${name}" runs already`);
    }
    // The shell ends at once, so the program becomes a child of the box's init and is tied to nothing outside.
    const script = 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 & echo $!';
    const said = await this.#box.run("sh", ["-c", script, "sh", logPath, ...argv, ...extraArgs]);
    const started = this.#find(Number(said));
    if (started === undefined) throw this.ended();
    writeFileSync(this.#recordPath, JSON.stringify(started));
  }

  /** Asks it to end, and waits until it has. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Ends it without a word (`kill -9`). Its children go on. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Stops its execution (SIGSTOP): it keeps all it has, and answers nobody. */
  async pause(): Promise<void> {
    const running = this.#running();
    sendSignal(running, "SIGSTOP");
    const stopped = () => isStopped(running);
    await waitFor(`"${this.#options.name}" to pause`, stopped, { timeoutMs: stopTimeoutMs });
  }

  /** Undoes `pause`. */
  resume(): void {
    sendSignal(this.#running(), "SIGCONT");
  }

  /** Waits until `condition` holds; fails at once when the program ends first. */
  async ready(condition: () => boolean | Promise<boolean>, options: WaitOptions): Promise<void> {
    const check = async () => {
      if (await condition()) return true;
      if (this.process === undefined) throw this.ended();
      return false;
    };
    await waitFor(`"${this.#options.name}" to be ready (see ${this.logPath})`, check, options);
  }

  /** The fault of having ended by itself, with its last words. */
  ended(): Fault {
    const words = readFileSync(this.logPath, "utf8").slice(-logTailBytes).trim();
    return new Fault("internal", `"${this.#options.name}" ended: ${words || "it said nothing"}`);
  }

  #running(): ProcessId {
    const running = this.process;
    if (running !== undefined) return running;
    throw new Fault("failed-precondition", `"${this.#options.name}" does not run`);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const running = this.process;
    if (running !== undefined) {
      sendSignal(running, signal);
      const gone = () => !isAlive(running);
      await waitFor(`"${this.#options.name}" to end`, gone, { timeoutMs: stopTimeoutMs });
    }
    rmSync(this.#recordPath, { force: true });
  }

  /** The child of init that knows itself by this pid. */
  #find(inner: number): ProcessId | undefined {
    const init = this.#box.init;
    if (init === undefined) return undefined;
    const outer = childrenOf(init.pid).find((pid) => innerPid(pid) === inner);
    return outer === undefined ? undefined : identify(outer);
  }

  get #recordPath(): string {
    return join(this.#box.folder, `${this.#options.name}.json`);
  }

  #record(): ProcessId | undefined {
    try {
      return parseProcessId(JSON.parse(readFileSync(this.#recordPath, "utf8")));
    } catch (thrown) {
      if (errnoOf(thrown) === "ENOENT") return undefined;
      throw Fault.wrap(`Cannot read ${this.#recordPath}`, thrown);
    }
  }
}
