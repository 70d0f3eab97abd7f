/** The arithmetic of majorities (§3.4, §3.6.2). Pure; knows neither log nor term. */
import type { ServerId } from "./contract.ts";

/** The largest value that a majority of the voters has reached; 0 where nobody votes. */
export function majorityReached(
  voters: readonly ServerId[],
  valueOf: (voter: ServerId) => number,
): number {
  const values = voters.map(valueOf).sort((a, b) => b - a);
  return values[Math.floor(values.length / 2)] ?? 0;
}

type VoteResult = "won" | "lost" | "open";

/** Counts what the voters said. Nobody wins where nobody votes. */
export function countVotes(
  voters: readonly ServerId[],
  votes: ReadonlyMap<ServerId, boolean>,
): VoteResult {
  const needed = Math.floor(voters.length / 2) + 1;
  const said = voters.map((voter) => votes.get(voter));
  const granted = said.filter((vote) => vote === true).length;
  const refused = said.filter((vote) => vote === false).length;
  if (granted >= needed) return "won";
  return voters.length - refused < needed ? "lost" : "open";
}
