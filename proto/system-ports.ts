/** The real clock and the real randomness. Imported by main files, by agent/exec.ts, and by tests. */
import { randomBytes, randomFillSync, randomInt } from "node:crypto";
import type { Log, Random } from "./ports.ts";

export { systemClock } from "./system-clock.ts";

const randomPoolBytes = 4096;

/** Asking the system costs microseconds, whether for 20 bytes or for thousands; each byte is handed out once and wiped. */
class RandomPool {
  readonly #pool = Buffer.alloc(randomPoolBytes);
  #used = randomPoolBytes;

  take(count: number): Buffer {
    if (count > randomPoolBytes / 16) return randomBytes(count);
    if (this.#used + count > randomPoolBytes) {
      randomFillSync(this.#pool);
      this.#used = 0;
    }
    const part = this.#pool.subarray(this.#used, this.#used + count);
    this.#used += count;
    const taken = Buffer.from(part);
    part.fill(0);
    return taken;
  }
}

const randomPool = new RandomPool();

export const systemRandom: Random = {
  bytes: (count) => randomPool.take(count),
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
