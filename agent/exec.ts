/**
 * Runs programs. The only place of the agent that starts processes: arguments are always a list, never a shell string,
 * and every run has a deadline. Starting a process costs about 2 ms of the event loop: batch what can be batched.
 */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { Fault } from "#proto/fault.ts";
import { systemClock } from "#proto/system-ports.ts";

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
  const { input, signal, timeoutMs = timeoutMsDefault, cwd, env } = options;
  if (signal?.aborted === true) throw stopped(command, signal);
  let child: ChildProcess;
  try {
    child = start(command, args, {
      stdio: ["pipe", "pipe", "pipe"],
      ...(cwd === undefined ? {} : { cwd }),
      ...(env === undefined ? {} : { env: { ...env } }),
    });
  } catch (thrown) {
    throw Fault.wrap(`Cannot run "${command}"`, thrown);
  }
  let killedFor: Fault | undefined;
  const kill = (why: Fault) => {
    killedFor ??= why;
    child.kill("SIGKILL");
    // What the program started may hold its pipes open for as long as it likes.
    child.stdout?.destroy();
    child.stderr?.destroy();
  };
  const stdout = collect(command, child.stdout, kill);
  const stderr = collect(command, child.stderr, kill);
  // The program may end without reading its input; its exit status tells what matters.
  child.stdin?.on("error", () => {});
  child.stdin?.end(input);
  using _deadline = systemClock.timer(timeoutMs, () => kill(late(command, timeoutMs)));
  using _abort = onAbort(signal, (aborted) => kill(stopped(command, aborted)));
  const end = await ended(child, command);
  if (killedFor !== undefined) throw killedFor;
  if (end.status === 0) return { stdout: stdout(), stderr: stderr() };
  throw failure(command, end, stderr() || stdout());
}

interface End {
  readonly status: number | null;
  readonly killedBy: NodeJS.Signals | null;
}

/** Resolves when the process is gone and all that it printed was read. */
function ended(child: ChildProcess, command: string): Promise<End> {
  return new Promise((resolve, reject) => {
    child.on("error", (error) => reject(Fault.wrap(`Cannot run "${command}"`, error)));
    child.on("close", (status, killedBy) => resolve({ status, killedBy }));
  });
}

function collect(
  command: string,
  stream: NodeJS.ReadableStream | null,
  kill: (why: Fault) => void,
): () => string {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  stream?.on("data", (chunk: Buffer) => {
    sizeBytes += chunk.length;
    if (sizeBytes <= outputBytesMax) chunks.push(chunk);
    else kill(talkative(command));
  });
  return () => Buffer.concat(chunks).toString();
}

function onAbort(
  signal: AbortSignal | undefined,
  act: (signal: AbortSignal) => void,
): Disposable | undefined {
  if (signal === undefined) return undefined;
  const listener = () => act(signal);
  signal.addEventListener("abort", listener, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", listener) };
}

function stopped(command: string, signal: AbortSignal): Fault {
  return new Fault("canceled", `"${command}" was stopped before it ended`, {
    cause: signal.reason,
  });
}

function late(command: string, timeoutMs: number): Fault {
  return new Fault(
    "deadline-exceeded",
    `"${command}" did not end within ${timeoutMs / 1000} s and was killed`,
  );
}

function talkative(command: string): Fault {
  return new Fault(
    "resource-exhausted",
    `"${command}" printed more than ${outputBytesMax / 2 ** 20} MiB and was killed`,
  );
}

function failure(command: string, end: End, said: string): Fault {
  const words = said.trim() || "it said nothing";
  const how =
    end.killedBy === null ? `failed with status ${end.status}` : `was killed by ${end.killedBy}`;
  return new Fault("internal", `"${command}" ${how}: ${words}`);
}
