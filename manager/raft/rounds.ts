/**
 * Rounds of contact: a leader counts them, sends the count with all it says and gets it back. A majority's answers to a
 * round prove that it led when the round began, which is what reads need (§6.4); no answers for an election timeout, that
 * it may lead no more (§6.2); and their delay is the round trip.
 */
import type { Core, Leader } from "./core.ts";
import type { Progress } from "./progress.ts";
import { majorityReached } from "./quorum.ts";
import { sendAppend } from "./replication.ts";
import { becomeFollower } from "./roles.ts";

/** Of reads that wait for a majority or for the first commit of a term. */
const readsMax = 65_536;
/** How many rounds' beginnings are remembered. */
const roundsMeasured = 32;
/** The election timeout in round trips: many, so that a few lost messages or a slow moment elect nobody. */
const roundTripsPerTimeout = 10;

/** To every server: an append without entries, which is answered at once. */
export function beginRound(core: Core, leader: Leader): void {
  leader.round += 1;
  leader.roundsSent.push({ round: leader.round, ms: core.nowMs });
  if (leader.roundsSent.length > roundsMeasured) leader.roundsSent.shift();
  leader.heartbeatAtMs = core.nowMs + core.options.heartbeatMs;
  if (leader.readsWaiting.length > 0 && knowsCommit(core, leader)) {
    const requests = leader.readsWaiting;
    leader.readRounds.push({ round: leader.round, index: core.commit, requests });
    leader.readsWaiting = [];
  }
  for (const progress of leader.progress.values()) sendAppend(core, leader, progress, []);
}

export function onRead(core: Core, request: number): void {
  const { role } = core;
  if (role.kind !== "leader") core.out.refuse([request], "not-leader");
  else if (role.readsWaiting.length >= readsMax) core.out.refuse([request], "busy");
  else role.readsWaiting.push(request);
}

/** Only after an entry of its own term is committed does a leader know what is (§6.4). */
export function knowsCommit(core: Core, leader: Leader): boolean {
  return core.commit >= leader.startIndex;
}

/** Reads that come while a round is on its way share the next one. */
export function settleReads(core: Core, leader: Leader): void {
  if (leader.readsWaiting.length > 0 && core.aloneVoting && knowsCommit(core, leader)) {
    core.out.answerReads(leader.readsWaiting, core.commit);
    leader.readsWaiting = [];
  }
  if (leader.readRounds.length > 0) {
    const confirmed = confirmedRound(core, leader);
    for (const { round, requests, index } of leader.readRounds) {
      if (round <= confirmed) core.out.answerReads(requests, index);
    }
    leader.readRounds = leader.readRounds.filter(({ round }) => round > confirmed);
  }
  const mayBegin = leader.readRounds.length === 0 && knowsCommit(core, leader);
  if (leader.readsWaiting.length > 0 && mayBegin) beginRound(core, leader);
}

function confirmedRound(core: Core, leader: Leader): number {
  return majorityReached(core.log.membership.voters, (voter) =>
    voter === core.id ? leader.round : (leader.progress.get(voter)?.ackedRound ?? 0),
  );
}

/** Any answer of this term is contact; the first to a round measures it. */
export function onContact(core: Core, leader: Leader, progress: Progress, round: number): void {
  progress.lastContactMs = core.nowMs;
  if (round <= progress.ackedRound || round > leader.round) return;
  progress.ackedRound = round;
  const sent = leader.roundsSent.find((sent) => sent.round === round);
  if (sent !== undefined) progress.measured(core.nowMs - sent.ms);
}

/**
 * CheckQuorum: a leader that no majority has answered for an election timeout steps down (§6.2). As late as this server is
 * woken itself, as late it may find the answers that have come: that is not held against them.
 */
export function checkQuorum(core: Core, leader: Leader): void {
  const lateMs = core.nowMs - leader.heartbeatAtMs;
  const heardMs = majorityReached(core.log.membership.voters, (voter) =>
    voter === core.id ? core.nowMs : (leader.progress.get(voter)?.lastContactMs ?? 0),
  );
  if (core.nowMs - lateMs - heardMs < core.electionMs) return;
  // Elected, yet never answered: the way may be longer than the timeout.
  if (majorityRttMs(core, leader) === undefined) useTimeout(core, 2 * core.electionMs);
  becomeFollower(core, core.term, undefined);
}

/** Adapts the election timeout to the round trip to the nearest majority. */
export function adaptTimeout(core: Core, leader: Leader): void {
  const rttMs = majorityRttMs(core, leader);
  if (rttMs !== undefined) useTimeout(core, Math.ceil(roundTripsPerTimeout * rttMs));
}

function useTimeout(core: Core, electionMs: number): void {
  const { electionMsMin, electionMsMax } = core.options;
  core.electionMs = Math.min(Math.max(electionMs, electionMsMin), electionMsMax);
}

function majorityRttMs(core: Core, leader: Leader): number | undefined {
  // Negative, since the majority that is nearest counts.
  const nearest = -majorityReached(core.log.membership.voters, (voter) =>
    voter === core.id ? 0 : -(leader.progress.get(voter)?.rttMs ?? Number.POSITIVE_INFINITY),
  );
  return Number.isFinite(nearest) ? nearest : undefined;
}
