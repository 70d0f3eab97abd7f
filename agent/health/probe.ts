/**
 * One run of a health check inside a container: as the container's own user, with its environment and limits, by
 * `runc exec`. Its processes are in a cgroup of their own, so that one that is late is killed with all that it started.
 */
import { existsSync, readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import { killSubgroup, makeSubgroup, readCgroupPaths } from "../container/cgroup.ts";
import type { Exec } from "../exec.ts";
import type { HealthCheck } from "./health-check.ts";
import { outputBytesMax, type Probe } from "./health.ts";

export interface ProbeOptions {
  readonly containerId: string;
  readonly runtime: string;
  readonly runtimeRoot: string;
  /** Where the container's config.json is. */
  readonly bundle: string;
  readonly check: HealthCheck;
  readonly signal: AbortSignal;
}

export interface ProbeModules {
  readonly exec: Exec;
  readonly clock: Clock;
}

/** What a probe that has ended left in its pipe is read in this time; its children may hold the pipe for ever. */
const lastWordsMs = 200;

/**
 * Resolves when the check has ended or was killed. Rejects where the host could not run it, which says nothing of the
 * container, and when the signal is aborted.
 */
export async function runProbe(options: ProbeOptions, modules: ProbeModules): Promise<Probe> {
  const { containerId, runtime, runtimeRoot, signal, check } = options;
  const processFile = await writeProcess(options);
  signal.throwIfAborted();
  const group = makeSubgroup(readCgroupPaths(runtimeRoot, containerId), "probe");
  // What an earlier run of this program did not live to kill.
  if (group !== undefined) killSubgroup(group.folder);
  const place = group === undefined ? [] : ["--cgroup", group.argument];
  const args = ["--root", runtimeRoot, "exec", ...place, "--process", processFile, containerId];
  const startedAtMs = modules.clock.now();
  const child = modules.exec.start(runtime, args, { stdio: ["ignore", "pipe", "pipe"] });
  const output = new OutputTail();
  child.stdout?.on("data", (chunk: Buffer) => output.add(chunk));
  child.stderr?.on("data", (chunk: Buffer) => output.add(chunk));
  const kill = () => {
    if (group !== undefined) killSubgroup(group.folder);
    child.kill("SIGKILL");
  };
  let late = false;
  using _deadline = modules.clock.timer(check.timeoutMs, () => {
    late = true;
    kill();
  });
  signal.addEventListener("abort", kill, { once: true });
  try {
    const exitCode = await endOf(child, modules.clock);
    signal.throwIfAborted();
    const words = `the check did not end within ${check.timeoutMs / 1000} s`;
    if (late) output.add(Buffer.from(output.endsLine ? words : `\n${words}`));
    const endedAtMs = modules.clock.now();
    return { startedAtMs, endedAtMs, exitCode: late ? -1 : exitCode, output: output.text };
  } finally {
    signal.removeEventListener("abort", kill);
  }
}

const newline = 0x0a;

/** The last bytes that were printed. */
class OutputTail {
  #bytes = Buffer.alloc(0);

  add(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]).subarray(-outputBytesMax);
  }

  get endsLine(): boolean {
    return this.#bytes.length === 0 || this.#bytes.at(-1) === newline;
  }

  get text(): string {
    return this.#bytes.toString().trim();
  }
}

/** Resolves with the exit code; −1 for one that was killed. */
function endOf(child: ReturnType<Exec["start"]>, clock: Clock): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on("error", (error) => reject(Fault.wrap("Cannot run the health check", error)));
    child.on("exit", (code) => {
      const end = () => {
        patience[Symbol.dispose]();
        child.stdout?.destroy();
        child.stderr?.destroy();
        resolve(code ?? -1);
      };
      const patience = clock.timer(lastWordsMs, end);
      child.on("close", end);
    });
  });
}

/** The container's own process with the check's command, as the runtime wants it; the same for all probes of an attempt. */
async function writeProcess({ bundle, check }: ProbeOptions): Promise<string> {
  const path = join(bundle, "probe.json");
  if (existsSync(path)) return path;
  const config: unknown = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8"));
  const own =
    typeof config === "object" && config !== null && "process" in config
      ? config.process
      : undefined;
  if (typeof own !== "object" || own === null) {
    throw new Fault("data-loss", "the container's config.json is damaged");
  }
  const text = JSON.stringify({ ...own, terminal: false, args: check.command });
  await writeFile(`${path}.new`, text, { mode: 0o600 });
  await rename(`${path}.new`, path);
  return path;
}
