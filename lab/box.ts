/**
 * A box: pid, network, mount and uts namespaces that one process holds together. Hosts are boxes, and so is the LAN
 * between them. Its init process is the box: when that ends, the kernel ends everything in it and takes back its network
 * devices and mounts. Who init is stands in `init.json`, which init itself writes before it does anything else, so a box
 * that exists can always be found, whoever died while making it.
 */
import type { ChildProcess, SpawnOptions } from "node:child_process";
import { openSync, closeSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { errnoOf, Fault } from "#proto/fault.ts";
import { capture, type Outcome, type RunOptions, run, start } from "./process.ts";
import {
  childrenOf,
  identify,
  isAlive,
  type ProcessId,
  parentOf,
  parseProcessId,
  sendSignal,
} from "./process-id.ts";
import { waitFor } from "./wait.ts";

const bootTimeoutMs = 20_000;
const killTimeoutMs = 20_000;

const bootScript = fileURLToPath(new URL("boot.sh", import.meta.url));

export interface BoxOptions {
  readonly labFolder: string;
  readonly folder: string;
  readonly hostname: string;
  /** What programs in the box find in their environment beside what is in this process's. */
  readonly env: Readonly<Record<string, string>>;
}

export interface BootOptions {
  /** Gives the new network namespace its cable; runs before the box configures it. */
  readonly plug?: (init: ProcessId) => Promise<void>;
  readonly signal?: AbortSignal;
}

export class Box {
  readonly folder: string;
  readonly #options: BoxOptions;

  constructor(options: BoxOptions) {
    this.folder = options.folder;
    this.#options = options;
  }

  /** The init process of a running box. */
  get init(): ProcessId | undefined {
    const init = this.#record();
    return init !== undefined && isAlive(init) ? init : undefined;
  }

  /** Whether the box was booted and not forgotten since; with no `init` it was killed. */
  get wasBooted(): boolean {
    return this.#record() !== undefined;
  }

  async boot(options: BootOptions = {}): Promise<void> {
    const { labFolder, folder, hostname } = this.#options;
    const log = openSync(join(folder, "boot.log"), "a");
    const namespaces = ["--mount", "--net", "--pid", "--uts", "--propagation", "private"];
    const argv = ["unshare", ...namespaces, "--fork", "--kill-child=KILL"];
    const child = start([...argv, "sh", bootScript, labFolder, folder, hostname], {
      stdio: ["pipe", "pipe", log],
      detached: true,
    });
    closeSync(log);
    try {
      await this.#cable(child, options);
    } catch (thrown) {
      child.kill("SIGKILL");
      const said = readFileSync(join(folder, "boot.log"), "utf8").trim();
      const fault = said === "" ? thrown : new Fault(Fault.from(thrown).code, said);
      throw Fault.wrap(`Cannot boot "${hostname}"`, fault);
    } finally {
      // Nothing may tie this process and the box together any longer.
      child.stdin?.destroy();
      child.stdout?.destroy();
      child.unref();
    }
  }

  /** Ends everything in the box at once. Resolves when all of it is gone; does nothing where nothing runs. */
  async kill(): Promise<void> {
    const init = this.init;
    if (init === undefined) return;
    // `unshare`, which ends when it has reaped init, which ends when it has seen all others go.
    const outer = parentOf(init, "unshare");
    sendSignal(init, "SIGKILL");
    const gone = () => !isAlive(init) && (outer === undefined || !isAlive(outer));
    await waitFor(`the processes of ${this.folder} to end`, gone, { timeoutMs: killTimeoutMs });
  }

  /** Makes a box that does not run one that was never booted. */
  forget(): void {
    rmSync(this.#recordPath, { force: true });
  }

  /** The command line that runs `command` inside the box. */
  argv(command: readonly string[]): string[] {
    const target = ["--target", String(this.#running().pid)];
    return ["nsenter", ...target, "--mount", "--net", "--pid", "--uts", "--", ...command];
  }

  get env(): NodeJS.ProcessEnv {
    return { ...process.env, ...this.#options.env };
  }

  /** Runs a program in the box to its end, whatever its status. */
  exec(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return capture(this.argv([command, ...args]), { env: this.env, ...options });
  }

  /** Runs a program in the box that must succeed; resolves to what it wrote on stdout. */
  run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
    return run(this.argv([command, ...args]), { env: this.env, ...options });
  }

  /**
   * Starts a program in the box. The process returned is `nsenter`, which takes on the program's exit status or signal;
   * use `signalInside` to send the program one.
   */
  spawn(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return start(this.argv([command, ...args]), { env: this.env, ...options });
  }

  /** The network namespace, as a file that nsenter takes. */
  get networkPath(): string {
    return `/proc/${this.#running().pid}/ns/net`;
  }

  /** Where this process finds what the box sees at `path`: files, and sockets to connect to. */
  path(path: string): string {
    return join(`/proc/${this.#running().pid}/root`, path);
  }

  async #cable(child: ChildProcess, options: BootOptions): Promise<void> {
    if (child.stdin === null || child.stdout === null) throw new Fault("internal", "no pipes");
    child.stdin.on("error", () => {}); // the box is gone: its output ends too, and says so
    const signals = [AbortSignal.timeout(bootTimeoutMs)];
    if (options.signal !== undefined) signals.push(options.signal);
    const lines = createInterface({ input: child.stdout, signal: AbortSignal.any(signals) });
    const output = lines[Symbol.asyncIterator]();
    await expectLine(output, "ready");
    await options.plug?.(this.#running());
    child.stdin.write("go\n");
    await expectLine(output, "up");
  }

  #running(): ProcessId {
    const init = this.init;
    if (init !== undefined) return init;
    throw new Fault("failed-precondition", `"${this.#options.hostname}" does not run`);
  }

  get #recordPath(): string {
    return join(this.folder, "init.json");
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

/** Sends a signal to a program that `spawn` started. */
export function signalInside(child: ChildProcess, signal: NodeJS.Signals): void {
  for (const pid of child.pid === undefined ? [] : childrenOf(child.pid)) {
    const id = identify(pid);
    if (id !== undefined) sendSignal(id, signal);
  }
}

async function expectLine(lines: AsyncIterator<string>, expected: string): Promise<void> {
  const line = await lines.next();
  if (line.done === true) throw new Fault("internal", `it ended before it said "${expected}"`);
  if (line.value !== expected) throw new Fault("internal", `it said "${line.value}"`);
}
