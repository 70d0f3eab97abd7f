/**
 * Brings what the core wants durable to the disk, in order. Calls run side by side, so that the storage can group them, but
 * "durable" is told of one only when it holds of all before it.
 *
 * A full disk stops nothing for good: what did not fit, and everything after it, is written again in the same order after
 * a pause, until there is room.
 */
import { Fault } from "#proto/fault.ts";
import type { Clock, Log } from "#proto/ports.ts";
import type { RaftStorage } from "../log/raft-storage.ts";
import type { Persist } from "../raft/contract.ts";

const retryMs = 1_000;

export interface PersisterEvents {
  /** Everything up to and with this `Persist.number` is durable. */
  durable(number: number): void;
  /** The disk has become full; undefined: it has room again. */
  full(fault: Fault | undefined): void;
  failed(fault: Fault): void;
}

export interface PersisterModules {
  readonly storage: RaftStorage;
  readonly clock: Clock;
  readonly log: Log;
}

interface Item {
  readonly persist: Persist;
  durable: boolean;
}

export class Persister implements Disposable {
  readonly #modules: PersisterModules;
  readonly #events: PersisterEvents;
  /** Not known to be durable, in order. */
  readonly #items: Item[] = [];
  #inFlight = 0;
  /** Why nothing is handed to the storage now. */
  #full: Fault | undefined;
  #told = false;
  #retry: Disposable | undefined;
  #closed = false;

  constructor(modules: PersisterModules, events: PersisterEvents) {
    this.#modules = modules;
    this.#events = events;
  }

  add(persist: Persist): void {
    const item = { persist, durable: false };
    this.#items.push(item);
    if (this.#full === undefined) this.#write(item);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#retry?.[Symbol.dispose]();
  }

  #write(item: Item): void {
    this.#inFlight += 1;
    this.#modules.storage.persist(item.persist).then(
      () => this.#onDurable(item),
      (thrown: unknown) => this.#onFailure(Fault.from(thrown)),
    );
  }

  #onDurable(item: Item): void {
    this.#inFlight -= 1;
    if (this.#closed) return;
    item.durable = true;
    if (this.#full !== undefined) {
      this.#pause();
      return;
    }
    let number: number | undefined;
    while (this.#items[0]?.durable === true) number = this.#items.shift()?.persist.number;
    if (number === undefined) return;
    if (this.#told) this.#tell(undefined);
    this.#events.durable(number);
  }

  #onFailure(fault: Fault): void {
    this.#inFlight -= 1;
    if (this.#closed) return;
    if (fault.code !== "resource-exhausted") {
      this.#events.failed(Fault.wrap("Cannot write the managers' log", fault));
      return;
    }
    this.#full ??= fault;
    if (!this.#told) this.#tell(fault);
    this.#pause();
  }

  /** Once nothing is on its way any more: writing again in the middle would mix the order. */
  #pause(): void {
    if (this.#inFlight > 0 || this.#retry !== undefined) return;
    this.#retry = this.#modules.clock.timer(retryMs, () => {
      this.#retry = undefined;
      this.#full = undefined;
      for (const item of this.#items) {
        item.durable = false;
        this.#write(item);
      }
    });
  }

  #tell(fault: Fault | undefined): void {
    this.#told = fault !== undefined;
    const { log } = this.#modules;
    if (fault === undefined) log.info("The managers' log is written again: there is room");
    else {
      const error = fault.message;
      log.error("The managers' log cannot be written; make room on the disk", { error });
    }
    this.#events.full(fault);
  }
}
