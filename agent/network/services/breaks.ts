/** Long work in pieces: between them the agent's other work has its turn. */

/** About 3 ms of the units below. */
const unitsMax = 4_000;

export class Breaks {
  #units = 0;

  /** Says when to take a break. A unit is about what it costs to write one element. */
  isDue(units: number): boolean {
    this.#units += units;
    return this.#units >= unitsMax;
  }

  async take(): Promise<void> {
    this.#units = 0;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
