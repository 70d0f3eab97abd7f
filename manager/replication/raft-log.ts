/**
 * The replicated log of a manager: the core, its disk, the ways to the other managers, and the state machine, tied together.
 *
 * Invariants: the machine is given every committed entry once, in order; a proposal resolves when its entry is applied here;
 * what is said to other managers is on this one's disk where the core wants it so.
 */
import { Fault } from "#proto/fault.ts";
import type {
  MemberStatus,
  ProposeRequest,
  SendMessagesRequest,
} from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Connection } from "#proto/grpc.ts";
import type { Ports } from "#proto/ports.ts";
import type { RaftStorage } from "../log/raft-storage.ts";
import { Raft } from "../raft/raft.ts";
import type { Membership, Options, ServerId, SnapshotMeta } from "../raft/contract.ts";
import type { Rejection, StateMachine } from "../store/log.ts";
import { Applier } from "./applier.ts";
import { decodeMessage, encodeMembership, integer } from "./codec.ts";
import { nonceLimit } from "./envelope.ts";
import { Forwarder } from "./forwarder.ts";
import { settledWithin } from "./limits.ts";
import { memberOfNode, type MemberPlace, placeOf } from "./member.ts";
import { Members } from "./members.ts";
import { Persister } from "./persister.ts";
import { Proposals } from "./proposals.ts";
import { Proposer } from "./proposer.ts";
import { RaftNode } from "./raft-node.ts";
import type { ServedLog } from "./raft-service.ts";
import { Reads } from "./reads.ts";
import { isRemoved, notLeading, otherGroup, removed } from "./refusals.ts";
import type { Leader, Replication } from "./replication.ts";
import { Snapshotter, type SnapshotSettings } from "./snapshotter.ts";
import { troubleWords } from "./standing-words.ts";
import { Transport } from "./transport.ts";

/** Bounds and times of the core; see there. A follower that was away for ten thousand entries needs no snapshot. */
const coreDefaults = {
  heartbeatMs: 75,
  electionMsMin: 300,
  electionMsMax: 3_000,
  appendBytesMax: 1024 * 1024,
  inflightMessagesMax: 256,
  inflightBytesMax: 32 * 1024 * 1024,
  uncommittedBytesMax: 64 * 1024 * 1024,
  trailingEntries: 10_000,
  trailingBytes: 64 * 1024 * 1024,
} as const satisfies Omit<Options, "id" | "random">;

const snapshotEntriesDefault = 10_000;
const snapshotBytesDefault = 64 * 1024 * 1024;

/** How long leadership is offered to others, and how often. */
const handOverMs = 5_000;
const handOverStepMs = 200;

/** What a clean stop takes: for what is under way, and for another leader. */
const drainMs = 500;
const farewellMs = 1_000;

export interface RaftLogOptions {
  /** Where other managers reach this one, HOST:PORT. */
  readonly address: string;
  /** Entries, or bytes of them, from one snapshot to the next. */
  readonly snapshotEntries?: number;
  readonly snapshotBytes?: number;
  readonly core?: Partial<Omit<Options, "id" | "random">>;
}

export interface RaftLogModules extends Ports {
  readonly storage: RaftStorage;
  readonly machine: StateMachine;
  /** Shows this manager's certificate, and takes only a manager's. */
  /** To another manager; to no other than the node, where one is named. */
  readonly connect: (address: string, nodeId?: string) => Connection;
}

export class RaftLog implements Replication, ServedLog, AsyncDisposable {
  /** Resolves when this server finds itself removed by a membership that holds: its log is worth nothing any more. */
  readonly removed: Promise<void>;
  /** Resolves when the log cannot go on before it was opened anew: end the process. */
  readonly failed: Promise<Fault>;
  readonly #modules: RaftLogModules;
  readonly #address: string;
  readonly #onRemoved: () => void;
  readonly #onFailed: (fault: Fault) => void;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<() => void>();
  readonly #awaitingChange = new Set<() => void>();
  readonly #installs: { readonly number: number; readonly resolve: () => void }[] = [];
  readonly #node: RaftNode;
  readonly #persister: Persister;
  readonly #applier: Applier;
  readonly #snapshotter: Snapshotter;
  readonly #transport: Transport;
  readonly #proposals: Proposals;
  readonly #forwarder: Forwarder;
  readonly #proposer: Proposer;
  readonly #reads: Reads;
  readonly #members: Members;
  /** Of the membership in the log, as last looked at. */
  #places: ReadonlyMap<ServerId, MemberPlace> = new Map();
  #placesOf: Membership | undefined;
  #full: Fault | undefined;
  #told = "";

