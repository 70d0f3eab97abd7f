/** What an orchestrator's own processes use on its hosts: everything that runs there but containers and the hosts' inits. */
import { readFileSync } from "node:fs";
import type { Host } from "#lab/host.ts";
import { childrenOf, identify } from "#lab/process-id.ts";
import { errnoOf, Fault } from "#proto/fault.ts";
import { readUsage } from "../soak/usage.ts";
import { containers, type Trial } from "../trial.ts";

/** The processes on these hosts that are no container's, as the machine numbers them. */
export function ownProcesses(trial: Trial, hosts: readonly Host[]): readonly number[] {
  const contained = new Set([...containers(trial)].flatMap(({ pids }) => pids));
  return hosts.flatMap(({ box }) => {
    const found: number[] = [];
    const waiting = box.init === undefined ? [] : [...childrenOf(box.init.pid)];
    for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
      if (contained.has(pid)) continue;
      found.push(pid);
      waiting.push(...childrenOf(pid));
    }
    return found;
  });
}

/** MB, with what processes share counted once (proc_pid_smaps(5): Pss). */
export function sharedMemoryMb(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + pssMb(pid), 0);
}

/** MB as `ps` counts it, shared pages of programs in each. */
export function residentMemoryMb(pids: readonly number[]): number {
  return usages(pids).reduce((sum, { rssMb }) => sum + rssMb, 0);
}

/** CPU time of the processes so far. */
export function cpuMs(pids: readonly number[]): number {
  return usages(pids).reduce((sum, { cpuMs }) => sum + cpuMs, 0);
}

function usages(pids: readonly number[]) {
  return pids.flatMap((pid) => {
    const id = identify(pid);
    return id === undefined ? [] : [readUsage(id, `process ${pid}`)];
  });
}

function pssMb(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    return Number(/^Pss:\s+([0-9]+) kB$/m.exec(text)?.[1] ?? 0) / 1024;
  } catch (thrown) {
    // It ended meanwhile.
    if (errnoOf(thrown) === "ENOENT" || errnoOf(thrown) === "ESRCH") return 0;
    throw Fault.wrap(`Cannot read what process ${pid} uses`, thrown);
  }
}
