/**
 * Who takes part, kept in order by the leader: new managers come in as learners and are made voters when they have caught
 * up; removals that would leave no majority that can be reached are refused. One change at a time.
 */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type MemberStatus,
  MemberStatusSchema,
  RaftService,
} from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Connection } from "#proto/grpc.ts";
import { Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Clock, Log, Random } from "#proto/ports.ts";
import type { Member, Membership, MembershipChange, Refusal, ServerId } from "../raft/contract.ts";
import { contactMs, requestTimeoutMs } from "./limits.ts";
import { contextOf, memberById, memberOfNode, type MemberPlace, placeOf } from "./member.ts";
import type { RaftNode } from "./raft-node.ts";
import { notLeading } from "./refusals.ts";

const retryMs = 100;
/** Long: the first call of a process takes seconds on a slow host. */
const dialMs = 8_000;

/** A new leader hears of all that run within this. */
const hearingMs = 1_000;

export interface MembersModules {
  readonly self: ServerId;
  readonly node: RaftNode;
  /** To no other than the node, where one is named. */
  readonly connect: (address: string, nodeId?: string) => Connection;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Resolves when everything up to the index is applied here. */
  readonly applied: (index: number) => Promise<void>;
  /** Of what is applied. */
  readonly membership: () => Membership;
  readonly leaderAddress: () => string | undefined;
  /** Members that say that they are elsewhere than the log says. */
  readonly moved: () => ReadonlyMap<ServerId, string>;
}

export class Members implements AsyncDisposable {
  readonly #modules: MembersModules;
  readonly #stop = new AbortController();
  /** The last change, which the next one waits for. */
  #tail: Promise<unknown> = Promise.resolve();
  #tending: Promise<void> | undefined;

  constructor(modules: MembersModules) {
    this.#modules = modules;
  }

  /** Every member as this leader sees it. */
  statuses(): MemberStatus[] {
    const { self, node, membership } = this.#modules;
    const { role, leader } = node.core.standing;
    if (role !== "leader") throw this.#notLeading();
    const progress = new Map(node.core.progress().map((progress) => [progress.id, progress]));
    return membership().members.map((member) => {
      const { id, voter } = member;
      const matchIndex = id === self ? node.core.lastIndex : (progress.get(id)?.matchIndex ?? 0);
      return create(MemberStatusSchema, {
        member: { id: BigInt(id), voter, ...placeOf(member) },
        leader: id === leader,
        reachability: this.#reachable(id) ? Reachability.REACHABLE : Reachability.UNREACHABLE,
        matchIndex: BigInt(matchIndex),
      });
    });
  }

