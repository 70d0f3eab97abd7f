/**
 * Shuffles answers, so that clients that take the first one spread evenly. Nobody gains by guessing an order: a fast
 * generator (xorshift, Marsaglia 2003) from a random start does.
 */
import type { Random } from "#proto/ports.ts";

export class Shuffler {
  #state: number;

  constructor(random: Random) {
    this.#state = 1 + random.int(0x7fff_ffff);
  }

  /** In place, Fisher–Yates; only the first `count` places matter. */
  shuffle(items: unknown[], count: number): void {
    const places = Math.min(count, items.length - 1);
    for (let place = 0; place < places; place += 1) {
      const other = place + (this.#next() % (items.length - place));
      const moved = items[place];
      items[place] = items[other];
      items[other] = moved;
    }
  }

  #next(): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return state >>> 0;
  }
}
