/**
 * A lock among the processes of this machine: flock(2), held by a helper process for as long as this one keeps a pipe to
 * it open. So it is released however this process ends.
 */
import { once } from "node:events";
import { createInterface } from "node:readline";
import { Fault } from "#proto/fault.ts";
import { start } from "./process.ts";

const lockTimeoutMs = 300_000;

/** Waits until nobody else holds the lock of this file, which is made if missing. */
export async function lockFile(path: string, signal?: AbortSignal): Promise<AsyncDisposable> {
  const holder = start(["flock", path, "sh", "-c", "echo locked; read -r _"], {
    stdio: ["pipe", "pipe", "inherit"],
    detached: true,
  });
  const ended = once(holder, "close");
  const release = async () => {
    holder.stdin?.destroy();
    await ended;
  };
  try {
    const deadline = AbortSignal.timeout(lockTimeoutMs);
    const signals = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
    await firstLine(holder.stdout, signals);
  } catch (thrown) {
    holder.kill("SIGKILL");
    await release();
    throw Fault.wrap(`Cannot lock ${path}`, thrown);
  }
  return { [Symbol.asyncDispose]: release };
}

async function firstLine(stream: NodeJS.ReadableStream | null, signal: AbortSignal) {
  if (stream === null) throw new Fault("internal", "the helper has no output");
  for await (const line of createInterface({ input: stream, signal })) return line;
  signal.throwIfAborted();
  throw new Fault("internal", "the helper ended");
}
