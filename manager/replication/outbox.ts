/**
 * What waits to go to one server. Bounded: Raft lives with what is lost, and what costs most room, entries, goes first.
 */
import type { Message } from "../raft/contract.ts";

const messagesMax = 4_096;
const bytesMax = 64 * 1024 * 1024;

/** A request for messages holds so much, unless one alone is larger. */
const requestBytesMax = 4 * 1024 * 1024;

/** About what a message takes on the wire beside its data. */
const headBytes = 64;

export class Outbox {
  #messages: Message[] = [];
  #bytes = 0;
  #arrived: (() => void) | undefined;

  get empty(): boolean {
    return this.#messages.length === 0;
  }

  add(message: Message): void {
    const bytes = bytesOf(message);
    const full = this.#messages.length >= messagesMax || this.#bytes + bytes > bytesMax;
    if (full && isBulk(message)) return;
    // Votes and answers are few and small: entries make room for them.
    if (full && this.#messages.length >= messagesMax) this.#drop(this.#messages.findIndex(isBulk));
    this.#messages.push(message);
    this.#bytes += bytes;
    this.#arrived?.();
  }

  /** What goes in one request: chunks of snapshots, whose data is not here yet, alone. */
  take(): readonly Message[] {
    let count = 0;
    let bytes = 0;
    for (const message of this.#messages) {
      bytes += bytesOf(message);
      const alone = message.kind === "snapshot-chunk";
      if (count > 0 && (alone || bytes > requestBytesMax)) break;
      count += 1;
      if (alone) break;
    }
    const batch = this.#messages.splice(0, count);
    for (const message of batch) this.#bytes -= bytesOf(message);
    return batch;
  }

  clear(): void {
    this.#messages = [];
    this.#bytes = 0;
  }

  /** Resolves when there is something, or the signal is aborted. For one waiter at a time. */
  async arrival(signal: AbortSignal): Promise<void> {
    if (!this.empty || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#arrived = resolve;
    const release = () => resolve();
    signal.addEventListener("abort", release, { once: true });
    await promise;
    signal.removeEventListener("abort", release);
    this.#arrived = undefined;
  }

  #drop(index: number): void {
    const [message] = this.#messages.splice(Math.max(index, 0), 1);
    if (message !== undefined) this.#bytes -= bytesOf(message);
  }
}

function isBulk(message: Message): boolean {
  return message.kind === "append" || message.kind === "snapshot-chunk";
}

function bytesOf(message: Message): number {
  if (message.kind === "snapshot-chunk") return headBytes + message.data.length;
  if (message.kind !== "append") return headBytes;
  let bytes = headBytes;
  for (const entry of message.entries) {
    bytes += headBytes;
    if (entry.kind === "data") bytes += entry.data.length;
    if (entry.kind !== "membership") continue;
    const { members, removed } = entry.membership;
    bytes += headBytes * (2 * members.length + removed.length);
  }
  return bytes;
}
