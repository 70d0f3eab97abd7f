/**
 * One command in a container: `runc exec`, whose standard streams are the caller's. For a terminal, socat gives runc one
 * of the host's, and runc joins it to the container's: descriptors of terminals cannot be passed to Node.
 *
 * The folder of a session holds what runc is told, the process's ID once it runs, and of a terminal the exit status.
 */
import { existsSync, readFileSync, watch } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";
import type { TerminalSize } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Clock } from "#proto/ports.ts";
import { runtimeMessage } from "../container/conmon.ts";
import { readPid } from "../container/supervised-process.ts";
import type { Exec } from "../exec.ts";
import { type Output, readOutputs } from "./child-output.ts";
import { type Child, exitCodeOf, killGroup } from "./process-group.ts";
import type { ContainerProcess } from "./running-container.ts";

export interface SessionOptions {
  /** Of its own, and empty. */
  readonly folder: string;
  readonly taskId: string;
  readonly process: ContainerProcess;
  readonly openStdin: boolean;
  readonly size: Pick<TerminalSize, "rows" | "columns"> | undefined;
  readonly runtime: string;
  readonly runtimeRoot: string;
}

export interface SessionModules {
  readonly exec: Exec;
  readonly clock: Clock;
}

/** A host that is out of breath takes its time; one that takes longer is stuck. */
const startMs = 30_000;

const sizeDefault = { rows: 24, columns: 80 };

/** The file of a session with the ID of its process. */
export const pidFile = "pid";

/** As shells say it: the command is not there, or cannot be run. */
const exitNotFound = 127;
const exitNotRunnable = 126;

export class ExecSession {
  readonly #options: SessionOptions;
  readonly #modules: SessionModules;
  readonly #child: Child;
  readonly #exit: Promise<number>;
  /** With whether it runs or was refused. */
  readonly #started: Promise<boolean>;
  #killed = false;

  /** For `start`. */
  constructor(options: SessionOptions, modules: SessionModules) {
    this.#options = options;
    this.#modules = modules;
    this.#child = this.#spawn();
    // The other end may close it, and says why by its exit status.
    this.#child.stdin?.on("error", () => {});
    this.#exit = exitCodeOf(this.#child);
    this.#exit.catch(() => undefined);
    this.#started = this.#begin();
    this.#started.catch(() => undefined);
  }

  static async start(options: SessionOptions, modules: SessionModules): Promise<ExecSession> {
    const { folder, process } = options;
    await writeFile(join(folder, "process.json"), JSON.stringify(process), { mode: 0o600 });
    if (process.terminal === true) await writeFile(join(folder, "start"), terminalScript(options));
    return new ExecSession(options, modules);
  }

