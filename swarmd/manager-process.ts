/**
 * The manager of this host as a process of its own, so that a burst of scheduling never delays a container's
 * supervision. Started again when it ends, with growing pauses; ended with the daemon, whose closing of its standard
 * input it notices even when the daemon is killed.
 *
 * What both say to each other is in proto/manager-messages.ts. Supervision ends by itself when the manager says that it
 * is locked, or was removed from the managers: starting it again would change nothing.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Fault } from "#proto/fault.ts";
import type { FromManager, ManagerStart, TlsIdentity, ToManager } from "#proto/manager-messages.ts";
import type { Clock, Log } from "#proto/ports.ts";
import { parseManagerMessage } from "./parse-manager-message.ts";

/** Replaying a long log takes time, on a slow host more of it: killed half-way, it would begin again and never end. */
const readyMsDefault = 180_000;
/** A clean end includes handing over leadership, and answering what is being written, which may wait for who leads then. */
const stopMs = 10_000;
const backoffMsMin = 100;
const backoffMsMax = 10_000;
/** One that served for less than this is taken for one that keeps failing. */
const steadyMs = 10_000;

/**
 * MiB of half of V8's young generation. Left to itself it grows to 32, which stays with a manager that is idle for good;
 * more than this makes no write cheaper.
 */
const semiSpaceMax = 8;

const managerMain = fileURLToPath(import.meta.resolve("#manager/main.ts"));

export type Issued = Extract<FromManager, { kind: "issued" }>;

/** Why it is not started again. */
export type ManagerEnd = "stopped" | "locked" | "removed";

export interface ManagerProcessOptions {
  /** The program, run by Node. */
  readonly main?: string;
  readonly args: readonly string[];
  /** Where Node keeps what it has compiled; the environment may name another folder. */
  readonly compileCache: string;
  /** Asked anew for each start: one that has a log goes on with it. */
  readonly start: () => ManagerStart;
  /** Absent: the manager issues it. */
  readonly identity?: TlsIdentity;
  readonly unlockKey?: string;
  /** For one that makes a cluster: what it issued, as the identity that it serves with. */
  readonly complete?: (issued: Issued) => TlsIdentity;
  readonly readyMs?: number;
}

export class ManagerProcess implements AsyncDisposable {
  readonly #options: ManagerProcessOptions;
  #args: readonly string[];
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #stopping = new AbortController();
  /** Resolves when the manager serves for the first time; a Fault with its own words when it ends before that. */
  readonly ready: Promise<void>;
  /** Resolves when there is no process and will be none. */
  readonly ended: Promise<ManagerEnd>;
  #child: ChildProcess | undefined;
  #identity: TlsIdentity | undefined;
  #unlockKey: string;
  /** Whether the manager said what its unlock key is. */
  #toldKey = false;
  #onUnlockKey: (unlockKey: string) => void = () => {};
  #problem = "";

  constructor(options: ManagerProcessOptions, modules: { clock: Clock; log: Log }) {
    this.#options = options;
    this.#args = options.args;
    this.#clock = modules.clock;
    this.#log = modules.log;
    this.#identity = options.identity;
    this.#unlockKey = options.unlockKey ?? "";
    const first = this.#spawn();
    this.ready = first.ready;
    this.ended = this.#supervise(first);
  }

  /** Why it ended last, in its own words where it gave some; empty once it serves again. */
  get problem(): string {
    return this.#problem;
  }

  /** What this host's files are locked with; empty: they are not. */
  get unlockKey(): string {
    return this.#unlockKey;
  }

