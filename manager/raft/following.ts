/** What a server does with a leader's log: appends (§3.5) and snapshots (§5.1). Comes with the present term only. */
import type { Core, Incoming } from "./core.ts";
import { becomeFollower } from "./roles.ts";
import type { Message, MessageBody, ServerId } from "./contract.ts";

type Append = Message & { readonly kind: "append" };
type Chunk = Message & { readonly kind: "snapshot-chunk" };

/** Not so: another leads this term, as far as this server knows. There is one at most, so somebody is wrong. */
function mayLeadHere({ role }: Core, from: ServerId): boolean {
  if (role.kind === "leader") return false;
  return role.kind !== "follower" || role.leader === undefined || role.leader === from;
}

export function onAppend(core: Core, message: Append): void {
  if (!mayLeadHere(core, message.from)) return;
  const { electionMsMin, electionMsMax } = core.options;
  core.electionMs = Math.min(Math.max(message.electionMs, electionMsMin), electionMsMax);
  becomeFollower(core, core.term, message.from);
  const { from, prevIndex, prevTerm, entries, round } = message;
  // What is committed agrees with every leader's log, even where its term is not known any more (§3.6.3).
  if (prevIndex > core.commit && core.log.termAt(prevIndex) !== prevTerm) {
    const index = core.log.lastAtOrBelow(prevIndex - 1, prevTerm);
    const hintTerm = core.log.termAt(index) ?? 0;
    core.send(from, { kind: "append-reply", success: false, index, hintTerm, round });
    return;
  }
  if (!takeEntries(core, message)) return;
  const matched = Math.max(prevIndex + entries.length, core.commit);
  core.commitTo(Math.min(message.commit, matched));
  acknowledge(core, message, matched);
}

/** False: they contradict what is committed, which no leader's do. */
function takeEntries(core: Core, { entries }: Append): boolean {
  const at = entries.findIndex(
    ({ index, term }) => core.log.termAt(index) !== term && index > core.commit,
  );
  const contradiction = entries.some(({ index, term }) => {
    const here = index <= core.commit ? core.log.termAt(index) : undefined;
    return here !== undefined && here !== term;
  });
  if (contradiction) return false;
  if (at === -1) return true;
  const news = at === 0 ? entries : entries.slice(at);
  core.log.append(news, core.out.entries(news));
  return true;
}

/**
 * New entries are acknowledged when they are durable. An append without any, a heartbeat, is answered at once with what
 * is durable now: a slow disk does not look like a dead server, nor lengthen the round trip.
 */
function acknowledge(core: Core, { from, entries, round }: Append, matched: number): void {
  const durable = Math.min(matched, core.log.stable);
  const index = entries.length === 0 ? durable : matched;
  const reply: MessageBody = { kind: "append-reply", success: true, index, hintTerm: 0, round };
  core.send(from, reply, entries.length === 0 ? 0 : core.log.writeOf(matched));
}

export function onChunk(core: Core, message: Chunk): void {
  if (!mayLeadHere(core, message.from)) return;
  becomeFollower(core, core.term, message.from);
  const { from, meta, round } = message;
  if (core.log.termAt(meta.index) === meta.term) core.commitTo(meta.index);
  const incoming = incomingOf(core, message);
  if (meta.index > core.commit && message.chunk === incoming.nextChunk) {
    takeChunk(core, incoming, message);
  }
  const installed = meta.index <= core.commit;
  const write = installed ? core.log.writeOf(meta.index) : incoming.write;
  const { nextChunk } = incoming;
  core.send(
    from,
    { kind: "snapshot-reply", index: meta.index, nextChunk, installed, round },
    write,
  );
  if (installed) core.incoming = undefined;
}

/** The snapshot that arrives, as far as it has; another one than before begins anew. */
function incomingOf(core: Core, { from, term, meta }: Chunk): Incoming {
  const { incoming } = core;
  const same =
    incoming?.from === from &&
    incoming.term === term &&
    incoming.meta.index === meta.index &&
    incoming.meta.term === meta.term;
  if (incoming !== undefined && same) return incoming;
  return { from, term, meta, nextChunk: 0, write: 0 };
}

function takeChunk(core: Core, incoming: Incoming, { chunk, data, last }: Chunk): void {
  const { meta } = incoming;
  incoming.write = core.out.chunk({ meta, chunk, data });
  incoming.nextChunk = chunk + 1;
  core.incoming = incoming;
  if (!last) return;
  core.log.install(meta, core.commit, core.out.install(meta));
  core.commit = meta.index;
}
