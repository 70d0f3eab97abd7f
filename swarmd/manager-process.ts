/**
 * The manager of this host as a process of its own, so that a burst of scheduling never delays a container's
 * supervision. Started again when it ends, with growing pauses; ended with the daemon, whose closing of its standard
 * input it notices even when the daemon is killed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Fault } from "#proto/fault.ts";
import type { Clock, Log } from "#proto/ports.ts";

/** Replaying a long log takes time; longer than this is a fault worth telling. */
const readyMs = 30_000;
/** A clean end includes finishing what is being written. */
const stopMs = 5_000;
const backoffMsMin = 100;
const backoffMsMax = 10_000;
/** One that served for less than this is taken for one that keeps failing. */
const steadyMs = 10_000;
/** What the manager prints when it serves. */
const readyLine = "ready";

const managerMain = fileURLToPath(import.meta.resolve("#manager/main.ts"));

export interface ManagerProcessOptions {
  /** The program, run by Node. */
  readonly main?: string;
  readonly args: readonly string[];
}

export class ManagerProcess implements AsyncDisposable {
  readonly #options: ManagerProcessOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #stopping = new AbortController();
  readonly #supervision: Promise<void>;
  /** Resolves when the manager serves for the first time; a Fault with its own words when it ends before that. */
  readonly ready: Promise<void>;
  #child: ChildProcess | undefined;

  constructor(options: ManagerProcessOptions, modules: { clock: Clock; log: Log }) {
    this.#options = options;
    this.#clock = modules.clock;
    this.#log = modules.log;
    const first = this.#spawn();
    this.ready = first.ready;
    this.#supervision = this.#supervise(first);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Fault("canceled", "swarmd is stopping"));
    const child = this.#child;
    if (child === undefined) return;
    child.kill("SIGTERM");
    using _deadline = this.#clock.timer(stopMs, () => child.kill("SIGKILL"));
    await this.#supervision;
  }

  /** Starts the manager again whenever it ends, until stopped. */
  async #supervise(first: Run): Promise<void> {
    let run = first;
    let backoffMs = backoffMsMin;
    for (;;) {
      const served = await run.ready.then(
        () => this.#clock.monotonic(),
        () => undefined,
      );
      const why = await run.ended;
      if (served !== undefined && this.#clock.monotonic() - served >= steadyMs) {
        backoffMs = backoffMsMin;
      }
      const { signal } = this.#stopping;
      if (signal.aborted) return;
      this.#log.error("the manager ended; it is started again", { why, pauseMs: backoffMs });
      await this.#clock.sleep(backoffMs, signal).catch(() => undefined);
      if (signal.aborted) return;
      backoffMs = Math.min(backoffMs * 2, backoffMsMax);
      run = this.#spawn();
    }
  }

  #spawn(): Run {
    const { main = managerMain, args } = this.#options;
    const child = spawn(process.execPath, [main, ...args], { stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    const lastWords: string[] = [];
    createInterface({ input: child.stderr }).on("line", (line) => {
      process.stderr.write(`${line}\n`);
      lastWords.push(line);
      if (lastWords.length > 5) lastWords.shift();
    });
    const ended = new Promise<string>((resolve) => {
      child.on("error", (error) => resolve(error.message));
      child.on("close", (code, signal) => {
        resolve(`${signal ?? `status ${code}`}: ${lastWords.at(-1) ?? "it said nothing"}`);
      });
    });
    return { ended, ready: this.#ready(child, ended) };
  }

  #ready(child: ChildProcess, ended: Promise<string>): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = this.#clock.timer(readyMs, () => {
      child.kill("SIGKILL");
      reject(
        new Fault("deadline-exceeded", `the manager did not serve within ${readyMs / 1000} s`),
      );
    });
    if (child.stdout !== null) {
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (line === readyLine) resolve();
      });
    }
    void ended.then((why) =>
      reject(new Fault("unavailable", `the manager ended before it served: ${why}`)),
    );
    return promise.finally(() => timer[Symbol.dispose]());
  }
}

interface Run {
  /** Resolves with why the process ended. */
  readonly ended: Promise<string>;
  readonly ready: Promise<void>;
}