  /** Restores the machine and begins to take part. */
  static async open(options: RaftLogOptions, modules: RaftLogModules): Promise<RaftLog> {
    const { storage, machine } = modules;
    const { index } = storage.durable.snapshot;
    const pieces: Uint8Array[] = [];
    for await (const piece of storage.snapshotPieces()) pieces.push(piece);
    if (index > 0) await machine.restore(BigInt(index), pieces);
    return new RaftLog(options, modules);
  }

  /** For `open`, which has restored the machine. */
  constructor(options: RaftLogOptions, modules: RaftLogModules) {
    const { storage, clock, random, log } = modules;
    const { group, serverId } = storage;
    this.#modules = modules;
    this.#address = options.address;
    ({ promise: this.removed, resolve: this.#onRemoved } = Promise.withResolvers<void>());
    ({ promise: this.failed, resolve: this.#onFailed } = Promise.withResolvers<Fault>());
    void storage.failed.then(this.#onFailed);
    const trouble = () => this.#trouble();
    const client = (server: ServerId) => this.#transport.client(server);
    const applied = (index: number) => this.#applier.until(index);
    this.#node = this.#makeNode(options);
    const node = this.#node;
    this.#persister = this.#makePersister();
    this.#applier = this.#makeApplier();
    this.#snapshotter = this.#makeSnapshotter(options);
    this.#transport = this.#makeTransport();
    this.#proposals = new Proposals(
      { server: serverId, nonce: randomNonce(random) },
      { clock, trouble, onWaiting: () => this.#proposer.wake() },
    );
    const proposals = this.#proposals;
    const standing = () => node.core.standing;
    this.#forwarder = new Forwarder({ group, proposals, clock, standing, client });
    const forward = () => this.#forwarder.wake();
    this.#proposer = new Proposer({ node, proposals, clock, forward });
    this.#reads = new Reads({ group, node, clock, client, applied, trouble });
    this.#members = new Members({
      self: serverId,
      node,
      connect: modules.connect,
      clock,
      random,
      log,
      applied,
      membership: () => this.#applier.place.membership,
      leaderAddress: () => this.leader?.address,
      moved: () => this.#transport.moved,
    });
    this.#noticeRemoval();
    node.step({ kind: "wake" });
  }

  // -------------------------------------------------------------- for this manager

  get serverId(): ServerId {
    return this.#modules.storage.serverId;
  }

  get leading(): boolean {
    const { role, term } = this.#node.core.standing;
    return role === "leader" && this.#applier.place.term === term;
  }

  get leader(): Leader | undefined {
    const { leader } = this.#node.core.standing;
    return leader === undefined ? undefined : this.#places.get(leader);
  }

  watch(listener: () => void): Disposable {
    const own = () => listener();
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => this.#listeners.delete(own) };
  }

  async propose(data: Uint8Array): Promise<Rejection> {
    this.#checkRoom();
    return this.#proposals.propose(data);
  }

  async barrier(): Promise<void> {
    this.#checkRoom();
    return this.#reads.barrier();
  }

  async members(): Promise<readonly MemberStatus[]> {
    const { role, leader } = this.#node.core.standing;
    if (role === "leader") return this.#members.statuses();
    const client = leader === undefined ? undefined : this.#transport.client(leader);
    if (client === undefined) throw new Fault("unavailable", this.#trouble());
    return (await client.listMembers({})).members;
  }

  async remove(nodeId: string, options: { readonly force: boolean }): Promise<void> {
    const own = this.#places.get(this.serverId)?.nodeId === nodeId;
    if (!own || this.#node.core.standing.role !== "leader") {
      return this.#members.remove(nodeId, options);
    }
    await this.#members.guard(nodeId);
    await this.handOver();
    throw new Fault("unavailable", "this manager led and has handed over: ask again");
  }

  async handOver(): Promise<void> {
    const { clock } = this.#modules;
    const endMs = clock.monotonic() + handOverMs;
    while (this.#node.core.standing.role === "leader") {
      const { members } = this.#node.core.membership;
      if (!members.some(({ id, voter }) => voter && id !== this.serverId)) return;
      if (clock.monotonic() >= endMs || this.#closing.signal.aborted) {
        throw new Fault("unavailable", "no other manager was ready to lead: try again");
      }
      this.#node.step({ kind: "transfer", to: undefined });
      await this.#standingChange(handOverStepMs);
    }
  }

  /** A clean stop: what is under way is settled and another manager leads first, if they can be soon. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const { clock, storage } = this.#modules;
    const drained = this.#proposals.drain();
    if (this.leader !== undefined) await settledWithin(drainMs, drained, clock);
    await settledWithin(farewellMs, this.#farewell(), clock);
    this.#closing.abort(new Fault("unavailable", "this manager is stopping"));
    this.#proposals[Symbol.dispose]();
    this.#reads[Symbol.dispose]();
    this.#proposer[Symbol.dispose]();
    this.#node[Symbol.dispose]();
    this.#persister[Symbol.dispose]();
    await this.#forwarder[Symbol.asyncDispose]();
    await this.#members[Symbol.asyncDispose]();
    await this.#transport[Symbol.asyncDispose]();
    await this.#snapshotter[Symbol.asyncDispose]();
    for (const { resolve } of this.#installs) resolve();
    await this.#applier[Symbol.asyncDispose]();
    await storage[Symbol.asyncDispose]();
  }

  // -------------------------------------------------------------- for other managers

  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  receive(nodeId: string, { group, messages, address }: SendMessagesRequest): void {
    this.#checkGroup(group);
    for (const wire of messages) {
      // Of a newer version, which does without an answer of older ones: to Raft it is a message that was lost.
      if (wire.body.case === undefined && wire.$unknown !== undefined) continue;
      const message = decodeMessage(wire);
      const { from, to } = message;
      if (to !== this.serverId) {
        throw new Fault("failed-precondition", "the message is for another server than this one");
      }
      // Of a member that has not arrived in this log yet nothing is known, and it may lead all the same (§4.1).
      const owner = this.#places.get(from)?.nodeId;
      if (owner !== undefined && owner !== nodeId) {
        throw new Fault("permission-denied", `node ${nodeId} speaks for the server of another`);
      }
      const { leader } = this.#node.core.standing;
      if (this.#applier.place.membership.removed.includes(from) && leader !== from) throw removed();
      this.#transport.heard(from, address);
      this.#node.step({ kind: "message", message });
    }
    if (this.#transport.moved.size > 0) this.#members.tend();
  }

  takeProposals(nodeId: string, request: ProposeRequest): void {
    const { group, entries } = request;
    this.#checkGroup(group);
    const member = memberOfNode(this.#node.core.membership, nodeId);
    if (member === undefined) throw notLeading(this.leader?.address);
    const term = integer(request.term, "term");
    const batch = integer(request.batch, "batch");
    this.#proposer.take(member.id, { term, batch, entries });
  }

  async readIndex(group: string): Promise<number> {
    this.#checkGroup(group);
    return this.#reads.index();
  }

  statuses(): readonly MemberStatus[] {
    return this.#members.statuses();
  }

  async join(nodeId: string, address: string) {
    const { id, membership } = await this.#members.join({ nodeId, address });
    const { group } = this.#modules.storage;
    return { group, id: BigInt(id), membership: encodeMembership(membership) };
  }

  /** Whose disk takes nothing learns of nothing new either, since the leader does not send it ahead. */
  #checkRoom(): void {
    if (this.#full !== undefined) throw new Fault("resource-exhausted", this.#trouble());
  }

  #checkGroup(group: string): void {
    if (this.#closing.signal.aborted) throw this.#closing.signal.reason;
    if (group !== this.#modules.storage.group) throw otherGroup();
  }

  // -------------------------------------------------------------- the parts, tied together

  #makeNode({ core }: RaftLogOptions): RaftNode {
    const { storage, clock, random } = this.#modules;
    const options: Options = {
      ...coreDefaults,
      ...core,
      id: storage.serverId,
      random: (limit) => random.int(limit),
    };
    const raft = new Raft(options, storage.durable, clock.monotonic());
    return new RaftNode(
      { raft, clock },
      {
        persist: (persist) => this.#persister.add(persist),
        send: (messages) => this.#transport.send(messages),
        install: (meta, number) => this.#install(meta, number),
        apply: (entries) => this.#applier.apply(entries),
        stepped: () => this.#onStepped(),
        stood: () => this.#onStood(),
        failed: this.#onFailed,
      },
    );
  }

  #makePersister(): Persister {
    return new Persister(this.#modules, {
      durable: (number) => {
        while (this.#installs[0] !== undefined && this.#installs[0].number <= number) {
          this.#installs.shift()?.resolve();
        }
        this.#node.step({ kind: "persisted", number });
      },
      full: (fault) => {
        this.#full = fault;
        if (fault !== undefined) this.#node.step({ kind: "step-down" });
      },
      failed: this.#onFailed,
    });
  }

  #makeApplier(): Applier {
    return new Applier(this.#modules.storage.durable.snapshot, this.#modules, {
      termBegan: (term) => this.#proposals.termBegan(term),
      applied: (id, rejection) => this.#proposals.applied(id, rejection),
      replaced: (meta) => {
        this.#snapshotter.replaced(meta, this.#applier.bytes);
        this.#proposals.replaced(meta.term);
      },
      rested: () => this.#onRested(),
      failed: this.#onFailed,
    });
  }

