/**
 * What one container uses, from the kernel's counters: its cgroups', v1 or v2, and its network namespace's. A counter that
 * cannot be read, because the container is ending or the host has no such controller, is 0.
 */
import { readFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { errnoOf } from "#proto/fault.ts";
import type { TaskStats } from "#proto/gen/swarm/v1/engine_pb.ts";
import {
  type BlockIo,
  parseBlkio,
  parseIoStat,
  parseKeyed,
  parseNetDev,
  parseNumber,
} from "./kernel-counters.ts";

/** What is read of one container. */
export interface StatsPlace {
  readonly taskId: string;
  readonly pid: number;
  /** Its cgroup folders by v1 controller; that of v2 is under "". */
  readonly cgroups: ReadonlyMap<string, string>;
  readonly restarts: number;
}

export type Stats = Omit<TaskStats, "$typeName" | "$unknown">;

interface CgroupCounters {
  readonly cpuNs: bigint;
  readonly memoryBytes: bigint;
  readonly memoryLimitBytes: bigint | undefined;
  readonly pids: bigint;
  readonly io: BlockIo;
}

export async function readStats({ taskId, pid, cgroups, restarts }: StatsPlace): Promise<Stats> {
  const [counters, network] = await Promise.all([
    cgroups.has("memory") ? readLegacy(cgroups) : readUnified(cgroups.get("") ?? ""),
    readText(`/proc/${pid}/net/dev`).then(parseNetDev),
  ]);
  const hostBytes = BigInt(totalmem());
  const { memoryLimitBytes: limit } = counters;
  return {
    taskId,
    restarts,
    cpuNs: counters.cpuNs,
    memoryBytes: counters.memoryBytes,
    memoryLimitBytes: limit === undefined || limit > hostBytes ? hostBytes : limit,
    networkReceivedBytes: network.receivedBytes,
    networkSentBytes: network.sentBytes,
    blockReadBytes: counters.io.readBytes,
    blockWrittenBytes: counters.io.writtenBytes,
    pids: counters.pids,
  };
}

/** What managers scale by; undefined where the container is ending, or the host does not count it. */
export async function readUsage(
  cgroups: ReadonlyMap<string, string>,
): Promise<{ readonly cpuNs: bigint; readonly memoryBytes: bigint } | undefined> {
  const legacy = cgroups.has("memory");
  const read = (controller: string, file: string) => {
    const folder = cgroups.get(legacy ? controller : "");
    return folder === undefined ? Promise.resolve("") : readText(join(folder, file));
  };
  const [cpu, used, stat] = await Promise.all([
    read("cpuacct", legacy ? "cpuacct.usage" : "cpu.stat"),
    read("memory", legacy ? "memory.usage_in_bytes" : "memory.current"),
    read("memory", "memory.stat"),
  ]);
  const cpuNs = legacy ? parseNumber(cpu) : nsOfUs(parseKeyed(cpu).get("usage_usec"));
  const usedBytes = parseNumber(used);
  if (cpuNs === undefined || usedBytes === undefined) return undefined;
  const inactive = legacy ? "total_inactive_file" : "inactive_file";
  return { cpuNs, memoryBytes: withoutCache(usedBytes, parseKeyed(stat).get(inactive)) };
}

async function readLegacy(cgroups: ReadonlyMap<string, string>): Promise<CgroupCounters> {
  const read = (controller: string, file: string) => {
    const folder = cgroups.get(controller);
    return folder === undefined ? Promise.resolve("") : readText(join(folder, file));
  };
  const [cpu, used, stat, limit, pids, io] = await Promise.all([
    read("cpuacct", "cpuacct.usage"),
    read("memory", "memory.usage_in_bytes"),
    read("memory", "memory.stat"),
    read("memory", "memory.limit_in_bytes"),
    read("pids", "pids.current"),
    read("blkio", "blkio.throttle.io_service_bytes_recursive"),
  ]);
  return {
    cpuNs: parseNumber(cpu) ?? 0n,
    memoryBytes: withoutCache(parseNumber(used), parseKeyed(stat).get("total_inactive_file")),
    memoryLimitBytes: parseNumber(limit),
    pids: parseNumber(pids) ?? 0n,
    io: parseBlkio(io),
  };
}

async function readUnified(folder: string): Promise<CgroupCounters> {
  const files = [
    "cpu.stat",
    "memory.current",
    "memory.stat",
    "memory.max",
    "pids.current",
    "io.stat",
  ];
  const texts = await Promise.all(files.map((file) => readText(join(folder, file))));
  const [cpu = "", used = "", stat = "", limit = "", pids = "", io = ""] = texts;
  return {
    cpuNs: nsOfUs(parseKeyed(cpu).get("usage_usec")) ?? 0n,
    memoryBytes: withoutCache(parseNumber(used), parseKeyed(stat).get("inactive_file")),
    memoryLimitBytes: parseNumber(limit),
    pids: parseNumber(pids) ?? 0n,
    io: parseIoStat(io),
  };
}

function nsOfUs(us: bigint | undefined): bigint | undefined {
  return us === undefined ? undefined : us * 1000n;
}

/** As Docker counts: page cache that nobody has touched for long goes when memory is wanted. */
function withoutCache(usedBytes = 0n, inactiveBytes = 0n): bigint {
  return inactiveBytes < usedBytes ? usedBytes - inactiveBytes : usedBytes;
}

/** Gone, or going: ESRCH and ENODEV come while the process or the cgroup is being removed. */
const gone = new Set(["ENOENT", "ENODEV", "ESRCH", "EINVAL", "EOPNOTSUPP"]);

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (gone.has(errnoOf(error) ?? "")) return "";
    throw error;
  }
}
