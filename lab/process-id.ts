/**
 * Which process is meant, for longer than it lives: its pid and its start time (in clock ticks since the machine's boot).
 * The kernel gives a pid to another process later; it never gives out the same pair again before a reboot.
 */
import { readFileSync } from "node:fs";
import { errnoOf, Fault } from "#proto/fault.ts";

export interface ProcessId {
  readonly pid: number;
  readonly startTime: number;
}

interface ProcessStat {
  readonly startTime: number;
  readonly state: string;
  readonly parent: number;
}

/** The process that has this pid now. */
export function identify(pid: number): ProcessId | undefined {
  const stat = readStat(pid);
  return stat === undefined ? undefined : { pid, startTime: stat.startTime };
}

/** Whether the process runs. One that ended and waits to be reaped does not. */
export function isAlive(id: ProcessId): boolean {
  return statOf(id) !== undefined;
}

export function parentOf(id: ProcessId): ProcessId | undefined {
  const stat = statOf(id);
  return stat === undefined || stat.parent === 0 ? undefined : identify(stat.parent);
}

/** Sends the signal unless the process is gone. */
export function sendSignal(id: ProcessId, signal: NodeJS.Signals): void {
  if (!isAlive(id)) return;
  try {
    process.kill(id.pid, signal);
  } catch (thrown) {
    if (errnoOf(thrown) !== "ESRCH") throw Fault.wrap(`Cannot signal process ${id.pid}`, thrown);
  }
}

/** The children of a process, as the machine numbers them. */
export function childrenOf(pid: number): readonly number[] {
  const text = readProc(`/proc/${pid}/task/${pid}/children`) ?? "";
  return text.trim() === "" ? [] : text.trim().split(" ").map(Number);
}

/** The pid by which the process knows itself: the innermost of its pid namespaces. */
export function innerPid(pid: number): number | undefined {
  const numbers = /^NSpid:\s+(.*)$/m.exec(readProc(`/proc/${pid}/status`) ?? "")?.[1];
  return numbers === undefined ? undefined : Number(numbers.split(/\s+/).at(-1));
}

/** Reads what `identify` returned from JSON. */
export function parseProcessId(value: unknown): ProcessId | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (!("pid" in value) || !("startTime" in value)) return undefined;
  const { pid, startTime } = value;
  if (!Number.isSafeInteger(pid) || !Number.isSafeInteger(startTime)) return undefined;
  return Number(pid) > 1 ? { pid: Number(pid), startTime: Number(startTime) } : undefined;
}

function statOf(id: ProcessId): ProcessStat | undefined {
  const stat = readStat(id.pid);
  return stat?.startTime === id.startTime && stat.state !== "Z" ? stat : undefined;
}

/** proc_pid_stat(5). The second field, the name in parentheses, may itself hold spaces and parentheses. */
function readStat(pid: number): ProcessStat | undefined {
  const text = readProc(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, parent, startTime] = [fields[0], fields[1], fields[19]];
  if (state === undefined || parent === undefined || startTime === undefined) return undefined;
  return { state, parent: Number(parent), startTime: Number(startTime) };
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === "ENOENT" || errno === "ESRCH") return undefined;
    throw Fault.wrap(`Cannot read ${path}`, thrown);
  }
}
