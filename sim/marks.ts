/** How often things happened in simulated lives: a life in which nothing went wrong shows nothing. */
export class Marks<Name extends string> {
  readonly #counts = new Map<Name, number>();

  add(name: Name, count = 1): void {
    this.#counts.set(name, this.count(name) + count);
  }

  count(name: Name): number {
    return this.#counts.get(name) ?? 0;
  }

  addAll(others: Marks<Name>): void {
    for (const [name, count] of others.#counts) this.add(name, count);
  }
}
