/** Waiting for what has no event of its own: looks once each turn of the event loop, up to a deadline. */
import { setImmediate as turn } from "node:timers/promises";

export async function until(condition: () => boolean, deadlineMs = 5_000): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!condition()) {
    if (performance.now() > endMs) {
      throw new Error(`waited ${deadlineMs} ms in vain for ${String(condition)}`);
    }
    await turn();
  }
}
