/**
 * The door of the core: events in, what is to be done about them out. Terms are compared here, once for every message; behind
 * it everything is of the present term. After each event, what follows from it is settled: elections, commits, reads,
 * transfers, and what the others are sent.
 */
import { onChange, onPropose, settleRemovals } from "./changes.ts";
import { Core, type Leader } from "./core.ts";
import {
  electionTimeout,
  onLeaderDisconnected,
  onTimeoutNow,
  onVote,
  onVoteReply,
  protectsLeader,
  settleElection,
} from "./election.ts";
import { onAppend, onChunk } from "./following.ts";
import { advanceCommit, onAppendReply, onSnapshotReply, replicate } from "./replication.ts";
import { becomeFollower } from "./roles.ts";
import { adaptTimeout, beginRound, checkQuorum, onContact, onRead, settleReads } from "./rounds.ts";
import { isSane } from "./sane.ts";
import { onStepDown, onTransfer, settleTransfer } from "./transfer.ts";
import type {
  Durable,
  Event,
  Membership,
  Message,
  Options,
  Output,
  ServerId,
  Standing,
} from "./contract.ts";

/** What a leader knows of another server. */
export interface ServerProgress {
  readonly id: ServerId;
  readonly matchIndex: number;
  readonly lastContactMs: number;
  readonly rttMs: number | undefined;
  readonly flow: "probe" | "replicate" | "snapshot";
}

/** The first step is "wake": it says when the next one is due. */
export class Raft {
  readonly #core: Core;

  constructor(options: Options, durable: Durable, nowMs: number) {
    this.#core = new Core(options, durable, nowMs);
  }

  step(event: Event, nowMs: number): Output {
    const core = this.#core;
    const before = standingOf(core);
    core.nowMs = Math.max(core.nowMs, nowMs);
    take(core, event);
    settle(core);
    const after = standingOf(core);
    return core.out.take(sameStanding(before, after) ? undefined : after, wakeAtMs(core));
  }

