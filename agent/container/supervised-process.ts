/**
 * Whether a process that was written down by its number is still the one that was meant. A number is used again after a
 * while; a container's cgroup has its task's ID in its path, and conmon has it among its arguments.
 */
import { readFileSync } from "node:fs";
import { errnoOf } from "#proto/fault.ts";

/** The container's first process lives and is not a zombie. */
export function isContainerAlive(pid: number, taskId: string): boolean {
  const cgroups = readIfThere(`/proc/${pid}/cgroup`);
  if (cgroups === undefined || !cgroups.includes(`/${taskId}`)) return false;
  const stat = readIfThere(`/proc/${pid}/stat`);
  // The state stands after the command, which is in parentheses and may contain any byte.
  const state = stat?.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3);
  return state !== undefined && state !== "Z" && state !== "X";
}

/** A process in the container may call itself what it likes; conmon is outside of the container's cgroup. */
export function isConmonAlive(pid: number, taskId: string): boolean {
  const args = readIfThere(`/proc/${pid}/cmdline`)?.split("\0") ?? [];
  if (!args.includes(taskId) || !(args[0] ?? "").endsWith("conmon")) return false;
  const cgroups = readIfThere(`/proc/${pid}/cgroup`);
  return cgroups !== undefined && !cgroups.includes(`/${taskId}`);
}

/** What a pid file says; undefined: it is not there, or not written yet. */
export function readPid(path: string): number | undefined {
  const text = readIfThere(path)?.trim() ?? "";
  return /^[1-9][0-9]{0,9}$/.test(text) ? Number(text) : undefined;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    // ESRCH: it ended between opening and reading.
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ESRCH") return undefined;
    throw error;
  }
}
