/** What a leader does with proposals and with changes of the membership (§4). */
import type { Core, Leader } from "./core.ts";
import { entryBytes } from "./log.ts";
import { changeMembership } from "./membership.ts";
import { Progress } from "./progress.ts";
import { becomeFollower, leaderAppends } from "./roles.ts";
import { knowsCommit } from "./rounds.ts";
import { bestTarget } from "./transfer.ts";
import type { Entry, MembershipChange, Proposal, Refusal } from "./contract.ts";

/** How many entries a learner may be behind when it becomes a voter: then the next commit does not wait for it (§4.2.1). */
const caughtUpEntries = 1024;

export function onPropose(core: Core, proposals: readonly Proposal[]): void {
  const { role } = core;
  const requests = proposals.map(({ request }) => request);
  if (role.kind !== "leader") {
    core.out.refuse(requests, "not-leader");
    return;
  }
  if (role.transfer !== undefined) {
    core.out.refuse(requests, "busy");
    return;
  }
  appendProposals(core, role, proposals);
}

/** All that fits. A proposal that is too large by itself goes when nothing else is uncommitted. */
function appendProposals(core: Core, leader: Leader, proposals: readonly Proposal[]): void {
  const entries: Entry[] = [];
  let bytes = leader.uncommittedBytes;
  for (const { request, data } of proposals) {
    const index = core.log.lastIndex + entries.length + 1;
    const entry: Entry = { term: core.term, index, kind: "data", data };
    const size = entryBytes(entry);
    if (bytes > 0 && bytes + size > core.options.uncommittedBytesMax) {
      core.out.refuse([request], "full");
      continue;
    }
    bytes += size;
    entries.push(entry);
    core.out.accept(request, entry);
  }
  if (entries.length > 0) leaderAppends(core, leader, entries);
}

export function onChange(core: Core, request: number, change: MembershipChange): void {
  const { role } = core;
  if (role.kind !== "leader") {
    core.out.refuse([request], "not-leader");
    return;
  }
  const refusal = notNow(core, role, change);
  const changed = refusal ?? changeMembership(core.log.membership, change);
  if (typeof changed === "string") {
    core.out.refuse([request], changed);
    return;
  }
  const index = core.log.lastIndex + 1;
  const entry: Entry = { term: core.term, index, kind: "membership", membership: changed };
  leaderAppends(core, role, [entry]);
  core.out.accept(request, entry);
  followMembership(core, role);
}

/**
 * One change at a time (§4.1); and none before an entry of the own term is committed: else two leaders could each have a
 * change of the same membership in their logs that the other does not know (Ongaro to raft-dev, July 2015).
 */
function notNow(core: Core, leader: Leader, change: MembershipChange): Refusal | undefined {
  if (leader.transfer !== undefined || !knowsCommit(core, leader)) return "busy";
  if (core.log.membership.index > core.commit) return "busy";
  if (change.kind !== "promote") return undefined;
  const progress = leader.progress.get(change.id);
  if (progress === undefined || progress.leaving !== undefined) return undefined;
  return isCaughtUp(core, progress) ? undefined : "busy";
}

function isCaughtUp(core: Core, progress: Progress): boolean {
  return (
    progress.flow.kind === "replicate" &&
    core.log.lastIndex - progress.matchIndex <= caughtUpEntries &&
    core.nowMs - progress.lastContactMs < core.electionMs
  );
}

/** A membership counts from the moment that it is in the log (§4.1). */
function followMembership(core: Core, leader: Leader): void {
  const { membership, index } = core.log.membership;
  const ids = new Set(membership.members.map(({ id }) => id));
  for (const id of ids) {
    if (id === core.id || leader.progress.has(id)) continue;
    leader.progress.set(id, new Progress(id, core.log.lastIndex + 1, core.nowMs));
  }
  for (const [id, progress] of leader.progress) {
    if (ids.has(id) || progress.leaving !== undefined) continue;
    progress.leaving = { index, untilMs: core.nowMs + 2 * core.options.electionMsMax };
  }
}

/** Lets go of removed servers that know it or were given time, and of leadership when the own removal holds (§4.2.2). */
export function settleRemovals(core: Core, leader: Leader): void {
  for (const [id, { leaving, matchIndex, sentCommit }] of leader.progress) {
    if (leaving === undefined) continue;
    const told = matchIndex >= leaving.index && sentCommit >= leaving.index;
    if (told || core.nowMs >= leaving.untilMs) leader.progress.delete(id);
  }
  if (!core.committedMembership.removed.has(core.id)) return;
  const next = bestTarget(core, leader);
  if (next !== undefined) core.send(next, { kind: "timeout-now" });
  becomeFollower(core, core.term, undefined);
}
