/**
 * Which process is meant, for longer than it lives: its pid and its start time (in clock ticks since the machine's boot).
 * The kernel gives a pid to another process later; it never gives out the same pair again before a reboot.
 */
import { readdirSync, readFileSync } from "node:fs";
import { errnoOf, Fault } from "#proto/fault.ts";

export interface ProcessId {
  readonly pid: number;
  readonly startTime: number;
}

interface ProcessStat {
  readonly program: string;
  readonly startTime: number;
  readonly state: string;
  readonly parent: number;
}

/** The process that has this pid now. */
export function identify(pid: number): ProcessId | undefined {
  const stat = readStat(pid);
  return stat === undefined ? undefined : { pid, startTime: stat.startTime };
}

/** Whether any thread of the process runs. One that ended and waits to be reaped does not. */
export function isAlive(id: ProcessId): boolean {
  return statOf(id) !== undefined;
}

/** Whether a SIGSTOP has reached every thread of the process. */
export function isStopped(id: ProcessId): boolean {
  if (!isAlive(id)) return false;
  return threadsOf(id.pid).every((thread) => readStat(`${id.pid}/task/${thread}`)?.state === "T");
}

/** The parent, if that is this program: whose parent has ended has been given another. */
export function parentOf(id: ProcessId, program: string): ProcessId | undefined {
  const parent = statOf(id)?.parent;
  const stat = parent === undefined ? undefined : readStat(parent);
  if (parent === undefined || stat?.program !== program) return undefined;
  return { pid: parent, startTime: stat.startTime };
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

/** The command line of a process; empty where it has ended. */
export function commandOf(pid: number): readonly string[] {
  return (readProc(`/proc/${pid}/cmdline`) ?? "").split("\0").slice(0, -1);
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
  if (stat?.startTime !== id.startTime) return undefined;
  // The first thread is a zombie as soon as it ends; the files of the process are open until the last one does.
  return stat.state === "Z" && threadsOf(id.pid).length <= 1 ? undefined : stat;
}

/** proc_pid_stat(5). The second field, the name in parentheses, may itself hold spaces and parentheses. */
function readStat(folder: number | string): ProcessStat | undefined {
  const text = readProc(`/proc/${folder}/stat`);
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, parent, startTime] = [fields[0], fields[1], fields[19]];
  if (state === undefined || parent === undefined || startTime === undefined) return undefined;
  const program = text.slice(text.indexOf("(") + 1, text.lastIndexOf(")"));
  return { program, state, parent: Number(parent), startTime: Number(startTime) };
}

function threadsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return [];
    throw Fault.wrap(`Cannot read the threads of process ${pid}`, thrown);
  }
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
