/** The load program (load.ts) on a virtual host, from where the hosts of the LAN can be reached. */
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Host } from "#lab/host.ts";
import { Fault } from "#proto/fault.ts";
import type { Probe } from "./group.ts";
import type { Job, Throughput } from "./load.ts";
import type { Target } from "./writer.ts";

const program = fileURLToPath(new URL("load.ts", import.meta.url));

const probeTimeoutMs = 60_000;

export async function measureThroughput(
  client: Host,
  job: Extract<Job, { mode: "throughput" }>,
  signal: AbortSignal,
): Promise<Throughput> {
  const timeoutMs = job.warmUpMs + job.measureMs + probeTimeoutMs;
  const said = await client.run(process.execPath, [program, JSON.stringify(job)], {
    timeoutMs,
    signal,
  });
  return JSON.parse(said) as Throughput;
}

/** A probe that runs on the host `client` until disposed. */
export function startProbe(client: Host, target: Target, signal: AbortSignal): Probe {
  const job: Job = { mode: "probe", target };
  const child = client.spawn(process.execPath, [program, JSON.stringify(job)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const listeners = new Set<(write: Write | Fault) => void>();
  const tell = (news: Write | Fault) => {
    for (const listener of listeners) listener(news);
  };
  const onAbort = () => tell(Fault.from(signal.reason));
  signal.addEventListener("abort", onAbort, { once: true });
  child.on("close", () => tell(new Fault("internal", "the probe ended")));
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on("line", (line) => tell(parseWrite(line)));
  }
  return {
    next: (afterMs) => nextWrite(listeners, afterMs),
    [Symbol.dispose]: () => {
      signal.removeEventListener("abort", onAbort);
      child.stdin?.end();
    },
  };
}

interface Write {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

function parseWrite(line: string): Write {
  const [startedAtMs = 0, endedAtMs = 0] = line.split(" ").map(Number);
  return { startedAtMs, endedAtMs };
}

function nextWrite(
  listeners: Set<(news: Write | Fault) => void>,
  afterMs: number,
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const listener = (news: Write | Fault) => {
    if (news instanceof Fault) reject(news);
    else if (news.startedAtMs > afterMs) resolve(news.endedAtMs);
  };
  listeners.add(listener);
  const late = () => {
    const waited = `waited ${probeTimeoutMs / 1000} s for a write to succeed`;
    reject(new Fault("deadline-exceeded", waited));
  };
  const timer = setTimeout(late, probeTimeoutMs);
  return promise.finally(() => {
    clearTimeout(timer);
    listeners.delete(listener);
  });
}
