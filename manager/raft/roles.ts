/**
 * The only places that change a server's role:
 *
 *            ┌──────────────── a leader is heard, or a higher term ───────────────┐
 *            ▼                                                                     │
 *   follower ──timeout──▶ pre-candidate ──would win──▶ candidate ──wins──▶ leader ─┤
 *            └────────────── the leader asks for it ──────▲                        │
 *            ▲                                                                     │
 *            └──────────────── no majority heard, or gave up ──────────────────────┘
 *
 * What a role knows is in it and goes with it.
 */
import type { Core, Leader } from "./core.ts";
import { entryBytes } from "./log.ts";
import { Progress } from "./progress.ts";
import type { Entry, ServerId } from "./contract.ts";

export function becomeFollower(core: Core, term: number, leader: ServerId | undefined): void {
  if (core.role.kind === "leader") {
    const { readsWaiting, readRounds } = core.role;
    core.out.refuse(
      [...readRounds.flatMap(({ requests }) => requests), ...readsWaiting],
      "not-leader",
    );
  }
  if (term > core.term) core.setTermAndVote(term, undefined);
  core.role = { kind: "follower", leader, heardMs: core.nowMs };
  core.deadlineMs = core.nowMs + core.randomTimeout();
}

/** Changes neither term nor vote (§9.6). */
export function becomePreCandidate(core: Core): void {
  core.role = { kind: "pre-candidate", votes: new Map([[core.id, true]]), voteWrite: 0 };
  core.deadlineMs = core.nowMs + core.randomTimeout();
}

/** The own vote counts like any other: once it is durable. */
export function becomeCandidate(core: Core): void {
  core.setTermAndVote(core.term + 1, core.id);
  core.role = { kind: "candidate", votes: new Map(), voteWrite: core.out.termWrite };
  core.deadlineMs = core.nowMs + core.randomTimeout();
}

export function becomeLeader(core: Core): void {
  const { log, nowMs, term } = core;
  const start: Entry = { term, index: log.lastIndex + 1, kind: "term-start" };
  const others = log.membership.membership.members.filter(({ id }) => id !== core.id);
  const leader: Leader = {
    kind: "leader",
    progress: new Map(others.map(({ id }) => [id, new Progress(id, start.index, nowMs)])),
    startIndex: start.index,
    round: 0,
    roundsSent: [],
    heartbeatAtMs: nowMs,
    readsWaiting: [],
    readRounds: [],
    transfer: undefined,
    uncommittedBytes: log
      .slice(core.commit + 1, log.lastIndex)
      .reduce((sum, entry) => sum + entryBytes(entry), 0),
  };
  core.role = leader;
  leaderAppends(core, leader, [start]);
}

/** A leader only ever adds to its log (§3.5, Leader Append-Only). */
export function leaderAppends(core: Core, leader: Leader, entries: readonly Entry[]): void {
  core.log.append(entries, core.out.entries(entries));
  for (const entry of entries) leader.uncommittedBytes += entryBytes(entry);
}
