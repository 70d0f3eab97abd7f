/**
 * Logs for tests, in memory: ordered, applied a turn of the event loop after they were proposed, like a very fast disk.
 * Alone, a log always leads. In a `MemoryGroup` those of several managers have one order of entries, and each applies them
 * in its own time.
 */
import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type MemberStatus,
  MemberStatusSchema,
  RaftMemberSchema,
} from "#proto/gen/swarm/v1/manager_pb.ts";
import { Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Leader, Replication } from "../replication/replication.ts";
import type { Rejection, StateMachine } from "../store/log.ts";

/** The order of entries that several managers share, and which of them leads. */
export class MemoryGroup {
  readonly entries: Uint8Array[] = [];
  readonly #logs = new Set<MemoryLog>();
  #leader: MemoryLog | undefined;

  get logs(): ReadonlySet<MemoryLog> {
    return this.#logs;
  }

  get leader(): MemoryLog | undefined {
    return this.#leader;
  }

  add(log: MemoryLog): void {
    this.#logs.add(log);
  }

  /** As when a manager is lost or removed: it gets no entries any more. */
  remove(log: MemoryLog): void {
    this.#logs.delete(log);
    if (this.#leader === log) this.lead(undefined);
  }

  /** This one leads from now on, as soon as it has applied all entries; or nobody does. */
  lead(log: MemoryLog | undefined): void {
    this.#leader = log;
    for (const one of this.#logs) one.onLeader();
  }

  /** The new entry's index. */
  append(data: Uint8Array): number {
    this.entries.push(data);
    for (const log of this.#logs) log.onEntries();
    return this.entries.length;
  }
}

export interface Seat extends Leader {
  readonly group: MemoryGroup;
}

export class MemoryLog implements Replication {
  readonly self: Leader;
  /** Whether the leader hears of it. */
  reachable = true;
  readonly #machine: StateMachine;
  readonly #group: MemoryGroup;
  readonly #listeners = new Set<() => void>();
  readonly #waiters = new Set<{ readonly index: number; readonly done: (r: Rejection) => void }>();
  #applied = 0;
  /** Leads when it has applied this entry. */
  #leadsFrom = 0;
  #holds = 0;
  #applying = false;

  /** Without a seat in a group it is alone, and leads. */
  constructor(machine: StateMachine, seat?: Seat) {
    this.#machine = machine;
    this.self = { nodeId: seat?.nodeId ?? "manager1", address: seat?.address ?? "127.0.0.1:2377" };
    this.#group = seat?.group ?? new MemoryGroup();
    this.#group.add(this);
    if (seat === undefined) this.#group.lead(this);
    this.onEntries();
  }

  /** How many entries there are. */
  get length(): number {
    return this.#group.entries.length;
  }

  get leading(): boolean {
    return this.#group.leader === this && this.#applied >= this.#leadsFrom;
  }

  get leader(): Leader | undefined {
    return this.#group.leader?.self;
  }

  async propose(data: Uint8Array): Promise<Rejection> {
    this.#requireLeader();
    return await this.#appliedHere(this.#group.append(data));
  }

  async barrier(): Promise<void> {
    this.#requireLeader();
    if (this.#applied < this.length) await this.#appliedHere(this.length);
  }

  watch(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  async members(): Promise<readonly MemberStatus[]> {
    const leader = this.#requireLeader();
    return Array.from(this.#group.logs, ({ self, reachable }, index) =>
      create(MemberStatusSchema, {
        member: create(RaftMemberSchema, { ...self, id: BigInt(index + 1), voter: true }),
        leader: self.nodeId === leader.self.nodeId,
        reachability: reachable ? Reachability.REACHABLE : Reachability.UNREACHABLE,
      }),
    );
  }

  async remove(nodeId: string, { force }: { readonly force: boolean }): Promise<void> {
    const log = [...this.#group.logs].find(({ self }) => self.nodeId === nodeId);
    if (log === undefined) return;
    const left = [...this.#group.logs].filter((other) => other !== log);
    const reachable = left.filter((other) => other.reachable).length;
    if (!force && reachable * 2 <= left.length) {
      const message = `of the ${left.length} managers left ${reachable} can be reached`;
      throw new Fault("failed-precondition", message);
    }
    this.#group.remove(log);
  }

  async handOver(): Promise<void> {
    const next = [...this.#group.logs].find((log) => log !== this);
    if (this.#group.leader === this && next !== undefined) this.#group.lead(next);
  }

  /** Nothing is applied here until it is disposed: this manager lags behind. */
  hold(): Disposable {
    this.#holds++;
    return {
      [Symbol.dispose]: () => {
        this.#holds--;
        this.onEntries();
      },
    };
  }

  /** The group has another leader. */
  onLeader(): void {
    this.#leadsFrom = this.length;
    this.#tell();
  }

  /** There may be something to apply. */
  onEntries(): void {
    if (!this.#applying) void this.#applyAll();
  }

  async #applyAll(): Promise<void> {
    this.#applying = true;
    try {
      while (this.#holds === 0 && this.#applied < this.length && this.#group.logs.has(this)) {
        await turn();
        if (this.#holds === 0) this.#applyNext();
      }
    } finally {
      this.#applying = false;
    }
  }

  #applyNext(): void {
    const data = this.#group.entries[this.#applied];
    if (data === undefined) return;
    const index = ++this.#applied;
    const rejection = this.#machine.apply({ index: BigInt(index), data });
    for (const waiter of this.#waiters) {
      if (waiter.index > index) continue;
      this.#waiters.delete(waiter);
      waiter.done(rejection);
    }
    if (index === this.#leadsFrom) this.#tell();
  }

  /** What applying the entry here said. */
  #appliedHere(index: number): Promise<Rejection> {
    return new Promise((done) => this.#waiters.add({ index, done }));
  }

  #requireLeader(): MemoryLog {
    const { leader } = this.#group;
    if (leader === undefined) throw new Fault("unavailable", "no manager leads now");
    return leader;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
