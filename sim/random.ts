/** All chance of a simulation, from one number: sfc32 (Chris Doty-Humphrey, PractRand), seeded through splitmix32. */
export class SeededRandom {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    let state = seed | 0;
    const next = (): number => {
      state = (state + 0x9e3779b9) | 0;
      const mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
      const again = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      return again ^ (again >>> 15);
    };
    this.#a = next();
    this.#b = next() ^ Math.floor(seed / 2 ** 32);
    this.#c = next();
    for (let round = 0; round < 12; round += 1) this.#next();
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }

  /** From 0 to 1, without 1. */
  fraction(): number {
    return this.#next() / 2 ** 32;
  }

  /** An integer from 0 to `limit` − 1. */
  int(limit: number): number {
    return Math.floor(this.fraction() * limit);
  }

  between(low: number, high: number): number {
    return low + this.fraction() * (high - low);
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(choices: readonly T[]): T | undefined {
    return choices[this.int(choices.length)];
  }

  shuffled<T>(list: readonly T[]): T[] {
    return list
      .map((item) => ({ item, order: this.fraction() }))
      .sort((left, right) => left.order - right.order)
      .map(({ item }) => item);
  }

  /** A source of its own for a part, so that what one part draws does not move what another one does. */
  fork(): SeededRandom {
    return new SeededRandom(this.#next());
  }
}
