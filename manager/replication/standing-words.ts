/** Why the log takes or tells nothing just now, for people: what is wrong, with the numbers, and what to do. */
import type { Fault } from "#proto/fault.ts";

export interface Situation {
  /** Why this manager cannot write its own log. */
  readonly full: Fault | undefined;
  /** HOST:PORT of whoever leads; "" where that is not known. */
  readonly leaderAddress: string | undefined;
  /** Managers that vote, and those of them that were heard of lately, this one included. */
  readonly voters: number;
  readonly reachable: number;
}

export function troubleWords({ full, leaderAddress, voters, reachable }: Situation): string {
  if (full !== undefined) return `this manager cannot write its log: ${full.message}`;
  if (leaderAddress !== undefined) {
    return `the manager that leads${leaderAddress === "" ? "" : `, ${leaderAddress},`} did not answer in time`;
  }
  const majority = Math.floor(voters / 2) + 1;
  const state = `The swarm does not have a leader: ${reachable} of ${voters} managers can be reached`;
  if (reachable >= majority) return `${state}, and they are electing one: try again`;
  return (
    `${state}, and a majority is ${majority}. Check that the other managers run, are unlocked, and that this host reaches ` +
    'them ("swarmctl cluster info" on each says what it lacks, and whether this one was removed); ' +
    'if they are lost for good, run "swarmctl cluster init --force-new-cluster" here'
  );
}
