/**
 * Who takes part. One server is added, promoted or removed at a time, so that any majority of the old membership and any of
 * the new share a server (§4.1). Pure.
 */
import type { Member, Membership, MembershipChange, Refusal, ServerId } from "./contract.ts";

/** A membership as the log knows it: with the entry that holds it, and ready for look-ups. */
export interface PlacedMembership {
  /** Of the entry or snapshot that holds it. */
  readonly index: number;
  readonly membership: Membership;
  readonly voters: readonly ServerId[];
  readonly removed: ReadonlySet<ServerId>;
}

export function placeMembership(index: number, membership: Membership): PlacedMembership {
  return {
    index,
    membership,
    voters: membership.members.filter(({ voter }) => voter).map(({ id }) => id),
    removed: new Set(membership.removed),
  };
}

/**
 * The membership after the change, or why there is none. Adding a member again takes over the context and promoting a voter
 * changes nothing, so that a caller who has missed the answer may ask twice.
 */
export function changeMembership(
  present: PlacedMembership,
  change: MembershipChange,
): Membership | Refusal {
  const { members, removed } = present.membership;
  if (present.removed.has(change.id)) return "removed-server";
  const member = members.find(({ id }) => id === change.id);
  if (change.kind === "add-learner") {
    const added = { id: change.id, voter: member?.voter ?? false, context: change.context };
    return { members: replaced(members, added), removed };
  }
  if (member === undefined) return "unknown-server";
  if (change.kind === "promote") {
    return { members: replaced(members, { ...member, voter: true }), removed };
  }
  if (member.voter && present.voters.length === 1) return "quorum";
  return {
    members: members.filter(({ id }) => id !== change.id),
    removed: [...removed, change.id],
  };
}

function replaced(members: readonly Member[], member: Member): readonly Member[] {
  const at = members.findIndex(({ id }) => id === member.id);
  return at === -1 ? [...members, member] : members.with(at, member);
}
