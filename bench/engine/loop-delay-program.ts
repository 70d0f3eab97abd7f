/**
 * Runs beside a Node process on its host and measures how late its event loop is, from within: through the inspector,
 * which the process opens on SIGUSR1. usage: loop-delay-program.ts PID
 *
 * Prints "ready" when it measures. When its standard input ends, prints one line of JSON, LoopDelay, and ends.
 */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";

/** Milliseconds beyond the 1 ms that the histogram's own timer takes. */
export interface LoopDelay {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const inspector = "http://127.0.0.1:9229/json/list";
const openTimeoutMs = 10_000;
const openPollMs = 50;

const begin = `
  globalThis.benchDelay = process.getBuiltinModule("node:perf_hooks").monitorEventLoopDelay({ resolution: 1 });
  globalThis.benchDelay.enable();
`;
const read = `
  globalThis.benchDelay.disable();
  JSON.stringify([50, 99, 100].map((part) => globalThis.benchDelay.percentile(part) / 1e6 - 1));
`;

async function inspectorUrl(): Promise<string> {
  const deadline = performance.now() + openTimeoutMs;
  for (;;) {
    const reply = await fetch(inspector).catch(() => undefined);
    const targets = (await reply?.json()) as
      | readonly { webSocketDebuggerUrl: string }[]
      | undefined;
    const url = targets?.[0]?.webSocketDebuggerUrl;
    if (url !== undefined) return url;
    if (performance.now() > deadline) {
      throw new Fault("deadline-exceeded", "the process does not open its inspector");
    }
    await sleep(openPollMs);
  }
}

async function evaluate(socket: WebSocket, expression: string): Promise<string> {
  const params = { expression, returnByValue: true };
  socket.send(JSON.stringify({ id: 1, method: "Runtime.evaluate", params }));
  const [event] = (await once(socket, "message")) as [{ readonly data: string }];
  const reply = JSON.parse(event.data) as { result?: { result?: { value?: unknown } } };
  return String(reply.result?.result?.value);
}

process.kill(Number(process.argv[2]), "SIGUSR1");
const socket = new WebSocket(await inspectorUrl());
await once(socket, "open");
await evaluate(socket, begin);
process.stdout.write("ready\n");
await once(process.stdin.resume(), "close");
const [p50Ms = 0, p99Ms = 0, maxMs = 0] = JSON.parse(await evaluate(socket, read)) as number[];
process.stdout.write(`${JSON.stringify({ p50Ms, p99Ms, maxMs } satisfies LoopDelay)}\n`);
socket.close();
