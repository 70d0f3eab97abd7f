/**
 * Whether a message can be one of a server's at all. What passes may still be wrong, old or twice; the core lives with that.
 * What does not would break what the core takes for granted: whole numbers, entries in order, terms that do not fall.
 */
import type { Entry, Member, Membership, Message, SnapshotMeta } from "./contract.ts";

/** Leaves room to count on from what others say. */
const countMax = 2 ** 52;

function isCount(value: unknown): boolean {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value < countMax;
}

function isBoolean(value: unknown): boolean {
  return typeof value === "boolean";
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}

export function isSane(message: Message): boolean {
  const { from, to, term } = message;
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from <= 0) return false;
  if (!isCount(term) || term === 0) return false;
  switch (message.kind) {
    case "vote":
      return (
        [message.lastIndex, message.lastTerm].every(isCount) &&
        message.lastTerm <= term &&
        isBoolean(message.pre) &&
        isBoolean(message.transfer)
      );
    case "vote-reply":
      return isBoolean(message.pre) && isBoolean(message.granted);
    case "append":
      return isSaneAppend(message);
    case "append-reply":
      return (
        isBoolean(message.success) &&
        [message.index, message.hintTerm, message.round].every(isCount)
      );
    case "snapshot-chunk":
      return (
        isCount(message.chunk) &&
        isCount(message.round) &&
        isBoolean(message.last) &&
        message.data instanceof Uint8Array &&
        isSaneMeta(message.meta, term)
      );
    case "snapshot-reply":
      return (
        isBoolean(message.installed) &&
        [message.index, message.nextChunk, message.round].every(isCount)
      );
    case "timeout-now":
      return true;
    default:
      return false;
  }
}

function isSaneAppend(message: Message & { readonly kind: "append" }): boolean {
  const { prevIndex, prevTerm, commit, round, electionMs, entries, term } = message;
  if (![prevIndex, prevTerm, commit, round].every(isCount)) return false;
  if (!Number.isFinite(electionMs) || electionMs < 0 || !Array.isArray(entries)) return false;
  if ((prevIndex === 0) !== (prevTerm === 0)) return false;
  let index = prevIndex;
  let termBefore = prevTerm;
  for (const entry of entries as readonly Entry[]) {
    index += 1;
    if (!isObject(entry) || entry.index !== index || !isCount(entry.term) || entry.term === 0)
      return false;
    if (entry.term < termBefore || !isSaneBody(entry)) return false;
    termBefore = entry.term;
  }
  return termBefore <= term;
}

function isSaneBody(entry: Entry): boolean {
  switch (entry.kind) {
    case "term-start":
      return true;
    case "data":
      return entry.data instanceof Uint8Array;
    case "membership":
      return isSaneMembership(entry.membership);
    default:
      return false;
  }
}

function isSaneMembership(membership: Membership): boolean {
  return (
    isObject(membership) &&
    Array.isArray(membership.members) &&
    Array.isArray(membership.removed) &&
    membership.removed.every((id) => Number.isSafeInteger(id)) &&
    membership.members.every(isSaneMember)
  );
}

function isSaneMember(member: Member): boolean {
  if (!isObject(member) || !isBoolean(member.voter)) return false;
  return Number.isSafeInteger(member.id) && member.id > 0 && typeof member.context === "string";
}

function isSaneMeta(meta: SnapshotMeta, term: number): boolean {
  if (!isObject(meta)) return false;
  const { index, term: metaTerm, membership } = meta;
  if (!isCount(index) || !isCount(metaTerm) || metaTerm > term) return false;
  return index > 0 && metaTerm > 0 && isSaneMembership(membership);
}
