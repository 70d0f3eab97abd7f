/**
 * The order in which a host's network changes: one thing at a time; the newest wanted state, then departures, then
 * arrivals, each time everything of the kind that waits, up to a batch. Knows nothing of networks.
 *
 * Invariant: a caller's promise settles after its own work was performed, or a newer state in the place of its own.
 */
import { Fault } from "#proto/fault.ts";

export interface WorkLaneOptions<Arrival> {
  readonly converge: () => Promise<void>;
  readonly depart: (taskIds: readonly string[]) => Promise<void>;
  /** One result per arrival, in their order. */
  readonly arrive: (arrivals: readonly Arrival[]) => Promise<readonly PromiseSettledResult<void>[]>;
  readonly departuresBatchMax: number;
  readonly arrivalsBatchMax: number;
}

/** More waiting work than a host can have tasks: something is wrong with the caller. */
const waitingMax = 20_000;

interface Waiting<Item> {
  readonly item: Item;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class WorkLane<Arrival> {
  readonly #options: WorkLaneOptions<Arrival>;
  #convergences: Waiting<undefined>[] = [];
  #departures: Waiting<string>[] = [];
  #arrivals: Waiting<Arrival>[] = [];
  #running: Promise<void> | undefined;
  #runs = 0;

  constructor(options: WorkLaneOptions<Arrival>) {
    this.#options = options;
  }

  converge(): Promise<void> {
    return this.#enter(this.#convergences, undefined);
  }

  depart(taskId: string): Promise<void> {
    return this.#enter(this.#departures, taskId);
  }

  arrive(arrival: Arrival): Promise<void> {
    return this.#enter(this.#arrivals, arrival);
  }

  /** Resolves when nothing waits or runs. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /**
   * Looks at what all of this changes, without holding any of it up. Undefined: something was performed meanwhile, and
   * what was seen is worth nothing.
   */
  async look<Seen>(look: () => Promise<Seen>): Promise<Seen | undefined> {
    // Not by `idle`: a turn later something may run again.
    while (this.#running !== undefined) await this.#running;
    const runs = this.#runs;
    const seen = await look();
    return this.#running === undefined && this.#runs === runs ? seen : undefined;
  }

  #enter<Item>(queue: Waiting<Item>[], item: Item): Promise<void> {
    if (queue.length >= waitingMax) {
      throw new Fault("resource-exhausted", `${waitingMax} changes of the network wait already`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    queue.push({ item, resolve, reject });
    if (this.#running === undefined) {
      this.#runs += 1;
      this.#running = this.#run();
    }
    return promise;
  }

  async #run(): Promise<void> {
    // What is asked for in the same turn of the event loop goes into one batch.
    await new Promise<void>((resolve) => setImmediate(resolve));
    for (;;) {
      if (this.#convergences.length > 0) {
        await perform(this.#convergences.splice(0), () => this.#options.converge());
      } else if (this.#departures.length > 0) {
        const departures = this.#departures.splice(0, this.#options.departuresBatchMax);
        const taskIds = departures.map(({ item }) => item);
        await perform(departures, () => this.#options.depart(taskIds));
      } else if (this.#arrivals.length > 0) {
        await this.#performArrivals(this.#arrivals.splice(0, this.#options.arrivalsBatchMax));
      } else break;
    }
    this.#running = undefined;
  }

  async #performArrivals(arrivals: readonly Waiting<Arrival>[]): Promise<void> {
    try {
      const results = await this.#options.arrive(arrivals.map(({ item }) => item));
      for (const [index, { resolve, reject }] of arrivals.entries()) {
        const result = results[index];
        if (result?.status === "rejected") reject(result.reason);
        else resolve();
      }
    } catch (error) {
      for (const { reject } of arrivals) reject(error);
    }
  }
}

async function perform(waiting: readonly Waiting<unknown>[], work: () => Promise<void>) {
  try {
    await work();
    for (const { resolve } of waiting) resolve();
  } catch (error) {
    for (const { reject } of waiting) reject(error);
  }
}
