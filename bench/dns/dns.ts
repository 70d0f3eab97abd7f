/**
 * How many questions our nameserver answers, how soon, and how late it makes the event loop that it shares with the agent;
 * dnsmasq with the same names beside it, by turns.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { answersPerSecond, type Latency, latencyAt, type Load } from "./load.ts";
import { type Nameserver, startDnsmasq, startOurs } from "./nameserver.ts";
import type { LoopDelay } from "./server-program.ts";
import { hostsOf, questionsOf } from "./zone.ts";

const names = { services: 1_000, tasksPerService: 10 };
const seconds = 3;
/** What a host's tasks may ask, and nobody notices. */
export const steadyRate = 20_000;

export interface DnsRound extends Latency {
  readonly side: Nameserver["side"];
  readonly answersPerSecond: number;
  /** CPU time for each answer, the kernel's part of it too: the same on an idle host and on a busy one. */
  readonly cpuUs: number;
  /** Of ours: while nobody asked, and at the steady rate. */
  readonly idle: LoopDelay | undefined;
  readonly busy: LoopDelay | undefined;
}

export interface DnsOptions {
  readonly peer: boolean;
  readonly rounds: number;
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

export async function benchDns({ peer, rounds, signal, onStep }: DnsOptions) {
  await using opened = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "bench-dns-"));
  opened.defer(() => rm(folder, { recursive: true }));
  const [hostsFile, questionsFile] = [join(folder, "hosts"), join(folder, "questions")];
  await writeFile(hostsFile, hostsOf(names));
  await writeFile(questionsFile, questionsOf(names));
  const servers = [opened.use(await startOurs(names, await freePort()))];
  if (peer) servers.push(opened.use(await startDnsmasq(hostsFile, await freePort())));
  const load = { questionsFile, seconds, signal };
  const measured: DnsRound[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    for (const server of servers) {
      const sample = await measure(server, load);
      const { side, answersPerSecond, p99Ms } = sample;
      onStep(`${side}: ${answersPerSecond} answers/s, p99 ${p99Ms.toFixed(3)} ms`);
      measured.push(sample);
    }
  }
  return measured;
}

async function measure(server: Nameserver, load: Load): Promise<DnsRound> {
  await server.loopDelay();
  await sleep(1_000, undefined, { signal: load.signal });
  const idle = await server.loopDelay();
  const before = server.cpuMs();
  const rate = await answersPerSecond(server, load);
  const cpuUs = (1_000 * (server.cpuMs() - before)) / (rate * load.seconds);
  await server.loopDelay();
  const latency = await latencyAt(steadyRate, server, load);
  const busy = await server.loopDelay();
  return { side: server.side, answersPerSecond: rate, cpuUs, ...latency, idle, busy };
}

async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  return port;
}
