/** The real clock, without what randomness takes to load. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "./ports.ts";

/** Node's timers take no more (24.8 days) and turn what is longer into 1 ms; longer waits are made of several. */
const timerMsMax = 2 ** 31 - 1;

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
