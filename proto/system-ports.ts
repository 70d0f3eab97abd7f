/** The real clock and the real randomness. Imported by main files, by agent/exec.ts, and by tests. */
import { randomBytes, randomFillSync, randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock, Log, Random } from "./ports.ts";

/** Node's timers take no more (24.8 days) and turn what is longer into 1 ms; longer waits are made of several. */
const timerMsMax = 2 ** 31 - 1;

const randomPoolBytes = 4096;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    const options = signal === undefined ? {} : { signal };
    let leftMs = ms;
    for (; leftMs > timerMsMax; leftMs -= timerMsMax) await sleep(timerMsMax, undefined, options);
    await sleep(leftMs, undefined, options);
  },
  timer(ms, callback) {
    let leftMs = ms;
    const arm = (): NodeJS.Timeout => {
      const pieceMs = Math.min(leftMs, timerMsMax);
      leftMs -= pieceMs;
      return setTimeout(onPiece, pieceMs).unref();
    };
    const onPiece = () => {
      if (leftMs > 0) timeout = arm();
      else callback();
    };
    let timeout = arm();
    return { [Symbol.dispose]: () => clearTimeout(timeout) };
  },
};

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
