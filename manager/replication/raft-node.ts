/**
 * The one place that performs what the core asks for. Events go in one at a time; of each output the parts are performed in
 * this order: persist (begun), send, install, apply, answers, standing. Persisting runs beside sending and applying: what
 * must wait for the disk the core holds back itself.
 */
import { setImmediate as turn } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import type { Raft } from "../raft/raft.ts";
import type {
  Entry,
  Event,
  MembershipChange,
  Message,
  Output,
  Persist,
  Refusal,
  SnapshotMeta,
  Standing,
} from "../raft/contract.ts";

/** What became of a request. Index: where a proposal or change stands in the log, or what a read has to wait for. */
export type Answer =
  | { readonly kind: "accepted"; readonly term: number; readonly index: number }
  | { readonly kind: "refused"; readonly why: Refusal };

export interface NodeEffects {
  persist(persist: Persist): void;
  send(messages: readonly Message[]): void;
  /** Takes the place of the state as soon as `Persist` number is durable, before everything that is applied later. */
  install(meta: SnapshotMeta, number: number): void;
  apply(entries: readonly Entry[]): void;
  /** After each event. */
  stepped(): void;
  /** The standing has changed. */
  stood(standing: Standing): void;
  failed(fault: Fault): void;
}

export class RaftNode implements Disposable {
  readonly #raft: Raft;
  readonly #clock: Clock;
  readonly #effects: NodeEffects;
  readonly #events: Event[] = [];
  readonly #answers = new Map<number, (answer: Answer) => void>();
  /** Of `#answers`, those of reads. */
  readonly #reads = new Set<number>();
  #request = 0;
  #stepping = false;
  #closed = false;
  #alarm: { readonly atMs: number; readonly timer: Disposable } | undefined;
  #wakeAtMs = 0;

  constructor(modules: { raft: Raft; clock: Clock }, effects: NodeEffects) {
    this.#raft = modules.raft;
    this.#clock = modules.clock;
    this.#effects = effects;
  }

  get core(): Omit<Raft, "step"> {
    return this.#raft;
  }

  /** Performed before it returns, unless called from within an effect: then right after it. */
  step(event: Event): void {
    if (!this.#closed) this.#events.push(event);
    else this.#refuseAll([...this.#answers.keys()]);
    if (this.#closed || this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        if (this.#closed) return;
        this.#perform(this.#raft.step(next, this.#clock.monotonic()));
      }
    } catch (thrown) {
      this[Symbol.dispose]();
      this.#effects.failed(Fault.wrap("Cannot go on with the managers' log", thrown));
    } finally {
      this.#stepping = false;
    }
  }

  /** Each answer is given once; that of an entry which was accepted says nothing of its fate. */
  propose(proposals: readonly { data: Uint8Array; answer: (answer: Answer) => void }[]): void {
    const named = proposals.map(({ data, answer }) => ({ request: this.#ask(answer), data }));
    this.step({ kind: "propose", proposals: named });
  }

  change(change: MembershipChange): Promise<Answer> {
    return new Promise((resolve) => {
      this.step({ kind: "change", request: this.#ask(resolve), change });
    });
  }

  /** The index up to which a reader has to see everything. */
  read(): Promise<Answer> {
    return new Promise((resolve) => {
      const request = this.#ask(resolve);
      this.#reads.add(request);
      this.step({ kind: "read", request });
    });
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#alarm?.timer[Symbol.dispose]();
    this.#refuseAll([...this.#answers.keys()]);
  }

  #ask(answer: (answer: Answer) => void): number {
    this.#request += 1;
    this.#answers.set(this.#request, answer);
    return this.#request;
  }

  #perform(output: Output): void {
    const { persist, standing, reads } = output;
    if (persist !== undefined) this.#effects.persist(persist);
    if (output.send.length > 0) this.#effects.send(output.send);
    if (persist?.install !== undefined) this.#effects.install(persist.install, persist.number);
    for (const { request, term, index } of output.accepted) {
      this.#answer(request, { kind: "accepted", term, index });
    }
    for (const { request, why } of output.refused) this.#answer(request, { kind: "refused", why });
    for (const { request, index } of reads) {
      const { term } = this.#raft.standing;
      this.#answer(request, { kind: "accepted", term, index });
    }
    if (output.apply.length > 0) this.#effects.apply(output.apply);
    // Who does not lead answers no reads: nobody shall wait for that.
    if (standing !== undefined && standing.role !== "leader") this.#refuseAll([...this.#reads]);
    if (standing !== undefined) this.#effects.stood(standing);
    this.#effects.stepped();
    this.#setAlarm(output.wakeAtMs);
  }

  #answer(request: number, answer: Answer): void {
    const tell = this.#answers.get(request);
    this.#answers.delete(request);
    this.#reads.delete(request);
    tell?.(answer);
  }

  #refuseAll(requests: readonly number[]): void {
    for (const request of requests) this.#answer(request, { kind: "refused", why: "not-leader" });
  }

  /** An alarm that comes too early is left as it is: most moments only move on. */
  #setAlarm(wakeAtMs: number): void {
    this.#wakeAtMs = wakeAtMs;
    if (this.#closed) return;
    if (this.#alarm !== undefined && this.#alarm.atMs <= wakeAtMs) return;
    this.#alarm?.timer[Symbol.dispose]();
    const waitMs = Math.max(0, wakeAtMs - this.#clock.monotonic());
    const timer = this.#clock.timer(waitMs, () => this.#onAlarm());
    this.#alarm = { atMs: wakeAtMs, timer };
  }

  #onAlarm(): void {
    this.#alarm = undefined;
    if (this.#closed) return;
    if (this.#clock.monotonic() < this.#wakeAtMs) {
      this.#setAlarm(this.#wakeAtMs);
      return;
    }
    // A process that stood still first hears what has arrived meanwhile, before it concludes that nobody leads.
    void turn().then(() => this.step({ kind: "wake" }));
  }
}
