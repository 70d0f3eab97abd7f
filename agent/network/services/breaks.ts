/** Long work in pieces: the agent's other work has its turn between them. */

/** About 3 ms of the units below. */
const unitsMax = 4_000;

export class Breaks {
  #units = 0;

  /** To be awaited; a unit is about what it costs to write one element. */
  async after(units: number): Promise<void> {
    this.#units += units;
    if (this.#units < unitsMax) return;
    this.#units = 0;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
