/**
 * Gathers the output of a step, and holds back every message until the writes that it rests on are durable. A held message
 * may be dropped like one lost on the way, so what is held has a bound.
 */
import type {
  Entry,
  HardState,
  Message,
  Output,
  Persist,
  Refusal,
  SnapshotMeta,
  Standing,
} from "./contract.ts";

/** Far above what a leader's window and the heartbeats of a slow disk's stall amount to. */
const heldMax = 4096;

/** A write as it gathers during a step. */
interface Gathering {
  asked: boolean;
  chunk: Persist["chunk"];
  install: Persist["install"];
  hardState: Persist["hardState"];
  readonly entries: Entry[];
}

function emptyPersist(): Gathering {
  return {
    asked: false,
    chunk: undefined,
    install: undefined,
    hardState: undefined,
    entries: [],
  };
}

export class Outbox {
  #persistedNumber = 0;
  #lastNumber = 0;
  #hardStateNumber = 0;
  #held: { readonly write: number; readonly message: Message }[] = [];

  #persist = emptyPersist();
  #send: Message[] = [];
  #apply: Entry[] = [];
  #accepted: Output["accepted"][number][] = [];
  #refused: Output["refused"][number][] = [];
  #reads: Output["reads"][number][] = [];

  /** The write of the present term and vote. */
  get termWrite(): number {
    return this.#hardStateNumber;
  }

  hardState(hardState: HardState): void {
    this.#persist.hardState = hardState;
    this.#hardStateNumber = this.#ask();
  }

  /** Returns the write's number. All that one step persists is one write. */
  entries(entries: readonly Entry[]): number {
    for (const entry of entries) this.#persist.entries.push(entry);
    return this.#ask();
  }

  chunk(chunk: NonNullable<Persist["chunk"]>): number {
    this.#persist.chunk = chunk;
    return this.#ask();
  }

  install(meta: SnapshotMeta): number {
    this.#persist.install = meta;
    return this.#ask();
  }

  send(message: Message, write: number): void {
    const needed = Math.max(write, this.#hardStateNumber);
    if (needed <= this.#persistedNumber) {
      this.#send.push(message);
      return;
    }
    this.#held.push({ write: needed, message });
    if (this.#held.length > heldMax) this.#held.shift();
  }

  apply(entries: readonly Entry[]): void {
    for (const entry of entries) this.#apply.push(entry);
  }

  accept(request: number, entry: Entry): void {
    this.#accepted.push({ request, term: entry.term, index: entry.index });
  }

  refuse(requests: readonly number[], why: Refusal): void {
    for (const request of requests) this.#refused.push({ request, why });
  }

  answerReads(requests: readonly number[], index: number): void {
    for (const request of requests) this.#reads.push({ request, index });
  }

  /** Is the write durable? */
  has(write: number): boolean {
    return write <= this.#persistedNumber;
  }

  /** False: nobody asked for such a write, or it is known already. */
  persisted(number: number): boolean {
    if (number <= this.#persistedNumber || number > this.#lastNumber) return false;
    this.#persistedNumber = number;
    const free = this.#held.filter(({ write }) => write <= number);
    if (free.length === 0) return true;
    this.#held = this.#held.filter(({ write }) => write > number);
    for (const { message } of free) this.#send.push(message);
    return true;
  }

  /** The step's output; the next step begins with nothing. */
  take(standing: Standing | undefined, wakeAtMs: number): Output {
    const output: Output = {
      persist: this.#takePersist(),
      send: this.#send,
      apply: this.#apply,
      accepted: this.#accepted,
      refused: this.#refused,
      reads: this.#reads,
      standing,
      wakeAtMs,
    };
    this.#persist = emptyPersist();
    this.#send = [];
    this.#apply = [];
    this.#accepted = [];
    this.#refused = [];
    this.#reads = [];
    return output;
  }

  #takePersist(): Persist | undefined {
    const { asked, chunk, install, hardState, entries } = this.#persist;
    if (!asked) return undefined;
    return { number: this.#lastNumber, chunk, install, hardState, entries };
  }

  #ask(): number {
    if (!this.#persist.asked) this.#lastNumber += 1;
    this.#persist.asked = true;
    return this.#lastNumber;
  }
}
