/** How a leader's log gets to the others: appends ahead of the answers (§3.5, §10.2.1), snapshot chunks (§5.1). */
import type { Core, Leader } from "./core.ts";
import { entryBytes } from "./log.ts";
import type { Progress } from "./progress.ts";
import { majorityReached } from "./quorum.ts";
import type { Entry, Message } from "./contract.ts";

type AppendReply = Message & { readonly kind: "append-reply" };
type SnapshotReply = Message & { readonly kind: "snapshot-reply" };

const noData = new Uint8Array(0);

/** Sends all that the server's window lets through. */
export function replicate(core: Core, leader: Leader, progress: Progress): void {
  switch (progress.flow.kind) {
    case "probe":
      if (progress.flow.waiting) return;
      progress.flow.waiting = true;
      sendEntries(core, leader, progress);
      return;
    case "replicate":
      pipeline(core, leader, progress);
      return;
    case "snapshot":
      sendChunk(core, leader, progress);
  }
}

function pipeline(core: Core, leader: Leader, progress: Progress): void {
  const { inflightMessagesMax, inflightBytesMax } = core.options;
  const { flow } = progress;
  if (flow.kind !== "replicate") return;
  const isFull = (): boolean => flow.inflight.isFull(inflightMessagesMax, inflightBytesMax);
  while (progress.nextIndex <= core.log.lastIndex && !isFull()) {
    const bytes = sendEntries(core, leader, progress);
    if (bytes === undefined) return;
    flow.inflight.add(progress.nextIndex - 1, bytes);
  }
  // What is on its way to a full window's server is followed by more, which tells it.
  if (progress.sentCommit < core.commit && !isFull()) sendAppend(core, leader, progress, []);
}

/** Returns the bytes sent; undefined where the log does not begin early enough and a snapshot goes instead. */
function sendEntries(core: Core, leader: Leader, progress: Progress): number | undefined {
  if (core.log.termAt(progress.nextIndex - 1) === undefined) {
    progress.becomeSnapshot(core.log.snapshot);
    sendChunk(core, leader, progress);
    return undefined;
  }
  const { entries, bytes } = core.log.sliceBytes(progress.nextIndex, core.options.appendBytesMax);
  sendAppend(core, leader, progress, entries);
  if (progress.flow.kind === "replicate") progress.nextIndex += entries.length;
  return bytes;
}

/**
 * Without entries a heartbeat, which also finds out whether what is on its way was lost: it names what it follows, or what
 * the log begins with where that was let go meanwhile.
 */
export function sendAppend(
  core: Core,
  leader: Leader,
  progress: Progress,
  entries: readonly Entry[],
): void {
  const { log, commit, electionMs } = core;
  const wanted = progress.flow.kind === "snapshot" ? progress.matchIndex : progress.nextIndex - 1;
  const prevIndex = log.termAt(wanted) === undefined ? log.base.index : wanted;
  core.send(progress.id, {
    kind: "append",
    prevIndex,
    prevTerm: log.termAt(prevIndex) ?? 0,
    entries,
    commit,
    round: leader.round,
    electionMs,
  });
  progress.sentCommit = commit;
}

/** A chunk is sent again when no answer came for an election timeout. */
function sendChunk(core: Core, leader: Leader, { id, flow }: Progress): void {
  if (flow.kind !== "snapshot") return;
  if (flow.sentMs !== undefined && core.nowMs - flow.sentMs < core.electionMs) return;
  flow.sentMs = core.nowMs;
  const { meta, chunk } = flow;
  const { round } = leader;
  core.send(id, { kind: "snapshot-chunk", meta, chunk, data: noData, last: false, round });
}

export function onAppendReply(core: Core, progress: Progress, message: AppendReply): void {
  if (message.index > core.log.lastIndex) return;
  if (message.success) onSuccess(core, progress, message.index);
  else onMismatch(core, progress, message);
}

function onSuccess(core: Core, progress: Progress, index: number): void {
  const { flow } = progress;
  progress.acked(index);
  if (flow.kind === "probe") progress.becomeReplicate();
  // Its log has come to reach into this one by another way.
  else if (flow.kind === "snapshot" && progress.matchIndex >= core.log.base.index) {
    progress.becomeReplicate();
  }
}

/** Goes back over whole terms at a time (§3.5). */
function onMismatch(core: Core, progress: Progress, { index, hintTerm }: AppendReply): void {
  // Late: it is known to agree further than this. A server in need of a snapshot can only repeat itself.
  if (index < progress.matchIndex || progress.flow.kind === "snapshot") return;
  const nextIndex = Math.max(core.log.lastAtOrBelow(index, hintTerm), progress.matchIndex) + 1;
  // Of a row of appends behind a lost one each is answered so: one new try is enough, unless its place was let go since.
  const { flow } = progress;
  const tried = flow.kind === "probe" && flow.waiting && progress.nextIndex === nextIndex;
  if (tried && core.log.termAt(nextIndex - 1) !== undefined) return;
  progress.becomeProbe(nextIndex);
}

export function onSnapshotReply(core: Core, progress: Progress, message: SnapshotReply): void {
  const { flow } = progress;
  if (message.index > core.log.snapshot.index) return;
  if (message.installed) {
    progress.acked(message.index);
    if (flow.kind === "snapshot" && flow.meta.index <= message.index) progress.becomeReplicate();
    return;
  }
  if (flow.kind !== "snapshot" || flow.meta.index !== message.index) return;
  if (flow.chunk === message.nextChunk) return;
  flow.chunk = message.nextChunk;
  flow.sentMs = undefined;
}

/**
 * What a majority has is committed if it is of this term, and everything before with it (§3.6.2, Figure 3.7). The leader
 * counts itself when its own disk has it, which may be after the others' (§10.2.1).
 */
export function advanceCommit(core: Core, leader: Leader): void {
  const reached = majorityReached(core.log.membership.voters, (voter) =>
    voter === core.id ? core.log.stable : (leader.progress.get(voter)?.matchIndex ?? 0),
  );
  if (reached <= core.commit || core.log.termAt(reached) !== core.term) return;
  for (const entry of core.commitTo(reached)) leader.uncommittedBytes -= entryBytes(entry);
}
