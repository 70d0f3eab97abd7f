/**
 * How much one asker may have of the agent's event loop: a token bucket each. What it costs to answer here is the unit. Askers
 * are counted one by one, so that one that floods does not take the others' share.
 */
import type { Clock } from "#proto/ports.ts";

/** Per second; and so much may come at once. */
export const tokensPerSecond = 20_000;

/** In tokens, as measured: a question to another nameserver has a socket of its own, and so has a connection. */
export const cost = { question: 1, forward: 9, connection: 10 } as const;

interface Bucket {
  readonly tokens: number;
  readonly atMs: number;
}

/** After so long any bucket is full, as if it had never been used. */
const fullMs = 1_000;

export class QuestionRate {
  readonly #clock: Pick<Clock, "monotonic">;
  /** Last used last. */
  readonly #buckets = new Map<string, Bucket>();

  constructor({ clock }: { readonly clock: Pick<Clock, "monotonic"> }) {
    this.#clock = clock;
  }

  /** False: the asker has to wait, and nothing was taken. */
  take(asker: string, tokens: number): boolean {
    const atMs = this.#clock.monotonic();
    this.#forgetFull(atMs);
    const bucket = this.#buckets.get(asker) ?? { tokens: tokensPerSecond, atMs };
    const gained = ((atMs - bucket.atMs) / 1_000) * tokensPerSecond;
    const there = Math.min(tokensPerSecond, bucket.tokens + gained);
    if (there < tokens) return false;
    this.#buckets.delete(asker);
    this.#buckets.set(asker, { tokens: there - tokens, atMs });
    return true;
  }

  #forgetFull(nowMs: number): void {
    for (const [asker, { atMs }] of this.#buckets) {
      if (nowMs - atMs < fullMs) return;
      this.#buckets.delete(asker);
    }
  }
}