  /** The membership with a learner for this node, and the learner's ID. */
  join(place: MemberPlace): Promise<{ id: ServerId; membership: Membership }> {
    return this.#inTurn(async () => {
      const known = this.#admit(place);
      if (known !== undefined && this.#isUntouched(known, place)) return this.#joined(known.id);
      await this.#dial(place);
      if (known !== undefined) await this.#change({ kind: "remove", id: known.id });
      const id = this.#newId();
      await this.#change({ kind: "add-learner", id, context: contextOf(place) });
      this.#modules.log.info("A manager joins", { ...place, server: id });
      this.tend();
      return this.#joined(id);
    });
  }

  /** Takes the node's server out; "not-found" is not an error: then it is out. */
  remove(nodeId: string, { force }: { readonly force: boolean }): Promise<void> {
    return this.#inTurn(async () => {
      const { node, log } = this.#modules;
      if (node.core.standing.role !== "leader") throw this.#notLeading();
      const member = memberOfNode(node.core.membership, nodeId);
      if (member === undefined) return;
      if (!force) await this.guard(nodeId);
      await this.#change({ kind: "remove", id: member.id });
      log.info("A manager was removed", { nodeId, server: member.id });
    });
  }

  /** Does what is left to do: voters of learners, new addresses of those that have moved. */
  tend(): void {
    if (this.#tending !== undefined || this.#stop.signal.aborted || this.#left() === 0) return;
    this.#tending = this.#tendAll().finally(() => {
      this.#tending = undefined;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault("unavailable", "this manager is stopping: ask another one"));
    await this.#tending;
    await this.#tail;
  }

  #left(): number {
    if (this.#modules.node.core.standing.role !== "leader") return 0;
    return this.#learners().length + this.#movers().length;
  }

  #learners(): Member[] {
    return this.#modules.node.core.membership.members.filter(({ voter }) => !voter);
  }

  #movers(): { member: Member; address: string }[] {
    const { node, moved } = this.#modules;
    return [...moved()].flatMap(([id, address]) => {
      const member = memberById(node.core.membership, id);
      return member === undefined || placeOf(member).address === address
        ? []
        : [{ member, address }];
    });
  }

  /** Whatever is refused as "busy", since it has not caught up or another change is under way, is tried again. */
  async #tendAll(): Promise<void> {
    const { node, clock, log } = this.#modules;
    const { signal } = this.#stop;
    while (!signal.aborted && this.#left() > 0) {
      for (const { id } of this.#learners()) {
        const answer = await node.change({ kind: "promote", id });
        if (answer.kind === "accepted") log.info("A manager votes from now on", { server: id });
      }
      for (const { member, address } of this.#movers()) {
        const context = contextOf({ ...placeOf(member), address });
        const answer = await node.change({ kind: "add-learner", id: member.id, context });
        if (answer.kind === "accepted") log.info("A manager has moved", { address });
      }
      await clock.sleep(retryMs, signal).catch(() => undefined);
    }
  }

  /** The member that the node has already; throws where the address cannot be its. */
  #admit({ nodeId, address }: MemberPlace): Member | undefined {
    const { membership } = this.#modules.node.core;
    if (this.#modules.node.core.standing.role !== "leader") throw this.#notLeading();
    for (const member of membership.members) {
      const place = placeOf(member);
      if (place.address !== address || place.nodeId === nodeId) continue;
      const message =
        `the address ${address} is that of manager ${place.nodeId}: advertise another (--advertise-addr), or, if this ` +
        `host was that manager, take its node away first: "swarmctl node rm --force ${place.nodeId}"`;
      throw new Fault("already-exists", message);
    }
    return memberOfNode(membership, nodeId);
  }

  /**
   * Whether the member has its answer still to get, or to use: it has never taken anything. One that has had a log and asks
   * to join has lost it, and with it what it voted for: it may not go on under its ID.
   */
  #isUntouched(known: Member, { nodeId, address }: MemberPlace): boolean {
    const progress = this.#modules.node.core.progress().find(({ id }) => id === known.id);
    const untouched = !known.voter && (progress?.matchIndex ?? 0) === 0;
    if (untouched && placeOf(known).address === address) return true;
    if (untouched || !this.#reachable(known.id)) return false;
    const message = `node ${nodeId} is a manager already and answers at ${placeOf(known).address}: a second one cannot join in its name`;
    // A manager that has just ended looks like this for a moment: asking again helps.
    throw new Fault("unavailable", message);
  }

  #joined(id: ServerId): { id: ServerId; membership: Membership } {
    return { id, membership: this.#modules.node.core.membership };
  }

  /** Finds out now, not when the new manager is counted on. */
  async #dial({ address, nodeId }: MemberPlace): Promise<void> {
    using connection = this.#modules.connect(address, nodeId);
    try {
      await connection.service(RaftService).listMembers({}, { deadlineMs: dialMs });
    } catch (thrown) {
      const fault = Fault.from(thrown);
      const leader = this.#modules.leaderAddress() ?? "the leader";
      const message =
        `the new manager is not reached at ${address} from ${leader}: ${fault.message}; ` +
        "advertise an address that all managers reach (--advertise-addr), and open its port";
      throw new Fault("failed-precondition", message, { cause: thrown });
    }
  }

  #newId(): ServerId {
    const { members, removed } = this.#modules.node.core.membership;
    const taken = new Set([...removed, ...members.map(({ id }) => id)]);
    let id = randomServerId(this.#modules.random);
    while (taken.has(id)) id = randomServerId(this.#modules.random);
    return id;
  }

  #reachable(id: ServerId): boolean {
    const { self, node, clock } = this.#modules;
    if (id === self) return true;
    const progress = node.core.progress().find((progress) => progress.id === id);
    // A learner counts as heard of when it was added.
    if (progress === undefined || progress.rttMs === undefined) return false;
    return clock.monotonic() - progress.lastContactMs < contactMs;
  }

  /** Throws where the others would have no majority that can be reached without this node. */
  async guard(nodeId: string): Promise<void> {
    const { node, clock } = this.#modules;
    const leaving = memberOfNode(node.core.membership, nodeId);
    if (leaving === undefined || !leaving.voter) return;
    const rest = node.core.membership.members.filter(({ id, voter }) => voter && id !== leaving.id);
    if (rest.length === 0) {
      const message = `${nodeId} is the last manager: without it nobody keeps the cluster's state`;
      throw new Fault("failed-precondition", message);
    }
    const majority = Math.floor(rest.length / 2) + 1;
    const reachable = () => rest.filter(({ id }) => this.#reachable(id)).length;
    // Who leads only since now has yet to hear of the others.
    const endMs = clock.monotonic() + hearingMs;
    while (reachable() < majority && clock.monotonic() < endMs) {
      await clock.sleep(retryMs, this.#stop.signal);
    }
    if (reachable() >= majority) return;
    const message =
      `removing manager ${nodeId} leaves ${reachable()} of ${rest.length} managers reachable: ` +
      `a majority of ${rest.length} voters needs ${majority}; bring the others back first`;
    throw new Fault("failed-precondition", message);
  }

  /** Resolves when the change holds. */
  async #change(change: MembershipChange): Promise<void> {
    const { node, clock, applied } = this.#modules;
    const endMs = clock.monotonic() + requestTimeoutMs;
    for (;;) {
      const answer = await node.change(change);
      if (answer.kind === "accepted") {
        await this.#within(endMs, applied(answer.index));
        if (holds(change, this.#modules.membership())) return;
        throw new Fault("unavailable", "the leader has changed meanwhile: ask again");
      }
      if (answer.why === "not-leader") throw this.#notLeading();
      if (answer.why !== "busy" && answer.why !== "full") throw refusalFault(answer.why, change);
      if (clock.monotonic() > endMs) {
        throw new Fault("unavailable", "another change of the managers is under way: ask again");
      }
      await clock.sleep(retryMs, this.#stop.signal);
    }
  }

  async #within(endMs: number, applied: Promise<void>): Promise<void> {
    const { clock } = this.#modules;
    const late = Promise.withResolvers<never>();
    const message = "nobody can say whether the managers have changed: look, and ask again";
    const fault = new Fault("deadline-exceeded", message);
    using _alarm = clock.timer(Math.max(0, endMs - clock.monotonic()), () => late.reject(fault));
    const onStop = () => late.reject(fault);
    this.#stop.signal.addEventListener("abort", onStop, { once: true });
    try {
      await Promise.race([applied, late.promise]);
    } finally {
      this.#stop.signal.removeEventListener("abort", onStop);
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(() => {
      this.#stop.signal.throwIfAborted();
      return work();
    });
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  #notLeading(): Fault {
    return notLeading(this.#modules.leaderAddress());
  }
}

/** 1 … 2^53 − 1. */
export function randomServerId(random: Random): ServerId {
  return 1 + random.int(2 ** 26) * 2 ** 26 + random.int(2 ** 26);
}

function holds(change: MembershipChange, membership: Membership): boolean {
  const member = memberById(membership, change.id);
  if (change.kind === "remove") return member === undefined;
  return member !== undefined && (change.kind !== "promote" || member.voter);
}

function refusalFault(why: Refusal, { kind, id }: MembershipChange): Fault {
  const message = `cannot ${kind} server ${id}: ${why}`;
  return new Fault(why === "unknown-server" ? "not-found" : "failed-precondition", message);
}
