/** The flags of a service that has as many replicas as its use asks for. */
import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { type Autoscale, AutoscaleSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { duration, flag, wholeNumber } from "../flags/parse-flag.ts";

export interface AutoscaleFlags {
  readonly replicasMin?: bigint;
  readonly replicasMax?: bigint;
  readonly scaleCpu?: number;
  readonly scaleMemory?: number;
  readonly scaleUpAfter?: Duration;
  readonly scaleDownAfter?: Duration;
  /** False: --no-autoscale. */
  readonly autoscale?: boolean;
}

export function addAutoscaleFlags(command: Command, verb: "create" | "update"): void {
  command.optionsGroup("How many tasks, and when:");
  command
    .option("--replicas-min <n>", "autoscaling: tasks at least (default 1)", flag(wholeNumber))
    .option("--replicas-max <n>", "autoscaling: tasks at most", flag(wholeNumber))
    .option(
      "--scale-cpu <percent>",
      "autoscaling: CPU that a task shall use of its reservation, such as 70%",
      flag(percent),
    )
    .option("--scale-memory <percent>", "autoscaling: memory, likewise", flag(percent))
    .option(
      "--scale-up-after <duration>",
      "autoscaling: how long more must be wanted (default 0s)",
      flag(duration),
    )
    .option(
      "--scale-down-after <duration>",
      "autoscaling: how long fewer must be enough (default 5m)",
      flag(duration),
    );
  if (verb === "update") command.option("--no-autoscale", "have as many tasks as --replicas says");
}

function percent(text: string): number {
  if (/^\d{1,4}%?$/.test(text)) return Number.parseInt(text, 10);
  throw new Fault("invalid-argument", "Write a percentage, such as 70%");
}

/** Undefined: there is none. */
export function changedAutoscale(
  before: Autoscale | undefined,
  given: AutoscaleFlags,
): Autoscale | undefined {
  if (given.autoscale === false) return undefined;
  const { replicasMin, replicasMax, scaleCpu, scaleMemory, scaleUpAfter, scaleDownAfter } = given;
  const changes = {
    ...(replicasMin !== undefined && { minReplicas: replicasMin }),
    ...(replicasMax !== undefined && { maxReplicas: replicasMax }),
    ...(scaleCpu !== undefined && { cpuPercent: scaleCpu }),
    ...(scaleMemory !== undefined && { memoryPercent: scaleMemory }),
    ...(scaleUpAfter !== undefined && { scaleUpAfter }),
    ...(scaleDownAfter !== undefined && { scaleDownAfter }),
  };
  if (Object.keys(changes).length === 0) return before;
  const scale = { ...(before ?? create(AutoscaleSchema, { minReplicas: 1n })), ...changes };
  if (scale.maxReplicas === 0n) {
    throw new Fault("invalid-argument", "Autoscaling needs --replicas-max: say how many at most");
  }
  if (scale.minReplicas < 1n || scale.minReplicas > scale.maxReplicas) {
    const problem = `--replicas-min ${scale.minReplicas} is not between 1 and --replicas-max ${scale.maxReplicas}`;
    throw new Fault("invalid-argument", problem);
  }
  if (scale.cpuPercent === 0 && scale.memoryPercent === 0) {
    const problem = "Autoscaling needs --scale-cpu or --scale-memory: say what it goes by";
    throw new Fault("invalid-argument", problem);
  }
  return scale;
}