  /** As the cluster's settings say, which are in the state machine. */
  configureSnapshots(settings: SnapshotSettings): void {
    this.#snapshotter.configure(settings);
  }

  #makeSnapshotter({ snapshotEntries, snapshotBytes }: RaftLogOptions): Snapshotter {
    const { storage } = this.#modules;
    return new Snapshotter(
      storage.durable.snapshot.index,
      {
        entriesMax: snapshotEntries ?? snapshotEntriesDefault,
        bytesMax: snapshotBytes ?? snapshotBytesDefault,
      },
      {
        ...this.#modules,
        onDurable: (index) => {
          this.#node.step({ kind: "snapshotted", index });
          return this.#node.core.firstIndexKept - 1;
        },
      },
    );
  }

  #makeTransport(): Transport {
    const { storage } = this.#modules;
    return new Transport(storage.serverId, {
      ...this.#modules,
      group: storage.group,
      ownAddress: this.#address,
      readChunk: (index, chunk) => storage.readChunk(index, chunk),
      onDisconnected: (server) => this.#node.step({ kind: "disconnected", server }),
      onSnapshotGone: (to) => this.#node.step({ kind: "snapshot-gone", to }),
      onEnded: (fault) => {
        if (isRemoved(fault)) this.#onRemoved();
      },
    });
  }

  #install(meta: SnapshotMeta, number: number): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#installs.push({ number, resolve });
    this.#applier.install(meta, promise);
  }

  #onStepped(): void {
    const { membership } = this.#node.core;
    this.#transport.follow([membership, this.#applier.place.membership]);
    if (membership === this.#placesOf) return;
    this.#placesOf = membership;
    this.#places = new Map(membership.members.map((member) => [member.id, placeOf(member)]));
    this.#members.tend();
    this.#notice();
  }

  #onStood(): void {
    this.#forwarder.stood();
    this.#reads.stood();
    this.#proposer.eased();
    this.#members.tend();
    this.#notice();
    for (const resolve of this.#awaitingChange) resolve();
    this.#awaitingChange.clear();
  }

  #onRested(): void {
    const { place, bytes } = this.#applier;
    this.#snapshotter.consider(place, bytes);
    this.#proposer.eased();
    this.#noticeRemoval();
    this.#notice();
  }

  #noticeRemoval(): void {
    if (this.#applier.place.membership.removed.includes(this.serverId)) this.#onRemoved();
  }

  /** Tells the listeners where there is something new. */
  #notice(): void {
    const now = JSON.stringify([this.leading, this.leader]);
    if (now === this.#told) return;
    this.#told = now;
    for (const listener of this.#listeners) listener();
  }

  /** Until another leads, whom this server may have to vote for. */
  async #farewell(): Promise<void> {
    if (this.#node.core.standing.role !== "leader") return;
    await this.handOver();
    while (this.#node.core.standing.leader === undefined) await this.#standingChange(farewellMs);
  }

  async #standingChange(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#awaitingChange.add(resolve);
    await settledWithin(ms, promise, this.#modules.clock);
    this.#awaitingChange.delete(resolve);
  }

  #trouble(): string {
    const { core } = this.#node;
    const voters = core.membership.members.filter(({ voter }) => voter).map(({ id }) => id);
    const reachable = voters.filter(
      (id) => id === this.serverId || this.#transport.reachable(id),
    ).length;
    const leaderAddress =
      core.standing.leader === undefined ? undefined : (this.leader?.address ?? "");
    return troubleWords({ full: this.#full, leaderAddress, voters: voters.length, reachable });
  }
}

function randomNonce(random: Ports["random"]): number {
  return random.int(2 ** 24) * (nonceLimit / 2 ** 24) + random.int(nonceLimit / 2 ** 24);
}
