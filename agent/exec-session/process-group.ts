/** Processes that this program has started in containers, by their number on the host. */
import { constants } from "node:os";
import { isContainerAlive } from "../container/supervised-process.ts";
import type { Exec } from "../exec.ts";

export type Child = ReturnType<Exec["start"]>;

/** What shells add to the number of the signal that ended a program. */
const exitSignaled = 128;

/** Ends a process of the container, which leads its group, and the group; one that is gone already is as good. */
export function killGroup(pid: number, taskId: string): void {
  if (!isContainerAlive(pid, taskId)) return;
  for (const target of [-pid, pid]) {
    try {
      process.kill(target, "SIGKILL");
    } catch {
      // It ended in between.
    }
  }
}

/** Rejects when there is no such program. */
export function exitCodeOf(child: Child): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      resolve(code ?? exitSignaled + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
