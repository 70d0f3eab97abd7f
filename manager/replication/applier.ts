/**
 * Hands committed entries to the state machine, in order and each once, and puts an installed snapshot in the state's
 * place. Works in short stretches, so that a long log does not stop the event loop.
 */
import { setImmediate as turn } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import type { RaftStorage } from "../log/raft-storage.ts";
import type { Entry, SnapshotMeta } from "../raft/contract.ts";
import type { Rejection, StateMachine } from "../store/log.ts";
import { type ProposalId, unseal } from "./envelope.ts";

/** How long entries are applied before others get their turn. */
const stretchMs = 5;

export interface ApplierEvents {
  /** Everything of earlier terms that will ever be in the log is applied. */
  termBegan(term: number): void;
  applied(id: ProposalId, rejection: Rejection): void;
  /** The state was replaced: entries up to this one may have been applied without being seen here. */
  replaced(meta: SnapshotMeta): void;
  /** At the end of each stretch. */
  rested(): void;
  failed(fault: Fault): void;
}

export interface ApplierModules {
  readonly machine: StateMachine;
  readonly storage: RaftStorage;
  readonly clock: Clock;
}

type Work =
  | { readonly kind: "entry"; readonly entry: Entry }
  | { readonly kind: "install"; readonly meta: SnapshotMeta; readonly durable: Promise<void> };

interface Waiter {
  readonly index: number;
  readonly resolve: () => void;
}

export class Applier implements AsyncDisposable {
  readonly #modules: ApplierModules;
  readonly #events: ApplierEvents;
  #work: Work[] = [];
  #running: Promise<void> | undefined;
  #waiters: Waiter[] = [];
  #place: SnapshotMeta;
  /** Of the data that was applied since the start. */
  #bytes = 0;
  #closed = false;

  /** `place`: what the machine's state covers. */
  constructor(place: SnapshotMeta, modules: ApplierModules, events: ApplierEvents) {
    this.#place = place;
    this.#modules = modules;
    this.#events = events;
  }

  /** The last entry that the state comes from, and who were the members then. */
  get place(): SnapshotMeta {
    return this.#place;
  }

  get bytes(): number {
    return this.#bytes;
  }

  apply(entries: readonly Entry[]): void {
    for (const entry of entries) this.#work.push({ kind: "entry", entry });
    this.#start();
  }

  /** What waits to be applied is covered by the snapshot: it is left out. */
  install(meta: SnapshotMeta, durable: Promise<void>): void {
    this.#work = [{ kind: "install", meta, durable }];
    this.#start();
  }

  /** Resolves when the state covers the entry. */
  until(index: number): Promise<void> {
    if (this.#place.index >= index) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ index, resolve }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#work = [];
    await this.#running;
  }

  #start(): void {
    if (this.#running !== undefined || this.#closed) return;
    this.#running = this.#run()
      .catch((thrown: unknown) => {
        this.#closed = true;
        this.#events.failed(Fault.wrap("Cannot apply the managers' log", thrown));
      })
      .finally(() => {
        this.#running = undefined;
        if (this.#work.length > 0) this.#start();
      });
  }

  async #run(): Promise<void> {
    while (this.#work.length > 0 && !this.#closed) {
      const work = this.#work;
      this.#work = [];
      await this.#runAll(work);
    }
  }

  async #runAll(work: readonly Work[]): Promise<void> {
    const { clock } = this.#modules;
    let endMs = clock.monotonic() + stretchMs;
    for (const item of work) {
      if (this.#closed) return;
      // A snapshot that came meanwhile covers the rest.
      if (item.kind === "entry" && this.#work[0]?.kind === "install") return;
      if (item.kind === "install") await this.#install(item.meta, item.durable);
      else this.#apply(item.entry);
      if (clock.monotonic() < endMs) continue;
      this.#rest();
      await turn();
      endMs = clock.monotonic() + stretchMs;
    }
    this.#rest();
  }

  #apply(entry: Entry): void {
    const { index, term } = entry;
    if (index <= this.#place.index) return;
    if (index !== this.#place.index + 1) {
      throw new Fault("internal", `entry ${index} was committed after ${this.#place.index}`);
    }
    const before = this.#place;
    const membership = entry.kind === "membership" ? entry.membership : before.membership;
    if (term > before.term) this.#events.termBegan(term);
    if (entry.kind !== "data") {
      this.#place = { index, term, membership };
      return;
    }
    const { id, data } = unseal(entry.data);
    const rejection = this.#modules.machine.apply({ index: BigInt(index), data });
    this.#place = { index, term, membership };
    this.#bytes += data.length;
    this.#events.applied(id, rejection);
  }

  async #install(meta: SnapshotMeta, durable: Promise<void>): Promise<void> {
    await durable;
    if (this.#closed || meta.index <= this.#place.index) return;
    const pieces: Uint8Array[] = [];
    for await (const piece of this.#modules.storage.snapshotPieces()) pieces.push(piece);
    try {
      await this.#modules.machine.restore(BigInt(meta.index), this.#inStretches(pieces));
    } catch (thrown) {
      if (this.#closed) return;
      throw thrown;
    }
    this.#place = meta;
    this.#events.replaced(meta);
  }

  async *#inStretches(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
    const { clock } = this.#modules;
    let endMs = clock.monotonic() + stretchMs;
    for (const piece of pieces) {
      if (clock.monotonic() >= endMs) {
        await turn();
        endMs = clock.monotonic() + stretchMs;
      }
      if (this.#closed) throw new Fault("unavailable", "the log is closed");
      yield piece;
    }
  }

  #rest(): void {
    const reached = this.#waiters.filter(({ index }) => index <= this.#place.index);
    if (reached.length > 0) {
      this.#waiters = this.#waiters.filter(({ index }) => index > this.#place.index);
      for (const { resolve } of reached) resolve();
    }
    this.#events.rested();
  }
}
