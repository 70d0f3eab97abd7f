/** How many blobs other nodes read from here at a time: they shall not take the host's network from its own work. */
import { Fault } from "#proto/fault.ts";

/** The children of a tree times the layers that each takes at a time. */
const uploadsMax = 12;

/** Calls of one node, those too that were dropped and that it has not ended yet: each may hold a piece in memory. */
const callsMax = 6;

export interface Upload extends Disposable {
  /** The call is not served any more, but is not over either. */
  drop(): void;
}

export class Uploads {
  #count = 0;
  readonly #calls = new Map<string, number>();

  /** Until the result is disposed of. Refuses where there are too many. */
  begin(nodeId: string): Upload {
    const calls = this.#calls.get(nodeId) ?? 0;
    if (this.#count >= uploadsMax || calls >= callsMax) {
      throw new Fault("resource-exhausted", "this node sends as many layers as it may: try later");
    }
    this.#count += 1;
    this.#calls.set(nodeId, calls + 1);
    let counts = true;
    const drop = () => {
      if (counts) this.#count -= 1;
      counts = false;
    };
    return {
      drop,
      [Symbol.dispose]: () => {
        drop();
        const rest = (this.#calls.get(nodeId) ?? 0) - 1;
        if (rest > 0) this.#calls.set(nodeId, rest);
        else this.#calls.delete(nodeId);
      },
    };
  }
}
