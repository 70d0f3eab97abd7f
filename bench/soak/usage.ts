/** What a process uses, as the kernel counts it: nothing of this is measured by the process itself. */
import { readFileSync } from "node:fs";
import { isAlive, type ProcessId } from "#lab/process-id.ts";
import { Fault } from "#proto/fault.ts";

export interface Usage {
  /** When it was looked at, on the monotonic clock. */
  readonly atMs: number;
  /** CPU time of all its threads since it began, in user space and in the kernel. */
  readonly cpuMs: number;
  /** Resident memory, shared pages of programs included. */
  readonly rssMb: number;
}

/** USER_HZ: the same on all of Linux's architectures that Node runs on. */
const ticksPerSecond = 100;

export function readUsage(id: ProcessId, name: string): Usage {
  if (!isAlive(id)) throw new Fault("failed-precondition", `${name} ended while it was measured`);
  const atMs = performance.now();
  const stat = readFileSync(`/proc/${id.pid}/stat`, "utf8");
  const status = readFileSync(`/proc/${id.pid}/status`, "utf8");
  return { atMs, cpuMs: parseCpuMs(stat), rssMb: parseRssMb(status) };
}

/** proc_pid_stat(5): utime and stime are fields 14 and 15; the name, field 2, may hold anything. */
export function parseCpuMs(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond;
}

export function parseRssMb(status: string): number {
  return Number(/^VmRSS:\s+([0-9]+) kB$/m.exec(status)?.[1]) / 1024;
}
