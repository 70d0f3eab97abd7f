/** Waiting for what the kernel tells nobody about: the condition is looked at again and again until a deadline. */
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";

const intervalMsFirst = 2;
const intervalMsMax = 50;

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Resolves to the condition's first value that is neither undefined nor false. `what` completes "waited 5 s for …". */
export async function waitFor<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  options: WaitOptions,
): Promise<T> {
  const deadline = performance.now() + options.timeoutMs;
  for (let intervalMs = intervalMsFirst; ; intervalMs = Math.min(intervalMs * 1.5, intervalMsMax)) {
    options.signal?.throwIfAborted();
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) {
      throw new Fault("deadline-exceeded", `waited ${options.timeoutMs / 1000} s for ${what}`);
    }
    await sleep(
      intervalMs,
      undefined,
      options.signal === undefined ? {} : { signal: options.signal },
    );
  }
}
