/**
 * Measures what tasks of some services use, for the managers that scale these services: each some seconds the CPU time since
 * the time before, and the memory. Nothing is read while managers ask for no service.
 */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { type TaskUsage, TaskUsageSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Clock } from "#proto/ports.ts";
import { durationFromMs } from "#proto/time.ts";
import type { CgroupPaths } from "../container/cgroup.ts";
import { readUsage } from "./read-stats.ts";
import type { StatsSource } from "./stats-api.ts";

/** As the metrics of Kubernetes: shorter ones show noise. */
const periodMs = 10_000;

/** What a container had used at one moment. */
interface Reading {
  readonly pid: number;
  readonly cgroups: CgroupPaths;
  readonly cpuNs: bigint;
  readonly atMs: number;
}

export interface UsageMeterModules {
  /** The containers that run now. */
  readonly list: () => readonly StatsSource[];
  readonly clock: Clock;
}

export class UsageMeter implements Disposable {
  readonly #modules: UsageMeterModules;
  #wanted: ReadonlySet<string> = new Set();
  /** The last reading of each task. */
  #readings: ReadonlyMap<string, Reading> = new Map();
  /** What nobody has taken yet. */
  readonly #usages = new Map<string, TaskUsage>();
  /** While something is measured. */
  #measuring: AbortController | undefined;

  constructor(modules: UsageMeterModules) {
    this.#modules = modules;
  }

  /** The services whose tasks are measured from now on. */
  want(serviceIds: readonly string[]): void {
    this.#wanted = new Set(serviceIds);
    if (serviceIds.length === 0) return this[Symbol.dispose]();
    if (this.#measuring !== undefined) return;
    this.#measuring = new AbortController();
    void this.#measure(this.#measuring.signal);
  }

  /** What was measured since the last call, the newest of each task. */
  take(): readonly TaskUsage[] {
    const usages = [...this.#usages.values()];
    this.#usages.clear();
    return usages;
  }

  [Symbol.dispose](): void {
    this.#measuring?.abort(new Fault("canceled", "nothing is measured any more"));
    this.#measuring = undefined;
    this.#readings = new Map();
    this.#usages.clear();
  }

  /** Until the signal is aborted; never fails. */
  async #measure(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#round(signal);
      await this.#modules.clock.sleep(periodMs, signal).catch(() => undefined);
    }
  }

  /** One after the other: there is time. */
  async #round(signal: AbortSignal): Promise<void> {
    const readings = new Map<string, Reading>();
    const usages: TaskUsage[] = [];
    for (const source of this.#modules.list()) {
      if (!this.#wanted.has(source.serviceId)) continue;
      const earlier = this.#readings.get(source.taskId);
      // Another process is another run of the task, whose counters begin anew.
      const before = earlier?.pid === source.pid ? earlier : undefined;
      const cgroups = before?.cgroups ?? source.readCgroups();
      const counters = await readUsage(cgroups).catch(() => undefined);
      if (signal.aborted) return;
      if (counters === undefined) continue;
      const reading = {
        pid: source.pid,
        cgroups,
        ...counters,
        atMs: this.#modules.clock.monotonic(),
      };
      readings.set(source.taskId, reading);
      const usage = before && usageOf(source, before, reading);
      if (usage !== undefined) usages.push(usage);
    }
    this.#readings = readings;
    for (const usage of usages) this.#usages.set(usage.taskId, usage);
  }
}

function usageOf(
  { taskId, serviceId }: StatsSource,
  before: Reading,
  { cpuNs, atMs, memoryBytes }: Reading & { readonly memoryBytes: bigint },
): TaskUsage | undefined {
  const passedMs = atMs - before.atMs;
  if (passedMs <= 0 || cpuNs < before.cpuNs) return undefined;
  return create(TaskUsageSchema, {
    taskId,
    serviceId,
    nanoCpus: BigInt(Math.round((Number(cpuNs - before.cpuNs) * 1000) / passedMs)),
    memoryBytes,
    period: durationFromMs(passedMs),
  });
}
