/**
 * Join tokens: SWMTKN-1-<50 base 36>-<25 base 36>. The first part is the digest of the cluster's root certificate, by which
 * the host that joins knows the cluster; the second is the secret by which the cluster knows the host.
 */
import { Fault } from "./fault.ts";

const pattern = /^SWMTKN-1-([0-9a-z]{50})-([0-9a-z]{25})$/;

export interface JoinToken {
  readonly rootDigest: string;
  readonly secret: string;
}

export function parseJoinToken(text: string): JoinToken {
  const [, rootDigest, secret] = pattern.exec(text) ?? [];
  if (rootDigest !== undefined && secret !== undefined) return { rootDigest, secret };
  const message =
    "the join token is malformed: it has the form SWMTKN-1-<50 characters>-<25 characters>; copy it anew from a manager";
  throw new Fault("invalid-argument", message);
}
