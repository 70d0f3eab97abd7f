/**
 * Runs programs. The only place of the lab that starts processes. When a program's deadline passes or its signal aborts,
 * it is killed with all it has started, inside of boxes too.
 */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { constants } from "node:os";
import { Fault } from "#proto/fault.ts";
import { childrenOf, identify, sendSignal } from "./process-id.ts";

/** How long a program may run where the caller does not say. */
const timeoutMsDefault = 60_000;

/** More output than this of one run is an error. */
const outputBytesMax = 64 * 1024 * 1024;

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface Outcome {
  /** The exit status; 128 + n where signal n ended the program, as shells count. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts a program for callers that speak to it while it runs. They own the process. */
export function start(argv: readonly string[], options: SpawnOptions): ChildProcess {
  const [command, ...args] = argv;
  if (command === undefined) throw new Fault("invalid-argument", "there is no program to run");
  return spawn(command, args, { ...options, shell: false });
}

/** Runs a program to its end, whatever its status. */
export function capture(argv: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const timeoutMs = options.timeoutMs ?? timeoutMsDefault;
  // In a session of its own: Ctrl-C is for this process, which then decides what to end.
  const child = start(argv, { detached: true, env: options.env ?? process.env });
  return new Promise((resolve, reject) => {
    let failure: Fault | undefined;
    const giveUp = (fault: Fault) => {
      failure ??= fault;
      killAll(child);
    };
    const tooMuch = () =>
      giveUp(new Fault("resource-exhausted", `"${argv.join(" ")}" says too much`));
    const stdout = collect(child.stdout, tooMuch);
    const stderr = collect(child.stderr, tooMuch);
    const deadline = setTimeout(() => giveUp(late(argv, timeoutMs, stderr())), timeoutMs);
    const onAbort = () => giveUp(Fault.from(options.signal?.reason));
    options.signal?.addEventListener("abort", onAbort, { once: true });
    if (options.signal?.aborted) onAbort();
    const release = () => {
      clearTimeout(deadline);
      options.signal?.removeEventListener("abort", onAbort);
    };
    child.on("error", (error) => {
      release();
      reject(Fault.wrap(`Cannot run "${argv[0]}"`, error));
    });
    child.on("close", (code, killedBy) => {
      release();
      if (failure !== undefined) reject(failure);
      else resolve({ status: statusOf(code, killedBy), stdout: stdout(), stderr: stderr() });
    });
    // The program may end without reading its input; its exit status tells what matters.
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input);
  });
}

/** Runs a program that must succeed; resolves to what it wrote on stdout. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const outcome = await capture(argv, options);
  if (outcome.status === 0) return outcome.stdout;
  const words = outcome.stderr.trim() || outcome.stdout.trim() || "it said nothing";
  const what = `"${argv.join(" ")}" failed with status ${outcome.status}`;
  throw new Fault("internal", `${what}: ${words}`);
}

/** A process's end as one number, as shells count. */
export function statusOf(code: number | null, killedBy: NodeJS.Signals | null): number {
  return code ?? 128 + (killedBy === null ? 0 : constants.signals[killedBy]);
}

/**
 * Kills the program and what it has started. `nsenter` is spared: it ends when the program in the box has, and only it can
 * reap that at once. Were it gone, the machine's first process would have to, which may take its time.
 */
function killAll(child: ChildProcess): void {
  if (child.pid === undefined) return;
  const started = descendantsOf(child.pid);
  for (const pid of child.spawnfile === "nsenter" ? started : [child.pid, ...started]) {
    const id = identify(pid);
    if (id !== undefined) sendSignal(id, "SIGKILL");
  }
}

function descendantsOf(pid: number): readonly number[] {
  return childrenOf(pid).flatMap((started) => [started, ...descendantsOf(started)]);
}

function late(argv: readonly string[], timeoutMs: number, stderr: string): Fault {
  const said = stderr.trim() === "" ? "" : `: ${stderr.trim()}`;
  const what = `"${argv.join(" ")}" did not end within ${timeoutMs / 1000} s`;
  return new Fault("deadline-exceeded", `${what}${said}`);
}

function collect(stream: NodeJS.ReadableStream | null, onTooMuch: () => void): () => string {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  stream?.on("data", (chunk: Buffer) => {
    sizeBytes += chunk.length;
    if (sizeBytes > outputBytesMax) onTooMuch();
    else chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString();
}
