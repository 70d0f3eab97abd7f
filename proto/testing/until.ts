/** Waiting for what has no event of its own, up to a deadline. */
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";

const lookMs = 5;

/** For what this process does: looks once each turn of the event loop. */
export async function until(condition: () => boolean, deadlineMs = 5_000): Promise<void> {
  await look(condition, () => turn(), deadlineMs);
}

/** For what the kernel and other processes do: looks now and then, and leaves them the time to do it. */
export async function untilSeen(
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 30_000,
): Promise<void> {
  await look(condition, () => sleep(lookMs), deadlineMs);
}

async function look(
  condition: () => boolean | Promise<boolean>,
  pause: () => Promise<void>,
  deadlineMs: number,
): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > endMs) {
      throw new Error(`waited ${deadlineMs} ms in vain for ${String(condition)}`);
    }
    await pause();
  }
}
