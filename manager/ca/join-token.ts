/** Join tokens: SWMTKN-1-<50 base 36>-<25 base 36>. The first part names the cluster, the second is the secret. */
import { Fault } from "#proto/fault.ts";
import { newId } from "#proto/ids.ts";
import type { Random } from "#proto/ports.ts";

const pattern = /^SWMTKN-1-([0-9a-z]{50})-([0-9a-z]{25})$/;

export interface JoinToken {
  /** Later the digest of the root certificate, as in Swarm. */
  readonly cluster: string;
  readonly secret: string;
}

export function newClusterPart(random: Random): string {
  return newId(random) + newId(random);
}

export function newJoinToken(cluster: string, random: Random): string {
  return `SWMTKN-1-${cluster}-${newId(random)}`;
}

export function parseJoinToken(text: string): JoinToken {
  const [, cluster, secret] = pattern.exec(text) ?? [];
  if (cluster !== undefined && secret !== undefined) return { cluster, secret };
  const message =
    "the join token is malformed: it has the form SWMTKN-1-<50 characters>-<25 characters>; copy it anew from a manager";
  throw new Fault("invalid-argument", message);
}
