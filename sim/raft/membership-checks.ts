/** One change of the membership at a time, each of one server (§4.1), and nobody who was removed comes back. */
import type { Entry, Member, Membership, ServerId } from "#manager/raft/contract.ts";
import type { Life } from "./life.ts";
import type { LogImage } from "./log-image.ts";
import type { Marks } from "../marks.ts";
import type { MarkName } from "./marks.ts";
import { Violation } from "./violation.ts";

/** As its leader appends it, which is the first that is seen of it. */
export function checkMembershipAppend(life: Life, entry: Entry & { kind: "membership" }): void {
  const before = latestMembership(life.log, entry.index - 1);
  const refuse = (why: string): never => {
    throw new Violation(
      "one membership change at a time",
      `leader ${life.id} changes the membership at ${entry.index}:${entry.term}, and ${why}`,
    );
  };
  if (before.index > life.commitIndex) refuse(`the change at ${before.index} is not committed`);
  // Else two leaders may change the same membership in two ways (§4.1, the erratum of July 2015).
  if (life.log.termAt(life.commitIndex) !== entry.term) refuse("it has committed nothing itself");
  const known = new Map(before.membership.members.map((member) => [member.id, member]));
  const now = new Map(entry.membership.members.map((member) => [member.id, member]));
  const changed = [...new Set([...known.keys(), ...now.keys()])].filter(
    (id) => known.get(id)?.voter !== now.get(id)?.voter,
  );
  if (changed.length > 1) refuse(`servers ${changed.join(", ")} change`);
  const { removed } = entry.membership;
  const back = [...now.keys()].find((id) => removed.includes(id));
  if (back !== undefined) refuse(`${back} was removed`);
  const forgotten = before.membership.removed.find((id) => !removed.includes(id));
  if (forgotten !== undefined) refuse(`forgets that ${forgotten} was removed`);
}

/** Of the entries up to the index, or of the snapshot before them. */
export function latestMembership(
  { snapshot, entries }: LogImage,
  upTo: number,
): { readonly index: number; readonly membership: Membership } {
  const latest = entries.findLast(
    ({ kind, index }) => kind === "membership" && index <= upTo && index > snapshot.index,
  );
  return latest?.kind === "membership" ? latest : snapshot;
}

export function sayMembershipMarks(
  change: {
    readonly before: Membership;
    readonly after: Membership;
    readonly leader: ServerId | undefined;
  },
  marks: Marks<MarkName>,
): void {
  const before = new Map(
    change.before.members.map((member): [ServerId, Member] => [member.id, member]),
  );
  for (const { id, voter } of change.after.members) {
    const known = before.get(id);
    if (known === undefined) marks.add("learners added");
    else if (voter && !known.voter) marks.add("learners promoted");
    before.delete(id);
  }
  for (const { id, voter } of before.values()) {
    if (voter) marks.add("voters removed");
    if (id === change.leader) marks.add("leaders removed");
  }
}