  get #terminal(): boolean {
    return this.#options.process.terminal === true;
  }

  get #pid(): number | undefined {
    return readPid(join(this.#options.folder, pidFile));
  }

  /** What the process prints, once it runs, and then its exit code. */
  async *run(): AsyncGenerator<Output | number, void, undefined> {
    const { stdout, stderr } = this.#child;
    // Until then what is printed is runc's own.
    if (!(await this.#started)) {
      yield* this.#refusal();
      return;
    }
    yield* readOutputs({ stdout, stderr: this.#terminal ? null : stderr });
    yield await this.#exitCode();
  }

  /** Resolves when the process takes more. */
  async write(data: Uint8Array): Promise<void> {
    const { stdin } = this.#child;
    if (stdin === null || !stdin.writable) return;
    await new Promise<void>((resolve) => stdin.write(data, () => resolve()));
  }

  /** A terminal is not closed by that. */
  closeStdin(): void {
    if (!this.#terminal) this.#child.stdin?.end();
  }

  async resize({ rows, columns }: Pick<TerminalSize, "rows" | "columns">): Promise<void> {
    const shell = this.#terminal ? readPid(join(this.#options.folder, "shell")) : undefined;
    if (shell === undefined) return;
    const args = ["-F", `/proc/${shell}/fd/0`, "rows", `${rows}`, "cols", `${columns}`];
    // It may have ended meanwhile.
    await this.#modules.exec.run("stty", args).catch(() => undefined);
  }

  signal(number: number): void {
    const pid = this.#pid;
    if (pid === undefined || this.#ended) return;
    try {
      process.kill(pid, number);
    } catch {
      // It ended in between.
    }
  }

  /** Ends the process with all that it has started in its group, at once or as soon as it runs. */
  kill(): void {
    this.#killed = true;
    const pid = this.#pid;
    if (pid === undefined || this.#ended) return;
    killGroup(pid, this.#options.taskId);
    // runc waits for somebody to read, and for all whom a process that has ended has left its output to.
    this.#child.kill("SIGKILL");
    const { stdin, stdout, stderr } = this.#child;
    for (const stream of [stdin, stdout, stderr]) stream?.destroy();
  }

  /** Resolves when nothing of it runs here any more. */
  async over(): Promise<void> {
    await this.#exit.catch(() => undefined);
  }

  get #ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  #spawn(): Child {
    const { folder, openStdin } = this.#options;
    if (!this.#terminal) {
      const [program = "", ...args] = runcCommand(this.#options);
      const stdin = openStdin ? "pipe" : "ignore";
      return this.#modules.exec.start(program, args, { stdio: [stdin, "pipe", "pipe"] });
    }
    const args = ["-t0.01", "STDIO", "EXEC:sh start,pty,ctty,setsid,rawer,stderr"];
    return this.#modules.exec.start("socat", args, {
      stdio: ["pipe", "pipe", "ignore"],
      cwd: folder,
    });
  }

  async #begin(): Promise<boolean> {
    const path = join(this.#options.folder, pidFile);
    const news = new AbortController();
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const look = () => {
      if (!existsSync(path)) return;
      if (this.#killed) this.kill();
      resolve(true);
    };
    watch(this.#options.folder, { signal: news.signal }, look).on("error", reject);
    using _deadline = this.#modules.clock.timer(startMs, () => {
      this.#child.kill("SIGKILL");
      reject(new Fault("deadline-exceeded", `the command did not start in ${startMs / 1000} s`));
    });
    this.#exit.then(() => resolve(existsSync(path)), reject);
    look();
    try {
      return await promise;
    } finally {
      news.abort();
    }
  }

  *#refusal(): Iterable<Output | number> {
    const { folder, process } = this.#options;
    const logged = runtimeMessage(readIfThere(join(folder, "log")));
    const words = logged.replace(/^(exec failed: |unable to start container process: )+/, "");
    const [command = ""] = process["args"] as readonly string[];
    const data = Buffer.from(`Cannot run "${command}": ${words}\n`);
    yield { from: this.#terminal ? "stdout" : "stderr", data };
    yield /not found|no such file/i.test(words) ? exitNotFound : exitNotRunnable;
  }

  async #exitCode(): Promise<number> {
    const exitCode = await this.#exit;
    if (!this.#terminal) return exitCode;
    const status = readIfThere(join(this.#options.folder, "status")).trim();
    return /^[0-9]{1,3}$/.test(status) ? Number(status) : exitCode;
  }
}

function runcCommand({ folder, taskId, runtime, runtimeRoot }: SessionOptions): readonly string[] {
  const files = ["--process", join(folder, "process.json"), "--pid-file", join(folder, pidFile)];
  return [runtime, "--log", join(folder, "log"), "--root", runtimeRoot, "exec", ...files, taskId];
}

/** What the shell in the terminal runs: its own ID, by which the terminal is found, its size, runc, the status for us. */
function terminalScript(options: SessionOptions): string {
  const { rows, columns } = options.size ?? sizeDefault;
  const command = runcCommand(options).map((word) => `'${word.replaceAll("'", "'\\''")}'`);
  return `echo $$ > shell
stty rows ${rows} cols ${columns}
${command.join(" ")}
echo $? > status
`;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
