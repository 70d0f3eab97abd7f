/** What work under way is about to need, by name: nothing of it is cleared away meanwhile. */
export class Leases {
  readonly #counts = new Map<string, number>();

  /** Until disposed. */
  hold(names: Iterable<string>): Disposable {
    const held = [...names];
    for (const name of held) this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        for (const name of held.splice(0)) {
          const count = (this.#counts.get(name) ?? 0) - 1;
          if (count > 0) this.#counts.set(name, count);
          else this.#counts.delete(name);
        }
      },
    };
  }

  has(name: string): boolean {
    return this.#counts.has(name);
  }
}
