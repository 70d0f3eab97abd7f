/**
 * Writes that are checked against each other, one after another: what a write claims, such as a published port, the store
 * shows only when it is committed. Of two claims that are made at once, the later is so refused like one made later.
 */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** In the order of their coming; one that fails does not keep the next from its turn. */
  take<T>(write: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(write);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
