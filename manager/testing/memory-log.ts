/** A log for tests: in memory, ordered, applied a turn of the event loop after it was proposed, like a very fast disk. */
import { setImmediate as turn } from "node:timers/promises";
import type { Log, Rejection, StateMachine } from "../store/log.ts";

export class MemoryLog implements Log {
  readonly #machine: StateMachine;
  #index = 0n;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(machine: StateMachine) {
    this.#machine = machine;
  }

  /** How many entries there are. */
  get length(): number {
    return Number(this.#index);
  }

  propose(data: Uint8Array): Promise<Rejection> {
    const applied = this.#tail.then(async () => {
      await turn();
      this.#index += 1n;
      return this.#machine.apply({ index: this.#index, data });
    });
    this.#tail = applied;
    return applied;
  }
}
