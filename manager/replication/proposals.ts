/**
 * What this server wants in the log, from the wish to its being applied here.
 *
 * A proposal is waiting or sent. Sent means: given to the leader of one term, which takes it in that term or never. So its
 * fate is certain as soon as it is applied here, or an entry of a later term is without it having appeared: then it waits
 * again. It is never sent while it may still be in the log, and therefore never written twice. Only where a snapshot took
 * the place of entries that were not seen can nobody say any more: such a one is doubtful.
 */
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import type { ServerId } from "../raft/contract.ts";
import type { Rejection } from "../store/log.ts";
import { type ProposalId, seal } from "./envelope.ts";
import {
  batchBytesMax,
  batchEntriesMax,
  dataBytesMax,
  proposalBytesMax,
  proposalsMax,
  requestTimeoutMs,
} from "./limits.ts";

export interface Proposal {
  readonly sequence: number;
  /** Sealed. */
  readonly data: Uint8Array;
  readonly deadlineMs: number;
  state: "waiting" | "sent" | "settled";
  /** In which it was sent. */
  term: number;
  doubtful: boolean;
  resolve(rejection: Rejection): void;
  reject(fault: Fault): void;
}

export interface ProposalsOptions {
  readonly server: ServerId;
  /** Of this start. */
  readonly nonce: number;
}

export interface ProposalsModules {
  readonly clock: Clock;
  /** Why the log takes nothing now, for people. */
  readonly trouble: () => string;
  /** Something waits. */
  readonly onWaiting: () => void;
}

export class Proposals implements Disposable {
  readonly #options: ProposalsOptions;
  readonly #modules: ProposalsModules;
  /** Not settled, by sequence, the oldest first. */
  readonly #open = new Map<number, Proposal>();
  #waiting: Proposal[] = [];
  #sequence = 0;
  #bytes = 0;
  #alarm: Disposable | undefined;
  #over: Fault | undefined;
  #onIdle: (() => void) | undefined;

  constructor(options: ProposalsOptions, modules: ProposalsModules) {
    this.#options = options;
    this.#modules = modules;
  }

  get anyWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  async propose(data: Uint8Array): Promise<Rejection> {
    this.#admit(data);
    this.#sequence += 1;
    const sequence = this.#sequence;
    const { promise, resolve, reject } = Promise.withResolvers<Rejection>();
    const proposal: Proposal = {
      sequence,
      data: seal({ ...this.#options, sequence }, data),
      deadlineMs: this.#modules.clock.monotonic() + requestTimeoutMs,
      state: "waiting",
      term: 0,
      doubtful: false,
      resolve,
      reject,
    };
    this.#bytes += proposal.data.length;
    this.#open.set(sequence, proposal);
    this.#waiting.push(proposal);
    this.#alarm ??= this.#setAlarm(requestTimeoutMs);
    this.#modules.onWaiting();
    return promise;
  }

  /** The oldest that wait, as sent to the leader of this term. */
  take(term: number): readonly Proposal[] {
    const batch: Proposal[] = [];
    let seen = 0;
    let bytes = 0;
    for (const proposal of this.#waiting) {
      if (batch.length === batchEntriesMax) break;
      if (proposal.state === "waiting") {
        if (batch.length > 0 && bytes + proposal.data.length > batchBytesMax) break;
        bytes += proposal.data.length;
        proposal.state = "sent";
        proposal.term = term;
        batch.push(proposal);
      }
      seen += 1;
    }
    this.#waiting.splice(0, seen);
    return batch;
  }

  /** These were certainly not taken. */
  putBack(batch: readonly Proposal[]): void {
    const back = batch.filter(({ state }) => state === "sent");
    if (back.length === 0) return;
    for (const proposal of back) proposal.state = "waiting";
    this.#waiting = [...back, ...this.#waiting].sort((a, b) => a.sequence - b.sequence);
    this.#modules.onWaiting();
  }

  applied(id: ProposalId, rejection: Rejection): void {
    if (id.server !== this.#options.server || id.nonce !== this.#options.nonce) return;
    const proposal = this.#open.get(id.sequence);
    if (proposal === undefined) return;
    this.#settle(proposal);
    proposal.resolve(rejection);
  }

  /** An entry of this term is about to be applied: of earlier ones nothing more will come. */
  termBegan(term: number): void {
    const lost = [...this.#open.values()].filter(
      (proposal) => proposal.state === "sent" && proposal.term < term,
    );
    for (const proposal of lost) {
      if (!proposal.doubtful) continue;
      this.#settle(proposal);
      proposal.reject(unknown("the log went on with a snapshot"));
    }
    this.putBack(lost);
  }

  /** What was sent may have been in what the snapshot covers, whose last entry is of this term. */
  replaced(term: number): void {
    for (const proposal of this.#open.values()) {
      if (proposal.state === "sent") proposal.doubtful = true;
    }
    this.termBegan(term);
  }

  /** Takes nothing more; resolves when everything is settled. */
  drain(): Promise<void> {
    this.#over ??= new Fault("unavailable", "this manager is stopping: ask another one");
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Nothing is answered any more. */
  [Symbol.dispose](): void {
    this.#over ??= new Fault("unavailable", "this manager is stopping: ask another one");
    this.#alarm?.[Symbol.dispose]();
    this.#waiting = [];
    for (const proposal of this.#open.values()) {
      const fault = proposal.state === "waiting" ? this.#over : unknown(this.#over.message);
      this.#settle(proposal);
      proposal.reject(fault);
    }
  }

  #admit(data: Uint8Array): void {
    if (this.#over !== undefined) throw this.#over;
    if (data.length > dataBytesMax) {
      const message = `a write of ${data.length} bytes is over the ${dataBytesMax} that the log takes at once`;
      throw new Fault("resource-exhausted", message);
    }
    if (this.#open.size >= proposalsMax) {
      const message = `${proposalsMax} writes wait for the log already; write more slowly`;
      throw new Fault("resource-exhausted", message);
    }
    if (this.#bytes + data.length > proposalBytesMax) {
      const message = `writes of ${this.#bytes} bytes wait for the log already; write more slowly`;
      throw new Fault("resource-exhausted", message);
    }
  }

  #settle(proposal: Proposal): void {
    proposal.state = "settled";
    this.#open.delete(proposal.sequence);
    this.#bytes -= proposal.data.length;
    if (this.#open.size === 0) this.#onIdle?.();
  }

  #setAlarm(waitMs: number): Disposable {
    return this.#modules.clock.timer(waitMs, () => this.#expire());
  }

  /** All have the same time, so that the oldest are due first. */
  #expire(): void {
    this.#alarm = undefined;
    const nowMs = this.#modules.clock.monotonic();
    const trouble = this.#modules.trouble();
    for (const proposal of this.#open.values()) {
      const leftMs = proposal.deadlineMs - nowMs;
      if (leftMs > 0) {
        this.#alarm = this.#setAlarm(leftMs);
        break;
      }
      const fault =
        proposal.state === "waiting" ? new Fault("unavailable", trouble) : unknown(trouble);
      this.#settle(proposal);
      proposal.reject(fault);
    }
    this.#waiting = this.#waiting.filter(({ state }) => state === "waiting");
  }
}

function unknown(why: string): Fault {
  const message = `nobody can say whether the write was made or will be, look before you repeat it: ${why}`;
  return new Fault("deadline-exceeded", message);
}
