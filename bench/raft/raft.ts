/**
 * How many small writes a group of three managers makes durable in a second, and how long it takes no write after its
 * leader was killed. All groups are up on the same machine and disk; one at a time is under load.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Host } from "#lab/host.ts";
import { measureThroughput } from "./client.ts";
import type { Group } from "./group.ts";
import type { Throughput } from "./load.ts";
import type { Target } from "./writer.ts";

export const clientCounts = [1, 64, 256] as const;

const warmUpMs = 2_000;
const measureMs = 5_000;

/** Before the first round, and not counted: a program that has just started is not what anybody runs. */
const firstLoadMs = 10_000;

/** After a group is well again, so that what its members left to do does not weigh on the next kill. */
const settleMs = 1_000;

export interface LoadGroup extends Group {
  target(signal: AbortSignal): Promise<Target>;
}

export interface ThroughputSample extends Throughput {
  readonly group: Group["name"];
  readonly clients: number;
}

export interface RaftOptions {
  readonly rounds: number;
  readonly kills: number;
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

/** The groups take turns, so that what else goes on in the machine meets them alike. */
export async function benchThroughput(
  groups: readonly LoadGroup[],
  client: Host,
  options: RaftOptions,
): Promise<readonly ThroughputSample[]> {
  const { rounds, signal, onStep } = options;
  const samples: ThroughputSample[] = [];
  for (const group of groups) await loadFirst(group, client, signal);
  for (let round = 1; round <= rounds; round++) {
    for (const clients of clientCounts) {
      for (const group of groups) {
        const target = await group.target(signal);
        const job = { mode: "throughput", target, clients, warmUpMs, measureMs } as const;
        const measured = await measureThroughput(client, job, signal);
        samples.push({ ...measured, group: group.name, clients });
        const rate = `${measured.writesPerSecond.toFixed(0)} writes/s`;
        const latency = `p50 ${measured.p50Ms.toFixed(1)} ms, p99 ${measured.p99Ms.toFixed(1)} ms`;
        onStep(`round ${round}, ${group.name}, ${clients} clients: ${rate}, ${latency}`);
      }
    }
  }
  return samples;
}

async function loadFirst(group: LoadGroup, client: Host, signal: AbortSignal): Promise<void> {
  const target = await group.target(signal);
  for (const clients of clientCounts.slice(1)) {
    const job = {
      mode: "throughput",
      target,
      clients,
      warmUpMs: 0,
      measureMs: firstLoadMs,
    } as const;
    await measureThroughput(client, job, signal);
  }
}

/** Milliseconds from each kill of a leader until a write that began after it succeeds. */
export async function benchFailover(
  group: Group,
  options: RaftOptions,
): Promise<readonly number[]> {
  const { kills, signal, onStep } = options;
  const times: number[] = [];
  for (let kill = 1; kill <= kills; kill++) {
    const leader = await group.leader(signal);
    using probe = await group.probe(signal);
    // The probe's own connections stand before anything ends.
    await probe.next(Date.now());
    const killedAt = await group.kill(leader);
    times.push((await probe.next(killedAt)) - killedAt);
    await group.revive(leader, signal);
    await sleep(settleMs, undefined, { signal });
  }
  onStep(`${group.name}: writes again after ${times.join(", ")} ms`);
  return times;
}
