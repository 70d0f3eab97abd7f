/** What a service must say for its replicas to follow from what they use. Pure. */
import type { ServiceSpec, TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { Autoscale } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromDuration } from "#proto/time.ts";
import { checkDuration, checkRange, invalid } from "./field.ts";
import { replicasMax } from "./validate-mode.ts";

/** As Kubernetes: whoever waits longer does not scale. */
const afterMsMax = 3_600_000;

/** A task may use more than it reserves, but nobody wants it to by so much. */
const percentMax = 1_000;

/** `isNew`: the spec's replicas are how many the service begins with; later they say nothing. */
export function checkAutoscale(spec: ServiceSpec, { isNew }: { readonly isNew: boolean }): void {
  const { autoscale, mode, task } = spec;
  if (autoscale === undefined) return;
  if (mode.case !== "replicated") throw invalid("autoscale", "is for replicated services alone");
  checkBounds(autoscale);
  if (isNew && mode.value.replicas > autoscale.maxReplicas) {
    const problem = `is ${mode.value.replicas}, more than autoscale.max_replicas, which is ${autoscale.maxReplicas}`;
    throw invalid("replicated.replicas", problem);
  }
  checkPercent("cpu", autoscale.cpuPercent, task);
  checkPercent("memory", autoscale.memoryPercent, task);
  if (autoscale.cpuPercent === 0 && autoscale.memoryPercent === 0) {
    const problem =
      "says not by what: set cpu_percent or memory_percent (--scale-cpu, --scale-memory)";
    throw invalid("autoscale", problem);
  }
  checkAfter("autoscale.scale_down_after", autoscale.scaleDownAfter);
  checkAfter("autoscale.scale_up_after", autoscale.scaleUpAfter);
}

function checkBounds({ minReplicas, maxReplicas }: Autoscale): void {
  checkRange("autoscale.min_replicas", minReplicas, { min: 1n, max: replicasMax });
  checkRange("autoscale.max_replicas", maxReplicas, { min: minReplicas, max: replicasMax });
}

function checkPercent(metric: "cpu" | "memory", percent: number, task: TaskSpec | undefined): void {
  if (percent === 0) return;
  const path = `autoscale.${metric}_percent`;
  checkRange(path, percent, { min: 1, max: percentMax });
  const { reservations, limits } = task?.resources ?? {};
  const [reserved, limit] = [reservations, limits].map((amounts) =>
    metric === "cpu" ? amounts?.nanoCpus : amounts?.memoryBytes,
  );
  if (reserved) return;
  const field = metric === "cpu" ? "nano_cpus" : "memory_bytes";
  if (!limit) {
    const problem = `is ${percent}, but of nothing: tasks have neither a reservation nor a limit of ${metric}; set task.resources.reservations.${field} (--reserve-${metric})`;
    throw invalid(path, problem);
  }
  if (percent <= 100) return;
  const problem = `is ${percent} of the limit, which no task exceeds: use at most 100, or reserve ${metric} (--reserve-${metric})`;
  throw invalid(path, problem);
}

function checkAfter(path: string, duration: Autoscale["scaleDownAfter"]): void {
  checkDuration(path, duration);
  const ms = msFromDuration(duration, 0);
  if (ms > afterMsMax) throw invalid(path, `is ${ms / 1000} s: use at most 3600 s`);
}