  get standing(): Standing {
    return standingOf(this.#core);
  }

  /** The latest in the log, committed or not. */
  get membership(): Membership {
    return this.#core.log.membership.membership;
  }

  get commitIndex(): number {
    return this.#core.commit;
  }

  get lastIndex(): number {
    return this.#core.log.lastIndex;
  }

  /** Entries before this one are not needed any more, here or by others: they may go from the disk. */
  get firstIndexKept(): number {
    return this.#core.log.base.index;
  }

  /** Of every other server, as long as this one leads; empty otherwise. */
  progress(): readonly ServerProgress[] {
    const { role } = this.#core;
    if (role.kind !== "leader") return [];
    return [...role.progress.values()].map(({ id, matchIndex, lastContactMs, rttMs, flow }) => ({
      id,
      matchIndex,
      lastContactMs,
      rttMs,
      flow: flow.kind,
    }));
  }
}

function take(core: Core, event: Event): void {
  switch (event.kind) {
    case "wake":
      return onWake(core);
    case "message":
      return onMessage(core, event.message);
    case "propose":
      return onPropose(core, event.proposals);
    case "read":
      return onRead(core, event.request);
    case "change":
      return onChange(core, event.request, event.change);
    case "transfer":
      return onTransfer(core, event.to);
    case "step-down":
      return onStepDown(core);
    case "persisted":
      if (core.out.persisted(event.number)) core.log.persisted(event.number);
      return;
    case "snapshotted":
      return onSnapshotted(core, event.index);
    case "snapshot-gone":
      return onSnapshotGone(core, event.to);
    case "disconnected":
      return onDisconnected(core, event.server);
  }
}

function onWake(core: Core): void {
  if (core.role.kind !== "leader") {
    if (core.nowMs >= core.deadlineMs) electionTimeout(core);
    return;
  }
  if (core.nowMs < core.role.heartbeatAtMs) return;
  checkQuorum(core, core.role);
  if (core.role.kind !== "leader") return;
  adaptTimeout(core, core.role);
  beginRound(core, core.role);
}

function onMessage(core: Core, message: Message): void {
  if (!isSane(message) || message.to !== core.id || message.from === core.id) return;
  if (isGone(core, message.from)) return;
  if (message.term < core.term) return answerOld(core, message);
  if (message.term > core.term && !enterTerm(core, message)) return;
  switch (message.kind) {
    case "vote":
      return onVote(core, message);
    case "vote-reply":
      return onVoteReply(core, message);
    case "append":
      return onAppend(core, message);
    case "snapshot-chunk":
      return onChunk(core, message);
    case "timeout-now":
      return onTimeoutNow(core, message.from);
    case "append-reply":
    case "snapshot-reply":
      return onReply(core, message);
  }
}

/**
 * Nobody listens to a server whose removal is committed (§4.2.3), except while it leads still, to commit just that, or is
 * being told. One that is merely unknown may be of a membership that has not arrived here: it is heard (§4.1).
 */
function isGone(core: Core, from: ServerId): boolean {
  if (!core.committedMembership.removed.has(from) || core.leader === from) return false;
  return core.role.kind !== "leader" || !core.role.progress.has(from);
}

/** A leader or candidate of an older term is told of this one (§3.3). */
function answerOld(core: Core, message: Message): void {
  if (message.kind === "append" || message.kind === "snapshot-chunk") {
    const { round } = message;
    core.send(message.from, { kind: "append-reply", success: false, index: 0, hintTerm: 0, round });
  } else if (message.kind === "vote") {
    core.send(message.from, { kind: "vote-reply", pre: message.pre, granted: false });
  }
}

/**
 * A later term is entered (§3.3), but for: a question whether one would vote, and its answer, which change nothing (§9.6);
 * and a candidate while there is a live leader, who is not heard (§4.2.3). False: there is nothing more to do.
 */
function enterTerm(core: Core, message: Message): boolean {
  if (message.kind === "vote" && message.pre) return true;
  if (message.kind === "vote-reply" && message.pre && message.granted) return true;
  if (message.kind === "vote" && !message.transfer && protectsLeader(core)) return false;
  becomeFollower(core, message.term, undefined);
  return true;
}

function onReply(
  core: Core,
  message: Message & { readonly kind: "append-reply" | "snapshot-reply" },
): void {
  const { role } = core;
  if (role.kind !== "leader") return;
  const progress = role.progress.get(message.from);
  if (progress === undefined) return;
  onContact(core, role, progress, message.round);
  if (message.kind === "append-reply") onAppendReply(core, progress, message);
  else onSnapshotReply(core, progress, message);
}

function onSnapshotted(core: Core, index: number): void {
  if (index > core.commit) return;
  const { trailingEntries, trailingBytes } = core.options;
  core.log.compact(index, { entries: trailingEntries, bytes: trailingBytes });
}

function onSnapshotGone(core: Core, to: ServerId): void {
  if (core.role.kind !== "leader") return;
  const progress = core.role.progress.get(to);
  if (progress?.flow.kind === "snapshot") progress.becomeSnapshot(core.log.snapshot);
}

/** What was on its way to the server is lost, most likely. */
function onDisconnected(core: Core, server: ServerId): void {
  if (core.role.kind === "leader") {
    const progress = core.role.progress.get(server);
    if (progress?.flow.kind === "replicate") progress.becomeProbe(progress.matchIndex + 1);
  } else if (core.leader === server) onLeaderDisconnected(core);
}

/** Draws the conclusions. Each may change the role, so the role is looked at anew. */
function settle(core: Core): void {
  settleElection(core);
  // A vote that is durable at once, or not asked for, decides the next stage in the same step.
  settleElection(core);
  const conclusions: readonly ((core: Core, leader: Leader) => void)[] = [
    advanceCommit,
    settleReads,
    sendToAll,
    settleTransfer,
    settleRemovals,
  ];
  for (const conclude of conclusions) {
    if (core.role.kind === "leader") conclude(core, core.role);
  }
}

function sendToAll(core: Core, leader: Leader): void {
  for (const progress of leader.progress.values()) replicate(core, leader, progress);
}

function standingOf(core: Core): Standing {
  const { role, term, leader } = core;
  return { role: role.kind === "pre-candidate" ? "candidate" : role.kind, term, leader };
}

function sameStanding(a: Standing, b: Standing): boolean {
  return a.role === b.role && a.term === b.term && a.leader === b.leader;
}

function wakeAtMs(core: Core): number {
  if (core.role.kind !== "leader") return core.deadlineMs;
  const { heartbeatAtMs, transfer } = core.role;
  return Math.min(heartbeatAtMs, transfer?.untilMs ?? heartbeatAtMs);
}
