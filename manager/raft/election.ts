/** Who leads: standing for election and voting (§3.4, §3.6.1), asking first (§9.6), protecting a live leader (§4.2.3). */
import type { Core } from "./core.ts";
import { countVotes } from "./quorum.ts";
import { becomeCandidate, becomeFollower, becomeLeader, becomePreCandidate } from "./roles.ts";
import type { Message, MessageBody, ServerId } from "./contract.ts";

type Vote = Message & { readonly kind: "vote" };
type VoteReply = Message & { readonly kind: "vote-reply" };

/** After the leader's connection broke: short, and random so that not all stand at once. */
const disconnectedMsMin = 10;
const disconnectedMsRange = 91;

/** In maximal election timeouts: how long a server that stepped down for its own sake does not stand. */
const restTimeouts = 2;

/**
 * A voter may lead. So may one that a membership not yet committed leaves out: it can be the only one whose log
 * lets that membership be committed (§4.2.2, Figure 4.6). The one before was committed when this one was proposed, even
 * where a server that restarted does not know it yet.
 */
function mayLead(core: Core): boolean {
  if (core.nowMs < core.restUntilMs) return false;
  const { membership } = core.log;
  if (membership.voters.includes(core.id)) return true;
  const before = core.log.membershipAt(membership.index - 1);
  return membership.index > core.commit && before.voters.includes(core.id);
}

/** The election timeout of a server that does not lead. */
export function electionTimeout(core: Core): void {
  if (!mayLead(core)) {
    becomeFollower(core, core.term, undefined);
    core.deadlineMs = Math.max(core.deadlineMs, core.restUntilMs);
    return;
  }
  becomePreCandidate(core);
  askForVotes(core, core.term + 1, { pre: true, transfer: false });
}

/** `transfer`: the leader asked for it, so voters do not protect the leader. */
export function standForElection(core: Core, transfer: boolean): void {
  becomeCandidate(core);
  askForVotes(core, core.term, { pre: false, transfer });
}

function askForVotes(core: Core, term: number, how: { pre: boolean; transfer: boolean }): void {
  const { log } = core;
  const body: MessageBody = {
    kind: "vote",
    lastIndex: log.lastIndex,
    lastTerm: log.lastTerm,
    ...how,
  };
  for (const voter of log.membership.voters) {
    if (voter === core.id) continue;
    core.out.send({ from: core.id, to: voter, term, ...body }, 0);
  }
}

/** Goes on with an election that what was heard, or what became durable, has decided. */
export function settleElection(core: Core): void {
  const { role } = core;
  if (role.kind !== "pre-candidate" && role.kind !== "candidate") return;
  if (core.out.has(role.voteWrite)) role.votes.set(core.id, true);
  const result = countVotes(core.log.membership.voters, role.votes);
  if (result === "open") return;
  if (result === "lost") loseElection(core);
  else if (role.kind === "candidate") becomeLeader(core);
  else standForElection(core, false);
}

/** Stands again when its time comes, which the lost election does not put off. */
function loseElection(core: Core): void {
  const { deadlineMs } = core;
  becomeFollower(core, core.term, undefined);
  core.deadlineMs = deadlineMs;
}

/** Whether this server has heard a leader so lately that nobody else shall disturb it (§4.2.3, §6.4.1). */
export function protectsLeader(core: Core): boolean {
  const { role } = core;
  if (role.kind === "leader") return true;
  if (role.kind !== "follower" || role.leader === undefined) return false;
  return core.nowMs - role.heardMs < core.electionMs;
}

/** Comes with the present term, or with a later one if `pre`. */
export function onVote(core: Core, message: Vote): void {
  const { from, pre, term } = message;
  const granted = mayVote(core, message) && isUpToDate(core, message) && !insists(core, message);
  if (granted && pre) makeWay(core);
  if (granted && !pre) {
    core.setTermAndVote(core.term, from);
    core.deadlineMs = core.nowMs + core.randomTimeout();
  }
  // What is granted is granted for the term asked about; a refusal tells the voter's own, which may be news.
  const body: MessageBody = { kind: "vote-reply", pre, granted };
  core.out.send({ from: core.id, to: from, term: granted ? term : core.term, ...body }, 0);
}

function mayVote(core: Core, message: Vote): boolean {
  if (!message.transfer && protectsLeader(core)) return false;
  if (message.term > core.term) return true;
  return (
    core.votedFor === message.from || (core.votedFor === undefined && core.leader === undefined)
  );
}

/** The candidate's log has everything that this server may have seen committed (§3.6.1). */
function isUpToDate(core: Core, { lastTerm, lastIndex }: Vote): boolean {
  const { log } = core;
  if (lastTerm !== log.lastTerm) return lastTerm > log.lastTerm;
  return lastIndex >= log.lastIndex;
}

/**
 * Of servers that ask at the same time whether they would win, all would, and then take the votes from each other. So the one
 * with the larger ID does not make way for one whose log is no newer.
 */
function insists(core: Core, { from, pre, lastTerm, lastIndex }: Vote): boolean {
  if (!pre || core.role.kind !== "pre-candidate" || core.id < from) return false;
  return lastTerm === core.log.lastTerm && lastIndex === core.log.lastIndex;
}

/** Who would vote for another does not stand itself before that one can have stood. */
function makeWay(core: Core): void {
  const { deadlineMs } = core;
  const asked = core.role.kind === "pre-candidate";
  if (asked) becomeFollower(core, core.term, undefined);
  const laterMs = core.nowMs + disconnectedMsRange + core.options.random(disconnectedMsRange);
  core.deadlineMs = asked ? laterMs : Math.max(deadlineMs, laterMs);
}

export function onVoteReply(core: Core, message: VoteReply): void {
  const { role } = core;
  const kind = message.pre ? "pre-candidate" : "candidate";
  if (role.kind !== kind) return;
  const about = message.pre && message.granted ? core.term + 1 : core.term;
  if (message.term === about && core.log.membership.voters.includes(message.from)) {
    role.votes.set(message.from, message.granted);
  }
}

/** The leader wants this server to lead (§3.10). */
export function onTimeoutNow(core: Core, from: ServerId): void {
  if (core.leader === from && mayLead(core)) standForElection(core, true);
}

/** Whoever sees the leader's connection break neither waits for it nor protects it any longer. */
export function onLeaderDisconnected(core: Core): void {
  const { deadlineMs } = core;
  becomeFollower(core, core.term, undefined);
  const soonMs = core.nowMs + disconnectedMsMin + core.options.random(disconnectedMsRange);
  core.deadlineMs = Math.min(deadlineMs, soonMs);
}

export function rest(core: Core): void {
  core.restUntilMs = core.nowMs + restTimeouts * core.options.electionMsMax;
}
