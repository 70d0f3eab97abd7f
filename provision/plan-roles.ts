/**
 * In which order managers come and go so that a majority of them can be reached at every moment: first those that come, one by
 * one, then those that cannot be reached, then the others, the leader last. Pure.
 */
import { Fault } from "#proto/fault.ts";
import { majorityOf, type Voter } from "./members.ts";

export interface RoleChanges {
  readonly voters: readonly Voter[];
  /** Names of hosts. Each is reached, and counts as soon as it is one. */
  readonly promote: readonly string[];
  readonly demote: readonly { readonly name: string; readonly id: string }[];
}

/** Names in the order of demotion. Refuses what would leave the rest without a majority. */
export function orderDemotions({ voters, promote, demote }: RoleChanges): string[] {
  let total = voters.length + promote.length;
  let reachable = voters.filter(({ isReachable }) => isReachable).length + promote.length;
  const ordered = demote
    .map((one) => ({ ...one, voter: voters.find(({ id }) => id === one.id) }))
    .toSorted((a, b) => rank(a.voter) - rank(b.voter));
  for (const { name, voter } of ordered) {
    if (voter === undefined) continue;
    total -= 1;
    if (voter.isReachable) reachable -= 1;
    if (reachable >= majorityOf(total) && total > 0) continue;
    const message = `Without ${name} as a manager, ${reachable} of ${total} managers would be reachable, and ${majorityOf(total)} are needed: bring managers back that are down, or remove those first`;
    throw new Fault("failed-precondition", message);
  }
  return ordered.map(({ name }) => name);
}

function rank(voter: Voter | undefined): number {
  if (voter === undefined) return 0;
  if (!voter.isReachable) return 1;
  return voter.isLeader ? 3 : 2;
}
