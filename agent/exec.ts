/**
 * Runs programs. The only place of the agent that starts processes: arguments are always a list, never a shell string,
 * and every run has a deadline. Starting a process costs about 2 ms of the event loop: batch what can be batched.
 */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { Fault } from "#proto/fault.ts";

/** How long a program may run where the caller does not say. */
const timeoutMsDefault = 30_000;

/** More output than this of one run is an error: nothing that the agent runs prints so much. */
const outputBytesMax = 64 * 1024 * 1024;

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs programs; injected, so that tests can run them inside a namespace. */
export interface Exec {
  /** Resolves when the program ended with status 0; anything else is a Fault that carries what it said on stderr. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Starts a program for callers that speak to it while it runs. They own the process. */
  start(command: string, args: readonly string[], options: SpawnOptions): ChildProcess;
}

export const systemExec: Exec = { run, start };

function start(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  return spawn(command, [...args], { ...options, shell: false });
}

async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const child = start(command, args, {
    stdio: ["pipe", "pipe", "pipe"],
    timeout: options.timeoutMs ?? timeoutMsDefault,
    killSignal: "SIGKILL",
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: { ...options.env } }),
  });
  const stdout = collect(child, child.stdout);
  const stderr = collect(child, child.stderr);
  // The program may end without reading its input; its exit status tells what matters.
  child.stdin?.on("error", () => {});
  child.stdin?.end(options.input);
  const end = await ended(child, command);
  if (end.status === 0) return { stdout: stdout(), stderr: stderr() };
  throw failure(command, end, stderr() || stdout());
}

interface End {
  readonly status: number | null;
  readonly killedBy: NodeJS.Signals | null;
}

function ended(child: ChildProcess, command: string): Promise<End> {
  return new Promise((resolve, reject) => {
    child.on("error", (error) => reject(Fault.wrap(`Cannot run "${command}"`, error)));
    child.on("close", (status, killedBy) => resolve({ status, killedBy }));
  });
}

function collect(child: ChildProcess, stream: NodeJS.ReadableStream | null): () => string {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  stream?.on("data", (chunk: Buffer) => {
    sizeBytes += chunk.length;
    if (sizeBytes > outputBytesMax) child.kill("SIGKILL");
    else chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString();
}

function failure(command: string, end: End, said: string): Fault {
  const words = said.trim() || "it said nothing";
  if (end.killedBy === "SIGKILL") {
    return new Fault("deadline-exceeded", `"${command}" was killed before it ended: ${words}`);
  }
  return new Fault("internal", `"${command}" failed with status ${end.status}: ${words}`);
}
