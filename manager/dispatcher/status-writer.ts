/**
 * Stores what agents report of their tasks. A status that grew is committed before its agent gets an answer, many in one
 * transaction. Mere new words, such as the progress of a pull, are written twice a second at most, the newest only.
 */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { TaskStatus } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { BatchWriter } from "../batch-writer.ts";
import type { Action } from "../store/objects.ts";
import type { Store, View } from "../store/store.ts";
import { compareStatus } from "./status-growth.ts";

const gatherMs = 2;
const wordsPeriodMs = 500;

export interface StatusReport {
  readonly nodeId: string;
  readonly taskId: string;
  readonly status: TaskStatus;
}

export class StatusWriter implements AsyncDisposable {
  readonly #modules: Ports & { readonly store: Store };
  readonly #writer: BatchWriter<readonly StatusReport[]>;
  /** The newest words of each task that wait for their turn. */
  readonly #words = new Map<string, StatusReport>();
  #timer: Disposable | undefined;

  constructor(modules: Ports & { readonly store: Store }) {
    this.#modules = modules;
    this.#writer = new BatchWriter(
      {
        name: "status writer",
        gatherMs,
        plan: (view, reports) => planStatuses(view, reports.flat()),
      },
      modules,
    );
  }

  get failed(): Promise<never> {
    return this.#writer.failed;
  }

  /** Resolves when all that grew is committed. */
  async report(reports: readonly StatusReport[]): Promise<void> {
    const grown: StatusReport[] = [];
    for (const report of reports) {
      const task = this.#modules.store.get("task", report.taskId);
      if (task === undefined) continue;
      const growth = compareStatus(task.status, report.status);
      if (growth === "grown") grown.push(report);
      else if (growth === "reworded") this.#keepWords(report);
    }
    if (grown.length > 0) await this.#writer.submit(grown);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    await this.#writer[Symbol.asyncDispose]();
  }

  #keepWords(report: StatusReport): void {
    this.#words.set(report.taskId, report);
    this.#timer ??= this.#modules.clock.timer(wordsPeriodMs, () => {
      this.#timer = undefined;
      const reports = [...this.#words.values()];
      this.#words.clear();
      // Nobody waits for words; a failure ends the leadership by way of `failed`.
      this.#writer.submit(reports).catch(() => undefined);
    });
  }
}

/** The tasks that the reports change. Reports about tasks of other nodes change nothing. */
export function planStatuses(view: View, reports: readonly StatusReport[]): readonly Action[] {
  const changed = new Map<string, Task>();
  for (const { nodeId, taskId, status } of reports) {
    const task = changed.get(taskId) ?? view.get("task", taskId);
    if (task === undefined || task.nodeId !== nodeId) continue;
    if (compareStatus(task.status, status) === "stale") continue;
    changed.set(taskId, { ...task, status: { ...status, appliedBy: nodeId } });
  }
  return Array.from(changed.values(), (object) => ({ action: "update", kind: "task", object }));
}
