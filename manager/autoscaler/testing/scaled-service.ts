/** A scaled service with its tasks and what they use, whose clock is a number. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { AutoscaleSchema, AutoscaleStatusSchema, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { wantedReplicas } from "../../service-spec.ts";
import { testService, testTask, testTaskSpec } from "../../testing/fixtures.ts";
import { type AutoscalePlan, type Memory, planAutoscale } from "../plan-autoscale.ts";
import type { Usage } from "../usage-book.ts";

export const startMs = 1_700_000_000_000;

type AutoscaleInit = Exclude<
  MessageInitShape<typeof AutoscaleSchema>,
  { readonly $typeName: string }
>;

/** One CPU and 1,000 bytes are reserved. */
export const reserving = {
  resources: { reservations: { nanoCpus: 1_000_000_000n, memoryBytes: 1_000n } },
};

export function scaledService(
  init: AutoscaleInit = {},
  { replicas = 1, found }: { readonly replicas?: number; readonly found?: number } = {},
): Service {
  const service = testService({ replicas, task: reserving });
  const bounds = { minReplicas: 1n, maxReplicas: 100n, cpuPercent: 50 };
  const autoscale = create(AutoscaleSchema, { ...bounds, ...init });
  return {
    ...service,
    ...(service.spec && { spec: { ...service.spec, autoscale } }),
    ...(found !== undefined && {
      autoscaleStatus: create(AutoscaleStatusSchema, { replicas: BigInt(found) }),
    }),
  };
}

/** Runs since that moment. */
export function runningTask(slot: number, atMs: number, id = `task${slot}`): Task {
  return testTask(id, {
    slot: BigInt(slot),
    atMs,
    nodeId: "node1",
    spec: testTaskSpec(reserving),
    status: { state: TaskState.RUNNING },
  });
}

export function usageOf(atMs: number, cpuPercent: number, memoryPercent = 0): Usage {
  return {
    nanoCpus: cpuPercent * 1e7,
    memoryBytes: memoryPercent * 10,
    sinceMs: atMs - 10_000,
    atMs,
  };
}

/** Round after round, on tasks that all run and are all measured. */
export class ScaledService {
  service: Service;
  nowMs = startMs;
  /** Of each task; undefined: nothing is measured. */
  cpuPercent: ((running: number) => number) | undefined;
  #memory: Memory | undefined;
  readonly #running: Task[] = [];

  constructor(service: Service) {
    this.service = service;
  }

  get replicas(): number {
    return wantedReplicas(this.service);
  }

  /** As if another manager led from now on. */
  forget(): void {
    this.#memory = undefined;
  }

  round(): AutoscalePlan {
    const tasks = this.#tasks();
    const percent = this.cpuPercent?.(tasks.length);
    const usage = percent === undefined ? undefined : usageOf(this.nowMs, percent);
    const plan = planAutoscale({
      service: this.service,
      tasks,
      usageOf: () => usage,
      memory: this.#memory,
      freshMs: 35_000,
      nowMs: this.nowMs,
    });
    this.#memory = plan.memory;
    this.service = plan.service ?? this.service;
    return plan;
  }

  /** Rounds every five seconds, for so long. */
  pass(ms: number): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; ) {
      this.nowMs += 5_000;
      this.round();
    }
  }

  #tasks(): readonly Task[] {
    for (let slot = this.#running.length + 1; slot <= this.replicas; slot++) {
      // Those of the first round have run for long.
      this.#running.push(runningTask(slot, this.nowMs === startMs ? 1 : this.nowMs));
    }
    this.#running.splice(this.replicas);
    return this.#running;
  }
}
