/** The real clock and the real randomness. Imported by main files, by agent/exec.ts, and by tests. */
import { randomBytes, randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock, Log, Random } from "./ports.ts";

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, signal === undefined ? {} : { signal }),
  timer(ms, callback) {
    const timeout = setTimeout(callback, ms).unref();
    return { [Symbol.dispose]: () => clearTimeout(timeout) };
  },
};

export const systemRandom: Random = {
  bytes: (count) => randomBytes(count),
  int: (limit) => randomInt(limit),
};

/** A log that drops everything. */
export const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLog,
};
