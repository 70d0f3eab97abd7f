/**
 * Looking again and again at what nobody tells of. The interval is fixed, and the same for all that is compared: it is
 * the resolution of what is measured, and long enough that watching does not eat the cores that are measured.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";

/** Between two questions to an API. */
export const apiIntervalMs = 50;

/** Between two looks at cgroups. */
export const cgroupIntervalMs = 20;

export interface PollOptions {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Resolves when the condition holds. `what` is asked when it is too late, and completes "waited 60 s for …". */
export async function pollUntil(
  what: () => string,
  condition: () => boolean | Promise<boolean>,
  options: PollOptions,
): Promise<void> {
  const { intervalMs, timeoutMs, signal } = options;
  const startedAt = performance.now();
  for (let lookAt = startedAt; ; ) {
    signal.throwIfAborted();
    if (await condition()) return;
    const now = performance.now();
    if (now - startedAt > timeoutMs) {
      throw new Fault("deadline-exceeded", `waited ${timeoutMs / 1000} s for ${what()}`);
    }
    // A look that takes longer than the interval is followed by the next at once, and no look is made up for.
    lookAt = Math.max(lookAt + intervalMs, now);
    await sleep(lookAt - now, undefined, { signal });
  }
}
