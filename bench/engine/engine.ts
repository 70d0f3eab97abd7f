/**
 * What the engine does to containers, how fast, and what it uses: deploy, remove and restart, memory and CPU beside
 * containers that do nothing, how late swarmd is while it pulls, and what the steps of a start cost.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { benchDeploy } from "../deploy.ts";
import type { Ground } from "../ground.ts";
import { pushBulkImage } from "../images.ts";
import { benchRestart } from "../recover.ts";
import type { Metric, Samples } from "../samples.ts";
import type { Side } from "../side.ts";
import { deploy, remove, type Trial } from "../trial.ts";
import { loopDelayDuring } from "./loop-delay.ts";
import type { LoopDelay } from "./loop-delay-program.ts";
import { cpuMs, ownProcesses, residentMemoryMb, sharedMemoryMb } from "./memory.ts";
import { measureSteps, type Steps } from "./steps.ts";

const replicas = 50;

/** After a change, until nothing that it left to do weighs on what is measured. */
const settleMs = 10_000;
const cpuWindowMs = 30_000;

const pulledImage = { layers: 5, layerMb: 100 };

export interface EngineOptions {
  readonly rounds: number;
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

export interface EngineResult {
  readonly metrics: readonly Metric[];
  readonly pullDelay: LoopDelay;
  readonly steps: Steps;
}

/** What one side uses. */
interface Use {
  readonly idleMb: number;
  readonly containerMb: number;
  readonly cpuPercent: number;
}

export async function benchEngine(ground: Ground, options: EngineOptions): Promise<EngineResult> {
  const { signal, onStep } = options;
  const idle = new Map<Side["name"], number>();
  const trials = ground.trials(signal);
  await sleep(settleMs, undefined, { signal });
  for (const trial of trials) idle.set(trial.side.name, idleMemoryMb(trial));
  const deploys = await benchDeploy(ground, { ...options, replicas, network: false });
  const restarts = await benchRestart(ground, options);
  const uses = new Map<Side["name"], Use>();
  for (const trial of trials) {
    const { name } = trial.side;
    const use = { idleMb: idle.get(name) ?? 0, ...(await useWithContainers(ground, trial)) };
    uses.set(name, use);
    onStep(`${name}: ${JSON.stringify(use)}`);
  }
  const [ours] = trials;
  const steps = ours === undefined ? new Map() : await measureSteps(ground, ours);
  const pullDelay = await measurePull(ground, options);
  return { metrics: [...deploys, restarts, ...useMetrics(uses)], pullDelay, steps };
}

/** Of the host that also manages. */
function idleMemoryMb(trial: Trial): number {
  return residentMemoryMb(ownProcesses(trial, trial.side.hosts.slice(0, 1)));
}

async function useWithContainers(ground: Ground, trial: Trial): Promise<Omit<Use, "idleMb">> {
  const { side, signal } = trial;
  const workload = ground.sleeper("use", replicas);
  const before = sharedMemoryMb(ownProcesses(trial, side.hosts));
  await deploy(trial, workload);
  await sleep(settleMs, undefined, { signal });
  const processes = ownProcesses(trial, side.hosts);
  const containerMb = (sharedMemoryMb(processes) - before) / replicas;
  const [fromMs, fromCpuMs] = [performance.now(), cpuMs(processes)];
  await sleep(cpuWindowMs, undefined, { signal });
  const usedMs = cpuMs(processes) - fromCpuMs;
  const cpuPercent = (100 * usedMs) / (performance.now() - fromMs);
  await remove(trial, workload);
  return { containerMb, cpuPercent };
}

async function measurePull(ground: Ground, { signal, onStep }: EngineOptions): Promise<LoopDelay> {
  const side = ground.ours;
  const image = await pushBulkImage(ground.lab, pulledImage, { signal, onStep });
  const host = await side.expendableHost(signal);
  return await loopDelayDuring(host, () => side.pullImage(host, image, signal));
}

function useMetrics(uses: ReadonlyMap<Side["name"], Use>): readonly Metric[] {
  const samples = (pick: (use: Use) => number): Samples => {
    const of = (name: Side["name"]) => [...uses].filter(([side]) => side === name);
    const ours = of("ours").map(([, use]) => pick(use));
    const peer = of("peer").map(([, use]) => pick(use));
    return peer.length === 0 ? { ours } : { ours, peer };
  };
  const fields = (name: string) => ({ ours: name, peer: `peer_${name}`, ratio: `${name}_ratio` });
  return [
    {
      title: "daemons of an idle host that manages",
      fields: fields("idle_rss_mb"),
      samples: samples(({ idleMb }) => idleMb),
      unit: "MB",
    },
    {
      title: "memory beside each container",
      fields: fields("container_rss_mb"),
      samples: samples(({ containerMb }) => containerMb),
      unit: "MB",
    },
    {
      title: `daemons of all hosts, ${replicas} containers`,
      fields: fields("idle_cpu_percent"),
      samples: samples(({ cpuPercent }) => cpuPercent),
      unit: "% of a core",
    },
  ];
}
