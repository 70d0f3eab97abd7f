/** One run of the system's ssh: what it reads, what it says, how it ends. Killed when its signal is aborted. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { errnoOf, Fault } from "#proto/fault.ts";
import { noSshFault } from "./ssh-fault.ts";

/** What a program there may print before it counts as broken. */
const outputBytesMax = 64 * 1024 * 1024;

const tooMuch = `what a program prints there does not end (more than ${outputBytesMax / 1024 / 1024} MiB): see what the shell's start files do`;

export type SshChild = ChildProcessWithoutNullStreams;

export function spawnSsh(args: readonly string[], env: NodeJS.ProcessEnv): SshChild {
  return spawn("ssh", args, { env: { ...env, LC_ALL: "C" }, stdio: "pipe" });
}

export interface SshEnd {
  /** ssh's own is 255; undefined where a signal ended it. */
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Resolves when the process has ended and its output is read. */
export function endOf(child: SshChild, signal: AbortSignal | undefined): Promise<SshEnd> {
  return new Promise((resolve, reject) => {
    let hasTooMuch = false;
    const onTooMuch = () => {
      hasTooMuch = true;
      child.kill();
    };
    const stdout = gather(child.stdout, onTooMuch);
    const stderr = gather(child.stderr, onTooMuch);
    const onAbort = () => child.kill();
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) onAbort();
    // Whoever ends early does not read the rest.
    child.stdin.on("error", () => {});
    child.once("error", (thrown) => {
      reject(
        errnoOf(thrown) === "ENOENT" ? noSshFault(thrown) : Fault.wrap("Cannot run ssh", thrown),
      );
    });
    child.once("close", (status) => {
      signal?.removeEventListener("abort", onAbort);
      if (signal?.aborted) reject(Fault.from(signal.reason));
      else if (hasTooMuch) reject(new Fault("failed-precondition", tooMuch));
      else resolve({ status: status ?? undefined, stdout: stdout(), stderr: stderr() });
    });
  });
}

function gather(stream: NodeJS.ReadableStream, onTooMuch: () => void): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > outputBytesMax) onTooMuch();
    else chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString();
}
