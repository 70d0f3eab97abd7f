/** The flags of what a task may use and what its node must have free for it. */
import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import {
  type ResourceRequirements,
  ResourceRequirementsSchema,
  type Resources,
  ResourcesSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { cpus, flag, integer, size } from "../flags/parse-flag.ts";

export interface ResourceFlags {
  readonly limitCpu?: bigint;
  readonly limitMemory?: bigint;
  readonly reserveCpu?: bigint;
  readonly reserveMemory?: bigint;
  readonly memorySwap?: bigint;
  readonly memorySwappiness?: bigint;
}

export function addResourceFlags(command: Command): void {
  command.optionsGroup("Resources:");
  command
    .option("--limit-cpu <cpus>", "CPUs at most, such as 0.5", flag(cpus))
    .option("--limit-memory <size>", "memory at most, such as 64m", flag(size))
    .option("--reserve-cpu <cpus>", "CPUs that its node must have free", flag(cpus))
    .option("--reserve-memory <size>", "memory that its node must have free", flag(size))
    .option("--memory-swap <size>", "swap at most beside the memory; -1: no limit", flag(swap))
    .option("--memory-swappiness <n>", "0 to 100: how soon memory is swapped out", flag(integer));
}

function swap(text: string): bigint {
  return text === "-1" ? -1n : size(text);
}

/** Undefined where there is nothing to say, as before. */
export function changedResources(
  before: ResourceRequirements | undefined,
  given: ResourceFlags,
): ResourceRequirements | undefined {
  const limits = changed(before?.limits, given.limitCpu, given.limitMemory);
  const reservations = changed(before?.reservations, given.reserveCpu, given.reserveMemory);
  const { memorySwap: swapBytes, memorySwappiness } = given;
  if (swapBytes === undefined && memorySwappiness === undefined) {
    if ((limits ?? reservations) === undefined) return before;
  }
  if (swapBytes !== undefined && !limits?.memoryBytes) {
    throw new Fault("invalid-argument", "--memory-swap goes with --limit-memory: give both");
  }
  return {
    ...(before ?? create(ResourceRequirementsSchema)),
    ...(limits !== undefined && { limits }),
    ...(reservations !== undefined && { reservations }),
    ...(swapBytes !== undefined && { swapBytes }),
    ...(memorySwappiness !== undefined && { memorySwappiness }),
  };
}

function changed(
  before: Resources | undefined,
  nanoCpus: bigint | undefined,
  memoryBytes: bigint | undefined,
): Resources | undefined {
  if (nanoCpus === undefined && memoryBytes === undefined) return before;
  return {
    ...(before ?? create(ResourcesSchema)),
    ...(nanoCpus !== undefined && { nanoCpus }),
    ...(memoryBytes !== undefined && { memoryBytes }),
  };
}
