/**
 * What is going on, host by host, as lines: on a terminal they are drawn over each other and tell of parts of a step, elsewhere
 * each is told once. Pure but for `show`.
 */

export interface ProgressOptions {
  /** In the order in which they are shown. */
  readonly names: readonly string[];
  /** Whether lines replace each other, so that what changes often may be told. */
  readonly isLive: boolean;
  readonly show: (lines: readonly string[]) => void;
}

export class Progress {
  readonly #options: ProgressOptions;
  readonly #words = new Map<string, string>();

  constructor(options: ProgressOptions) {
    this.#options = options;
    if (options.isLive) for (const name of options.names) this.#words.set(name, "");
  }

  tell(name: string, words: string): void {
    if (this.#words.get(name) === words) return;
    this.#words.set(name, words);
    const { isLive, show } = this.#options;
    const width = Math.max(...Array.from(this.#words.keys(), ({ length }) => length));
    const line = ([on, what]: readonly [string, string]) =>
      `${on.padEnd(width)}  ${what}`.trimEnd();
    show(isLive ? Array.from(this.#words, line) : [line([name, words])]);
  }

  /** How far a step is; left out where every line stays. */
  part(name: string, words: string): void {
    if (this.#options.isLive) this.tell(name, words);
  }
}
