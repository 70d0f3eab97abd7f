/** What is on its way from nodes to one reader. Bounded: who adds waits while the reader is behind. */
import { Fault } from "#proto/fault.ts";
import type { LogMessage } from "#proto/gen/swarm/v1/control_pb.ts";

/** IDs and time, which each line carries along. */
const lineOverheadBytes = 128;

/** What lines take in memory and on the wire, about: many have less text than the rest of them. */
export function sizeOfLines(lines: readonly Pick<LogMessage, "data">[]): number {
  return lines.reduce((sum, { data }) => sum + data.length + lineOverheadBytes, 0);
}

/** What may wait for the reader; a single addition may exceed it. */
const queueBytesMax = 1024 * 1024;

export class LogQueue<T> implements Disposable {
  #items: T[] = [];
  #sizeBytes = 0;
  #state: "open" | "ended" | "closed" = "open";
  /** Replaced whenever something changes; resolving it wakes all who wait for any change. */
  #change = Promise.withResolvers<void>();

  /** Resolves when the items are in; waits for room first. */
  async add(items: readonly T[], sizeBytes: number): Promise<void> {
    while (this.#sizeBytes >= queueBytesMax && this.#state === "open") await this.#change.promise;
    if (this.#state !== "open") throw new Fault("not-found", "nobody reads this log any more");
    this.#items.push(...items);
    this.#sizeBytes += sizeBytes;
    this.#changed();
  }

  /** For what is small and rare: does not wait. */
  put(item: T): void {
    this.#items.push(item);
    this.#changed();
  }

  /** Nothing more comes; what is there will still be read. */
  end(): void {
    if (this.#state === "open") this.#state = "ended";
    this.#changed();
  }

  /** All that there is, again and again, until the end. */
  async *read(signal: AbortSignal): AsyncIterable<readonly T[]> {
    const onAbort = () => this.#changed();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      while (!signal.aborted) {
        if (this.#items.length > 0) yield this.#take();
        else if (this.#state === "open") await this.#change.promise;
        else return;
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** The reader went away: who waits to add is told so. */
  [Symbol.dispose](): void {
    this.#state = "closed";
    this.#changed();
  }

  #take(): readonly T[] {
    const items = this.#items;
    this.#items = [];
    this.#sizeBytes = 0;
    this.#changed();
    return items;
  }

  #changed(): void {
    const { resolve } = this.#change;
    this.#change = Promise.withResolvers();
    resolve();
  }
}
