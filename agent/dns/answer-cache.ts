/** Answers of other nameservers for as long as they are good, the least used forgotten first. Bounded in number and in bytes. */
import type { Clock } from "#proto/ports.ts";
import { type Answer, lifetimeOf } from "./answer.ts";

export interface CachedAnswer {
  readonly answer: Answer;
  /** Whole seconds, as times to live are. */
  readonly ageSeconds: number;
}

interface Entry {
  readonly answer: Answer;
  readonly storedAtMs: number;
  readonly lifetimeMs: number;
}

const entriesMax = 10_000;
const bytesMax = 4 * 1024 * 1024;

export class AnswerCache {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor({ clock }: { readonly clock: Pick<Clock, "monotonic"> }) {
    this.#clock = clock;
  }

  get(key: string): CachedAnswer | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const ageMs = this.#clock.monotonic() - entry.storedAtMs;
    this.#delete(key);
    if (ageMs >= entry.lifetimeMs) return undefined;
    this.#add(key, entry);
    return { answer: entry.answer, ageSeconds: Math.floor(ageMs / 1_000) };
  }

  put(key: string, answer: Answer): void {
    this.#delete(key);
    const lifetimeMs = lifetimeOf(answer) * 1_000;
    if (lifetimeMs === 0) return;
    this.#add(key, { answer, storedAtMs: this.#clock.monotonic(), lifetimeMs });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= entriesMax && this.#bytes <= bytesMax) break;
      this.#delete(oldest);
    }
  }

  #add(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
    this.#bytes += sizeOf(key, entry);
  }

  #delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= sizeOf(key, entry);
  }
}

/** A record's places take about as much as the record. */
function sizeOf(key: string, { answer }: Entry): number {
  return key.length + answer.bytes.length + 64 * (4 + answer.records.length);
}
