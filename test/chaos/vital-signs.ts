/** How the programs of the hosts fare: what memory they take, and what in their logs should not be there. */
import { readFileSync } from "node:fs";
import { managerOf } from "#bench/raft/ours-group.ts";
import type { Host } from "#lab/host.ts";
import type { ProcessId } from "#lab/process-id.ts";

const intervalMs = 1_000;

/** What one process took. */
export interface Memory {
  readonly name: string;
  /** MiB. */
  readonly maxMb: number;
}

export class MemoryWatch implements Disposable {
  readonly #seen = new Map<string, Memory>();
  readonly #timer: NodeJS.Timeout;

  constructor(hosts: readonly Host[]) {
    this.#timer = setInterval(() => {
      for (const host of hosts) this.#look(host);
    }, intervalMs);
  }

  /** Of every process that was there, those that have ended too. */
  get processes(): readonly Memory[] {
    return [...this.#seen.values()];
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(host: Host): void {
    const swarmd = host.swarmd.process;
    if (swarmd === undefined) return;
    this.#note(`${host.name} swarmd`, swarmd);
    const manager = managerOf(swarmd);
    if (manager !== undefined) this.#note(`${host.name} manager`, manager);
  }

  #note(name: string, { pid, startTime }: ProcessId): void {
    const mb = residentMb(pid);
    if (mb === undefined) return;
    const key = `${pid} ${startTime}`;
    const { maxMb = mb } = this.#seen.get(key) ?? {};
    this.#seen.set(key, { name, maxMb: Math.max(maxMb, mb) });
  }
}

function residentMb(pid: number): number | undefined {
  try {
    const kb = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kb === undefined ? undefined : Math.round(Number(kb) / 1024);
  } catch {
    // It has ended.
    return undefined;
  }
}

/** A line of our log begins with its time; what is not of it is a program's last words, such as an error that nobody caught. */
const logged = /^\d{4}-\d\d-\d\dT[\d:.]+Z (debug|info|warn) /;

/** Lines that tell of an end that nobody asked for, or of an error that nobody foresaw. */
export function alarms(host: Host): readonly string[] {
  const lines = readFileSync(host.swarmd.logPath, "utf8").trimEnd().split("\n");
  return lines.filter((line) => !logged.test(line)).map((line) => `${host.name}: ${line}`);
}
