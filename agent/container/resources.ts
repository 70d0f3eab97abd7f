/** What a container may use of its host's processors, memory and process table. Pure. */
import { Fault } from "#proto/fault.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { ResourceRequirements, Ulimit } from "#proto/gen/swarm/v1/types_pb.ts";
import { checkUlimit } from "#proto/kernel-names.ts";
import type { HostLimits } from "./host-limits.ts";

export interface OciRlimit {
  readonly type: string;
  readonly soft: number;
  readonly hard: number;
}

export function planRlimit(ulimit: Ulimit, limits: HostLimits): OciRlimit {
  checkUlimit(ulimit);
  const hard = Number(ulimit.hard);
  const soft = Number(ulimit.soft);
  const ours = limits.hardLimits[ulimit.name] ?? Infinity;
  // -1 is "unlimited".
  if ((hard < 0 ? Infinity : hard) > ours && !limits.canRaise) {
    throw new Fault(
      "failed-precondition",
      `ulimit ${ulimit.name}=${hard} is over this host's hard limit of ${ours}: ask for less`,
    );
  }
  return { type: `RLIMIT_${ulimit.name.toUpperCase()}`, soft, hard };
}

export function planOomScoreAdj(
  spec: Pick<ContainerSpec, "oomScoreAdj">,
  limits: HostLimits,
): { oomScoreAdj?: number } {
  const wanted = Number(spec.oomScoreAdj);
  if (wanted >= limits.oomScoreAdj || limits.canRaise) return { oomScoreAdj: wanted };
  if (wanted === 0) return {};
  throw new Fault(
    "failed-precondition",
    `oom_score_adj ${wanted} is below this host's own of ${limits.oomScoreAdj}: ask for more`,
  );
}

/** The kernel's usual period, in µs. */
const cpuPeriodUs = 100_000;

/** As in Swarm, reservations choose the node and limit nothing on it. */
export function planResources(
  spec: Pick<ContainerSpec, "pidsLimit">,
  wanted: ResourceRequirements | undefined,
  limits: HostLimits,
): Record<string, unknown> {
  const nanoCpus = Number(wanted?.limits?.nanoCpus ?? 0n);
  const quotaUs = Math.round((nanoCpus * cpuPeriodUs) / 1e9);
  return {
    ...(nanoCpus > 0 ? { cpu: { quota: quotaUs, period: cpuPeriodUs } } : {}),
    ...(spec.pidsLimit > 0n ? { pids: { limit: Number(spec.pidsLimit) } } : {}),
    ...planMemory(wanted, limits),
  };
}

function planMemory(
  wanted: ResourceRequirements | undefined,
  limits: HostLimits,
): { memory?: Record<string, number> } {
  const limit = Number(wanted?.limits?.memoryBytes ?? 0n);
  const swappiness = wanted?.memorySwappiness;
  if (wanted?.swapBytes !== undefined && !limits.swapLimit) {
    throw unable("swap_bytes", "does not account for swap");
  }
  if (swappiness !== undefined && !limits.swappiness) {
    throw unable("memory_swappiness", "has it for the whole host only, as cgroups v2 have it");
  }
  const memory = {
    ...(limit > 0 ? { limit } : {}),
    ...(limit > 0 && limits.swapLimit ? { swap: planSwap(limit, wanted?.swapBytes) } : {}),
    ...(swappiness === undefined ? {} : { swappiness: Number(swappiness) }),
  };
  return Object.keys(memory).length === 0 ? {} : { memory };
}

function unable(field: string, why: string): Fault {
  return new Fault("failed-precondition", `${field} has no effect here: this host's kernel ${why}`);
}

/** OCI's "swap" is memory and swap together. */
function planSwap(limitBytes: number, wantedBytes: bigint | undefined): number {
  if (wantedBytes === undefined) return limitBytes * 2;
  return wantedBytes < 0n ? -1 : limitBytes + Number(wantedBytes);
}
