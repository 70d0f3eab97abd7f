/**
 * What this host lets a container have: without CAP_SYS_RESOURCE a process can neither raise a hard limit nor lower its
 * OOM score below its own, and runc would fail with an errno where we can say it in words.
 */
import { readFileSync, existsSync } from "node:fs";
import { limitRows } from "#proto/kernel-names.ts";
import { capabilitiesOfMask } from "./capabilities.ts";

export interface HostLimits {
  /** CAP_SYS_RESOURCE: the two limits below do not bind. */
  readonly canRaise: boolean;
  /** What this program has, without "CAP_": no container can have more. */
  readonly capabilities: readonly string[];
  readonly oomScoreAdj: number;
  /** Hard limits by the names of `ulimit` flags ("nofile"); what is missing is unlimited. */
  readonly hardLimits: Readonly<Record<string, number>>;
  /** The kernel can limit swap; it cannot where swap accounting is off (cgroups v1). */
  readonly swapLimit: boolean;
  /** The kernel has a swappiness for each container (cgroups v1). */
  readonly swappiness: boolean;
}

export function readHostLimits(): HostLimits {
  const status = readFileSync("/proc/self/status", "utf8");
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  const capabilities = capabilitiesOfMask(mask);
  const v1 = "/sys/fs/cgroup/memory";
  return {
    canRaise: capabilities.includes("SYS_RESOURCE"),
    capabilities,
    oomScoreAdj: Number(readFileSync("/proc/self/oom_score_adj", "utf8")),
    hardLimits: parseHardLimits(readFileSync("/proc/self/limits", "utf8")),
    swappiness: existsSync(v1),
    swapLimit: !existsSync(v1) || existsSync(`${v1}/memory.memsw.limit_in_bytes`),
  };
}

export function parseHardLimits(text: string): Record<string, number> {
  const limits: Record<string, number> = {};
  for (const [row, name] of Object.entries(limitRows)) {
    const line = text.split("\n").find((candidate) => candidate.startsWith(row));
    const hard = line?.slice(row.length).trim().split(/\s+/)[1];
    if (hard !== undefined && hard !== "unlimited") limits[name] = Number(hard);
  }
  return limits;
}
