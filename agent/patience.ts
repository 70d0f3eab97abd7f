/**
 * How long a manager may take to open a session. Short, so that another is asked before this node looks down; but twice what
 * the last one took, so that hosts which are slow, or have much to do, are not given up time and again; and doubled with each
 * failure: what is given up too early only makes a busy cluster busier.
 */
const msMin = 500;
const msMax = 16_000;
/** One opening that took very long says little of the next. */
const expectedMsMax = 4_000;

export class Patience {
  #ms = msMin;

  /** For the session to be opened next. */
  get ms(): number {
    return this.#ms;
  }

  failed(): void {
    this.#ms = Math.min(this.#ms * 2, msMax);
  }

  /** The session stood, and had been opened in so many milliseconds. */
  stood(openedInMs: number): void {
    const expectedMs = Math.round(2 * openedInMs);
    this.#ms = Math.min(Math.max(expectedMs, msMin), expectedMsMax);
  }
}
