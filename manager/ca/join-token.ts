/** A cluster's join tokens: making them, and the role that one grants. */
import { createHash, timingSafeEqual } from "node:crypto";
import { Fault } from "#proto/fault.ts";
import type { Cluster } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import { parseJoinToken } from "#proto/join-token.ts";
import type { Random } from "#proto/ports.ts";

export function newJoinToken(rootDigest: string, random: Random): string {
  return `SWMTKN-1-${rootDigest}-${newId(random)}`;
}

export function newJoinTokens(rootDigest: string, random: Random) {
  return {
    worker: newJoinToken(rootDigest, random),
    manager: newJoinToken(rootDigest, random),
  };
}

/** The role that a token grants. */
export function roleOfToken(token: string, { rootCa }: Cluster): NodeRole {
  const shown = parseJoinToken(token);
  const tokens = rootCa?.joinTokens;
  if (tokens === undefined) throw new Fault("internal", "the cluster has no join tokens");
  const worker = parseJoinToken(tokens.worker);
  const manager = parseJoinToken(tokens.manager);
  if (!sameText(shown.rootDigest, worker.rootDigest)) {
    const message =
      "the join token is of another cluster, or of a root certificate that this one has no more: copy it anew from a manager of this cluster";
    throw new Fault("permission-denied", message);
  }
  if (sameText(shown.secret, worker.secret)) return NodeRole.WORKER;
  if (sameText(shown.secret, manager.secret)) return NodeRole.MANAGER;
  const message =
    "the join token is no token of this cluster: it may have been rotated, or is mistyped; copy it anew from a manager";
  throw new Fault("permission-denied", message);
}

/** In a time that tells nothing of where they differ: digests have one length, which the comparison needs. */
function sameText(a: string, b: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
