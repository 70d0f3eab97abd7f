/**
 * What tasks were last measured to use, as nodes told it: in the leader's memory alone. A new leader knows nothing at first, and
 * changes nothing until it does.
 */
import type { TaskUsage } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Clock } from "#proto/ports.ts";
import { msFromDuration } from "#proto/time.ts";

export interface Usage {
  readonly nanoCpus: number;
  readonly memoryBytes: number;
  /** When the measured time began, and when it was told. */
  readonly sinceMs: number;
  readonly atMs: number;
}

export class UsageBook {
  readonly #clock: Clock;
  readonly #usages = new Map<string, Usage>();

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock;
  }

  record(usages: readonly TaskUsage[]): void {
    const atMs = this.#clock.now();
    for (const { taskId, nanoCpus, memoryBytes, period } of usages) {
      this.#usages.set(taskId, {
        nanoCpus: Number(nanoCpus),
        memoryBytes: Number(memoryBytes),
        sinceMs: atMs - msFromDuration(period, 0),
        atMs,
      });
    }
  }

  of(taskId: string): Usage | undefined {
    return this.#usages.get(taskId);
  }

  /** Drops what was told before that moment, and what a clock that was set back has in the future. */
  forget(beforeMs: number): void {
    const nowMs = this.#clock.now();
    for (const [taskId, { atMs }] of this.#usages) {
      if (atMs < beforeMs || atMs > nowMs) this.#usages.delete(taskId);
    }
  }
}