  /** Calls the listener with the unlock key that the manager told last, and with each that it will. */
  onUnlockKey(listener: (unlockKey: string) => void): void {
    this.#onUnlockKey = listener;
    if (this.#toldKey) listener(this.#unlockKey);
  }

  /** Gives the manager that runs a new certificate; one that is started later is told at its beginning. */
  replaceIdentity(identity: TlsIdentity): void {
    this.#identity = identity;
    if (this.#child !== undefined) tell(this.#child, { kind: "identity", identity });
  }

  /** Other arguments from now on, as far as the manager that runs can take them up; else from its next start on. */
  configure(args: readonly string[]): void {
    this.#args = args;
    if (this.#child !== undefined) tell(this.#child, { kind: "settings", args });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Fault("canceled", "swarmd is stopping"));
    const child = this.#child;
    if (child === undefined) return;
    child.kill("SIGTERM");
    using _deadline = this.#clock.timer(stopMs, () => child.kill("SIGKILL"));
    await this.ended;
  }

  /** Starts the manager again whenever it ends, until there is a reason not to. */
  async #supervise(first: Run): Promise<ManagerEnd> {
    let run = first;
    let backoffMs = backoffMsMin;
    for (;;) {
      const served = await run.ready.then(
        () => {
          this.#problem = "";
          return this.#clock.monotonic();
        },
        () => undefined,
      );
      const { why, end } = await run.ended;
      if (end !== undefined) return end;
      this.#problem = wordsOf(why);
      if (served !== undefined && this.#clock.monotonic() - served >= steadyMs) {
        backoffMs = backoffMsMin;
      }
      const { signal } = this.#stopping;
      if (signal.aborted) return "stopped";
      this.#log.error("the manager ended; it is started again", { why, pauseMs: backoffMs });
      await this.#clock.sleep(backoffMs, signal).catch(() => undefined);
      if (signal.aborted) return "stopped";
      backoffMs = Math.min(backoffMs * 2, backoffMsMax);
      run = this.#spawn();
    }
  }

  #spawn(): Run {
    const { main = managerMain, compileCache } = this.#options;
    const argv = [`--max-semi-space-size=${semiSpaceMax}`, main, ...this.#args];
    // What is read from there need not be compiled, which saves a manager time and some 20 MB for good.
    const env = { NODE_COMPILE_CACHE: compileCache, ...process.env };
    const child = spawn(process.execPath, argv, { env, stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    // One that ended already reads nothing; what became of it is told by its end.
    child.stdin.on("error", () => {});
    tell(child, this.#begin());
    const lastWords: string[] = [];
    createInterface({ input: child.stderr }).on("line", (line) => {
      process.stderr.write(`${line}\n`);
      lastWords.push(line.replace(/^<\d>/, ""));
      if (lastWords.length > 5) lastWords.shift();
    });
    const served = Promise.withResolvers<void>();
    let end: ManagerEnd | undefined;
    createInterface({ input: child.stdout }).on("line", (line) => {
      const message = parseManagerMessage(line);
      if (message === undefined) {
        this.#log.warn("the manager said what nobody understands", { length: line.length });
      } else if (message.kind === "ready") served.resolve();
      else if (message.kind === "locked" || message.kind === "removed") {
        end ??= message.kind;
        this.#endSoon(child);
      } else this.#onMessage(child, message);
    });
    const ended = new Promise<Ending>((resolve) => {
      child.on("error", (error) => resolve({ why: error.message, end }));
      child.on("close", (code, signal) => {
        const why = `${signal ?? `status ${code}`}: ${lastWords.at(-1) ?? "it said nothing"}`;
        resolve({ why, end });
      });
    });
    return { ended, ready: this.#ready(child, served, ended) };
  }

  #begin(): ToManager {
    return {
      kind: "begin",
      start: this.#options.start(),
      ...(this.#identity !== undefined && { identity: this.#identity }),
      ...(this.#unlockKey !== "" && { unlockKey: this.#unlockKey }),
    };
  }

  #onMessage(
    child: ChildProcess,
    message: Exclude<FromManager, { kind: "ready" | "locked" | "removed" }>,
  ): void {
    if (message.kind === "unlock-key") {
      this.#unlockKey = message.unlockKey;
      this.#toldKey = true;
      this.#onUnlockKey(message.unlockKey);
      return;
    }
    const { complete } = this.#options;
    if (complete === undefined) {
      this.#log.warn("the manager issued a certificate that nobody asked for");
      return;
    }
    try {
      this.#identity = complete(message);
      tell(child, { kind: "identity", identity: this.#identity });
    } catch (thrown) {
      const error = Fault.from(thrown).message;
      this.#log.error("Cannot use the certificate that the manager issued", { error });
      child.kill("SIGTERM");
    }
  }

  /** It ends by itself after its last word; one that does not is made to. */
  #endSoon(child: ChildProcess): void {
    const timer = this.#clock.timer(stopMs, () => child.kill("SIGKILL"));
    child.once("close", () => timer[Symbol.dispose]());
    child.kill("SIGTERM");
  }

  #ready(
    child: ChildProcess,
    { promise, resolve: _served, reject }: PromiseWithResolvers<void>,
    ended: Promise<Ending>,
  ): Promise<void> {
    const { readyMs = readyMsDefault } = this.#options;
    const timer = this.#clock.timer(readyMs, () => {
      child.kill("SIGKILL");
      reject(
        new Fault("deadline-exceeded", `the manager did not serve within ${readyMs / 1000} s`),
      );
    });
    void ended.then(({ why, end }) => reject(endedBeforeServing(why, end)));
    return promise.finally(() => timer[Symbol.dispose]());
  }
}

function endedBeforeServing(why: string, end: ManagerEnd | undefined): Fault {
  switch (end) {
    case "locked":
      return new Fault("permission-denied", "the manager is locked, and not with the key at hand");
    case "removed":
      return new Fault("failed-precondition", "it was taken out of the managers meanwhile");
    default:
      return new Fault("unavailable", wordsOf(why));
  }
}

/** Where it cannot go on, its last line says why, for users to read. */
function wordsOf(why: string): string {
  return /^status 1: manager: (.+)$/.exec(why)?.[1] ?? `the manager ended: ${why}`;
}

function tell(child: ChildProcess, message: ToManager): void {
  child.stdin?.write(`${JSON.stringify(message)}\n`);
}

interface Ending {
  readonly why: string;
  readonly end: ManagerEnd | undefined;
}

interface Run {
  readonly ended: Promise<Ending>;
  readonly ready: Promise<void>;
}
