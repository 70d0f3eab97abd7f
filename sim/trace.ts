/** The last things that happened, put into words only when somebody asks. */
interface Line {
  readonly atMs: number;
  readonly who: string;
  readonly words: () => string;
}

export class Trace {
  readonly #lines: Line[] = [];
  readonly #limit: number;
  readonly #now: () => number;
  #next = 0;

  constructor(limit: number, now: () => number) {
    this.#limit = limit;
    this.#now = now;
  }

  add(who: string, words: () => string): void {
    this.#lines[this.#next % this.#limit] = { atMs: this.#now(), who, words };
    this.#next += 1;
  }

  format(): string {
    const begin = this.#next > this.#limit ? this.#next % this.#limit : 0;
    return [...this.#lines.slice(begin), ...this.#lines.slice(0, begin)]
      .map(({ atMs, who, words }) => `${atMs.toFixed(1).padStart(9)}  ${who.padEnd(9)}  ${words()}`)
      .join("\n");
  }
}
