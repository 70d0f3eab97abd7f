/**
 * Carries task statuses to the manager: the newest of each task, all that waits in one call, one call at a time. What a
 * lost session did not deliver is delivered by the next one.
 */
import { Fault } from "#proto/fault.ts";
import type { TaskStatus } from "#proto/gen/swarm/v1/types_pb.ts";

/** As many statuses go into one call; the rest follows in the next. */
const updatesPerCallMax = 1000;

export type SendStatuses = (
  updates: readonly { taskId: string; status: TaskStatus }[],
) => Promise<void>;

export class Reporter {
  readonly #waiting = new Map<string, TaskStatus>();
  #wake: (() => void) | undefined;

  /** A newer status of the same task replaces one that still waits: status grows, nothing is lost with the older one. */
  report(taskId: string, status: TaskStatus): void {
    this.#waiting.set(taskId, status);
    this.#wake?.();
  }

  /** Sends until the signal is aborted or sending fails. One at a time. */
  async run(send: SendStatuses, signal: AbortSignal): Promise<never> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#waiting.size === 0) await this.#somethingToSend(signal);
      const batch = [...this.#waiting].slice(0, updatesPerCallMax);
      await send(batch.map(([taskId, status]) => ({ taskId, status })));
      for (const [taskId, status] of batch) {
        if (this.#waiting.get(taskId) === status) this.#waiting.delete(taskId);
      }
    }
  }

  async #somethingToSend(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(Fault.from(signal.reason));
    this.#wake = resolve;
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      await promise;
    } finally {
      this.#wake = undefined;
      signal.removeEventListener("abort", onAbort);
    }
  }
}
