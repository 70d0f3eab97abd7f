/** What a task's limits and reservations must look like. Pure. */
import type { ResourceRequirements, Resources } from "#proto/gen/swarm/v1/types_pb.ts";
import { checkRange, invalid } from "./field.ts";
import { checkGeneric } from "./validate-placement.ts";

/** The kernel's shortest quota is 1 ms of its period of 100 ms. */
const nanoCpusMin = 10_000_000n;

/** Less does not suffice to start any container (Docker). */
const memoryBytesMin = 6n * 1024n * 1024n;

export function checkResources(path: string, wanted: ResourceRequirements): void {
  const { limits, reservations, swapBytes, memorySwappiness } = wanted;
  if (limits !== undefined) checkLimits(`${path}.limits`, limits);
  if (reservations !== undefined) {
    checkRange(`${path}.reservations.nano_cpus`, reservations.nanoCpus, { min: 0n });
    checkRange(`${path}.reservations.memory_bytes`, reservations.memoryBytes, { min: 0n });
    checkGeneric(`${path}.reservations`, reservations);
  }
  checkRange(`${path}.swap_bytes`, swapBytes ?? 0n, { min: -1n });
  if (swapBytes !== undefined && !limits?.memoryBytes) {
    throw invalid(
      `${path}.swap_bytes`,
      "is set without a limit of memory: set limits.memory_bytes",
    );
  }
  checkRange(`${path}.memory_swappiness`, memorySwappiness ?? 0n, { min: 0n, max: 100n });
}

/** 0 is "no limit". */
function checkLimits(path: string, { nanoCpus, memoryBytes, generic }: Resources): void {
  if (generic.length > 0) {
    throw invalid(`${path}.generic`, "is set: generic resources are reserved, not limited");
  }
  if (nanoCpus !== 0n) checkRange(`${path}.nano_cpus`, nanoCpus, { min: nanoCpusMin });
  if (memoryBytes !== 0n) checkRange(`${path}.memory_bytes`, memoryBytes, { min: memoryBytesMin });
}
