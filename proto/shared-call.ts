/** One call for many who ask: those who come while a call is under way share the next one, which begins after they came. */
import { setImmediate as turn } from "node:timers/promises";

export class SharedCall<T> {
  readonly #call: () => Promise<T>;
  #current: Promise<T> | undefined;
  #next: Promise<T> | undefined;

  constructor(call: () => Promise<T>) {
    this.#call = call;
  }

  run(): Promise<T> {
    this.#next ??= this.#begin();
    return this.#next;
  }

  async #begin(): Promise<T> {
    if (this.#current === undefined) await turn();
    // Those who share the one before have its failure.
    else await this.#current.catch(() => undefined);
    const own = this.#next;
    this.#current = own;
    this.#next = undefined;
    try {
      return await this.#call();
    } finally {
      if (this.#current === own) this.#current = undefined;
    }
  }
}
