/**
 * Waiting for what has no event of its own: looks once each turn of the event loop at first, then now and then, up to a
 * deadline.
 */
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";

const eagerMs = 50;
const lookMs = 5;

export async function until(
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 30_000,
): Promise<void> {
  const startMs = performance.now();
  while (!(await condition())) {
    const waitedMs = performance.now() - startMs;
    if (waitedMs > deadlineMs) {
      throw new Error(`waited ${deadlineMs} ms in vain for ${String(condition)}`);
    }
    await (waitedMs < eagerMs ? turn() : sleep(lookMs));
  }
}
