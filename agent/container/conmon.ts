/**
 * Starts a container's supervisor, conmon, which in turn runs `runc create`, holds the container's output, writes its log
 * and its exit code, and outlives this program. One spawn does it all: a mount namespace, the overlay in it, conmon.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Fault, errnoOf } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import type { Exec } from "../exec.ts";
import { commandIn } from "./cgroup-layout.ts";
import { isConmonAlive, readPid } from "./supervised-process.ts";

export interface ConmonOptions {
  readonly taskId: string;
  /** Everything below is relative to it. */
  readonly taskFolder: string;
  readonly attempt: string;
  readonly overlay: string;
  /** What is mounted in the container shall appear on the host where its binds say so. */
  readonly sharesMounts?: boolean;
  readonly runtime: string;
  readonly runtimeRoot: string;
  readonly exitsFolder: string;
  /** Where conmon goes, so that it outlives this program. */
  readonly cgroups?: readonly string[];
  /** What conmon does with the container's output. */
  readonly logFlags: readonly string[];
  /** The container has a terminal of its own. */
  readonly terminal: boolean;
  /** Who attaches can write to the container; until then it waits, and goes on waiting when they leave. */
  readonly stdin: boolean;
}

/** Creating a container takes a twentieth of a second; this is for a host that is out of breath. */
const createTimeoutMs = 60_000;

/** What conmon says through its pipe is one line, with runc's error in it. */
const reportBytesMax = 64 * 1024;

/** Positional parameters only: $1 overlay options, $2 mount point, the rest is conmon's command line. */
const script = 'mount -t overlay overlay -o "$1" "$2" && shift 2 && exec "$@"';

/** Resolves with the container's process ID once it is created, not yet started. */
export async function startConmon(
  options: ConmonOptions,
  modules: { readonly exec: Exec; readonly clock: Clock },
): Promise<number> {
  const [program, ...args] = commandIn(options.cgroups ?? [], [
    "unshare",
    ...conmonCommand(options),
  ]);
  const child = modules.exec.start(program, args, {
    cwd: options.taskFolder,
    stdio: ["ignore", "ignore", "pipe", "pipe"],
    env: {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      _OCI_SYNCPIPE: "3",
    },
    detached: true,
  });
  // conmon keeps its end of the pipe open for as long as it lives: its first line is all that is waited for.
  const { line, said } = await readReport(child, options, modules.clock);
  if (line === "") {
    throw new Fault(
      "internal",
      `cannot start the container's supervisor: ${said || "it said nothing"}`,
    );
  }
  return parseReport(line);
}

function conmonCommand(options: ConmonOptions): string[] {
  const { attempt, taskId } = options;
  // "slave": what the host unmounts must not live on in here. Else the task's folder is set apart already.
  const propagation = options.sharesMounts === true ? "unchanged" : "slave";
  const prefix = ["--mount", "--propagation", propagation, "sh", "-c", script, "sh"];
  const flags: Readonly<Record<string, string>> = {
    "--api-version": "1",
    "--cid": taskId,
    "--cuuid": taskId,
    "--name": taskId,
    "--runtime": options.runtime,
    "--runtime-arg": `--root=${options.runtimeRoot}`,
    "--bundle": attempt,
    "--exit-dir": options.exitsFolder,
    "--persist-dir": attempt,
    "--conmon-pidfile": `${attempt}/conmon.pid`,
    "--container-pidfile": `${attempt}/pid`,
    "--log-level": "error",
  };
  // Without one of --full-attach and --socket-dir-path conmon dies in silence.
  const conmon = ["conmon", "--full-attach", "--no-sync-log", ...Object.entries(flags).flat()];
  conmon.push(...options.logFlags);
  if (options.terminal) conmon.push("--terminal");
  if (options.stdin) conmon.push("--stdin", "--leave-stdin-open");
  return [...prefix, options.overlay, `${attempt}/rootfs`, ...conmon];
}

interface Report {
  readonly line: string;
  readonly said: string;
}

/** Rejects when the first line is not there in time; nothing that was started for it runs then any more. */
function readReport(
  child: ReturnType<Exec["start"]>,
  options: Pick<ConmonOptions, "taskId" | "taskFolder" | "attempt">,
  clock: Clock,
): Promise<Report> {
  const pipe = child.stdio[3];
  assert(pipe instanceof Readable);
  return new Promise((resolve, reject) => {
    let line = "";
    let said = "";
    const finish = (fault?: Fault) => {
      deadline[Symbol.dispose]();
      pipe.destroy();
      child.stderr?.destroy();
      child.unref();
      if (fault !== undefined) reject(fault);
      else resolve({ line: line.split("\n", 1)[0] ?? "", said: said.trim() });
    };
    const deadline = clock.timer(createTimeoutMs, () => {
      try {
        // Until conmon has gone into the background it is this one, afterwards the other.
        if (child.exitCode === null && child.pid !== undefined) killGroup(child.pid);
        killConmon(options.taskId, join(options.taskFolder, options.attempt));
        finish(late());
      } catch (error) {
        finish(Fault.wrap("Cannot stop creating the container", error));
      }
    });
    child.on("error", (error) => finish(Fault.wrap('Cannot run "unshare"', error)));
    child.stderr?.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-reportBytesMax);
    });
    pipe.on("data", (chunk: Buffer) => {
      line = (line + chunk.toString()).slice(0, reportBytesMax);
      if (line.includes("\n")) finish();
    });
    pipe.on("error", () => finish());
    pipe.on("end", () => finish());
  });
}

function late(): Fault {
  return new Fault(
    "deadline-exceeded",
    `the container was not created within ${createTimeoutMs / 1000} s`,
  );
}

/** Ends an attempt's conmon, if it lives, and with it the `runc create` that it may be waiting for. */
export function killConmon(taskId: string, attemptFolder: string): void {
  const pid = readPid(join(attemptFolder, "conmon.pid"));
  if (pid !== undefined && isConmonAlive(pid, taskId)) killGroup(pid);
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, "SIGKILL");
  } catch (error) {
    // All of it is gone already.
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}

/** `{"data": <pid>}`, or `{"data": -1, "message": <what runc logged>}`. */
export function parseReport(line: string): number {
  const report = parseJson(line);
  const pid = report["data"] ?? report["pid"];
  if (typeof pid === "number" && Number.isInteger(pid) && pid > 0) return pid;
  const message = report["message"];
  throw new Fault(
    "failed-precondition",
    runtimeMessage(typeof message === "string" ? message : line),
  );
}

function parseJson(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

const clutter = [
  "runc create failed: ",
  "unable to start container process: ",
  "container_linux.go: ",
];

/** The innermost words of runc's last log line: `exec: "nosuch": executable file not found in $PATH`. */
export function runtimeMessage(logged: string): string {
  const lines = logged.trim().split("\n");
  const last = lines.findLast((line) => line.includes("level=error")) ?? lines.at(-1) ?? "";
  const quoted = /msg=("(?:[^"\\]|\\.)*")/.exec(last)?.[1];
  let words = quoted === undefined ? last : unquote(quoted);
  for (const part of clutter) words = words.replace(part, "");
  return words.trim() || "the container runtime failed without saying why";
}

function unquote(quoted: string): string {
  try {
    return String(JSON.parse(quoted));
  } catch {
    return quoted.slice(1, -1);
  }
}
