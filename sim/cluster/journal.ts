/**
 * The managers' log as they see it, without Raft, which has a simulation of its own: one order of entries, each applied by
 * every manager in its own time; one manager that leads, or none. What is proposed while a leader goes is lost, or is
 * written and nobody can say so.
 */
import { Fault } from "#proto/fault.ts";
import { type MemberStatus, MemberStatusSchema } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Leader, Replication } from "#manager/replication/replication.ts";
import type { Rejection, StateMachine } from "#manager/store/log.ts";
import { create } from "@bufbuild/protobuf";
import type { Agenda } from "../agenda.ts";
import type { SeededRandom } from "../random.ts";
import type { Marks } from "../marks.ts";
import type { MarkName } from "./marks.ts";

/** From one manager to another, and to the disk. */
const hopMs = { low: 0.2, high: 5 };
/** A follower may be this late. */
const lagMs = { low: 0.1, high: 40 };
/** Of proposals under way when the leader goes, so many are in the log all the same. */
const keptChance = 0.5;

export interface JournalModules {
  readonly agenda: Agenda;
  readonly random: SeededRandom;
  readonly marks: Marks<MarkName>;
}

export class Journal {
  readonly entries: Uint8Array[] = [];
  readonly modules: JournalModules;
  readonly #seats = new Set<Seat>();
  #leader: Seat | undefined;
  /** Grows with each leader: what was proposed under another one has failed. */
  #term = 0;
  #onProposal: (() => void) | undefined;

  constructor(modules: JournalModules) {
    this.modules = modules;
  }

  get leader(): Seat | undefined {
    return this.#leader;
  }

  get term(): number {
    return this.#term;
  }

  /** Once, while the next proposal is under way. */
  onNextProposal(run: () => void): void {
    this.#onProposal = run;
  }

  onProposal(): void {
    const run = this.#onProposal;
    this.#onProposal = undefined;
    run?.();
  }

  add(seat: Seat): void {
    this.#seats.add(seat);
  }

  remove(seat: Seat): void {
    this.#seats.delete(seat);
    if (this.#leader === seat) this.lead(undefined);
  }

  lead(seat: Seat | undefined): void {
    this.#term += 1;
    this.#leader = seat;
    for (const one of this.#seats) one.onLeader();
  }

  /** The new entry's index. */
  append(data: Uint8Array): number {
    this.entries.push(data);
    for (const seat of this.#seats) seat.onEntries();
    return this.entries.length;
  }
}

interface Waiter {
  readonly index: number;
  readonly resolve: (rejection: Rejection) => void;
}

/** One manager's end of it. */
export class Seat implements Replication {
  readonly self: Leader;
  readonly #journal: Journal;
  readonly #machine: StateMachine;
  readonly #listeners = new Set<() => void>();
  readonly #waiters = new Set<Waiter>();
  #applied: number;
  /** Leads when it has applied this entry. */
  #leadsFrom = 0;
  #applying = false;
  #gone = false;

  /** `applied`: the entries that the machine holds already, from a snapshot. */
  constructor(
    self: Leader,
    { journal, machine, applied }: { journal: Journal; machine: StateMachine; applied: number },
  ) {
    this.self = self;
    this.#journal = journal;
    this.#machine = machine;
    this.#applied = applied;
    journal.add(this);
    this.onEntries();
  }

  get applied(): number {
    return this.#applied;
  }

  get leading(): boolean {
    return this.#journal.leader === this && this.#applied >= this.#leadsFrom;
  }

  get leader(): Leader | undefined {
    return this.#journal.leader?.self;
  }

  async propose(data: Uint8Array): Promise<Rejection> {
    const term = this.#requireLeader();
    this.#journal.onProposal();
    await this.#hop();
    if (this.#journal.term !== term) return this.#lose(data);
    return await this.#appliedHere(this.#journal.append(data));
  }

  async barrier(): Promise<void> {
    const term = this.#requireLeader();
    const index = this.#journal.entries.length;
    await this.#hop();
    if (this.#journal.term !== term) throw new Fault("unavailable", "another manager leads now");
    if (this.#applied < index) await this.#appliedHere(index);
  }

  watch(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  async members(): Promise<readonly MemberStatus[]> {
    return [create(MemberStatusSchema, { leader: true })];
  }

  remove(): Promise<void> {
    return Promise.reject(new Fault("unimplemented", "members do not change here"));
  }

  async handOver(): Promise<void> {
    if (this.#journal.leader === this) this.#journal.lead(undefined);
  }

  /** The manager is no more. What waits, waits for ever, as in a process that was killed. */
  leave(): void {
    this.#gone = true;
    this.#journal.remove(this);
  }

  onLeader(): void {
    this.#leadsFrom = this.#journal.entries.length;
    for (const listener of this.#listeners) listener();
  }

  onEntries(): void {
    if (this.#applying || this.#gone || this.#applied >= this.#journal.entries.length) return;
    this.#applying = true;
    const { agenda, random } = this.#journal.modules;
    const isLeader = this.#journal.leader === this;
    const delayMs = isLeader ? 0 : random.between(lagMs.low, lagMs.high) * random.fraction();
    agenda.after(delayMs, () => this.#applyAll());
  }

  #applyAll(): void {
    this.#applying = false;
    while (!this.#gone && this.#applied < this.#journal.entries.length) this.#applyNext();
  }

  #applyNext(): void {
    const data = this.#journal.entries[this.#applied];
    if (data === undefined) return;
    this.#applied += 1;
    const index = this.#applied;
    const rejection = this.#machine.apply({ index: BigInt(index), data });
    for (const waiter of this.#waiters) {
      if (waiter.index > index) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(waiter.index === index ? rejection : undefined);
    }
    if (index === this.#leadsFrom) for (const listener of this.#listeners) listener();
  }

  /** What applying the entry here said. */
  #appliedHere(index: number): Promise<Rejection> {
    return new Promise((resolve) => this.#waiters.add({ index, resolve }));
  }

  #lose(data: Uint8Array): never {
    const { random, marks } = this.#journal.modules;
    if (random.chance(keptChance)) {
      this.#journal.append(data);
      marks.add("proposals without an answer");
      throw new Fault("deadline-exceeded", "nobody can say whether it was written");
    }
    marks.add("proposals lost");
    throw new Fault("unavailable", "the leader is gone");
  }

  #requireLeader(): number {
    if (this.#gone || this.#journal.leader === undefined) {
      throw new Fault("unavailable", "no manager leads now");
    }
    return this.#journal.term;
  }

  #hop(): Promise<void> {
    const { agenda, random } = this.#journal.modules;
    return new Promise((resolve) => {
      agenda.after(random.between(hopMs.low, hopMs.high), resolve);
    });
  }
}
