/** Secrets that hosts show to managers: a node's own, and the cluster's join tokens. Managers compare in constant time. */
import { createHash, timingSafeEqual } from "node:crypto";
import { Fault } from "#proto/fault.ts";
import { type Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeMembership } from "#proto/gen/swarm/v1/types_pb.ts";
import type { CallContext } from "#proto/grpc.ts";
import type { View } from "../store/store.ts";

export const nodeIdHeader = "swarm-node-id";
export const nodeSecretHeader = "swarm-node-secret";

/** SHA-256 in hex: what managers keep of a node's secret. */
export function digestOf(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

/** The same secret for the same request, so that one whose answer was lost can be answered again. */
export function secretOfRequest(requestId: string): string {
  return digestOf(`node secret of request ${requestId}`);
}

export function sameSecret(a: string, b: string): boolean {
  // Digests have one length, which the comparison needs, and tell nothing of where the secrets differ.
  return timingSafeEqual(Buffer.from(digestOf(a)), Buffer.from(digestOf(b)));
}

/** The node that makes a call, by the credentials that it sends as metadata. */
export function authenticateNode(view: View, { metadata }: CallContext): Node {
  const id = metadata.get(nodeIdHeader);
  const secret = metadata.get(nodeSecretHeader);
  if (id === undefined || secret === undefined) {
    const message = `the call carries no ${id === undefined ? nodeIdHeader : nodeSecretHeader}: join the cluster first`;
    throw new Fault("unauthenticated", message);
  }
  const node = view.get("node", id);
  if (node === undefined) {
    const message = `node "${id}" is not a member of this cluster: it was removed, or belongs to another; join again`;
    throw new Fault("permission-denied", message);
  }
  if (!sameSecret(digestOf(secret), node.secretDigest)) {
    throw new Fault("unauthenticated", `the secret of node "${id}" is wrong: join again`);
  }
  if (node.spec?.membership !== NodeMembership.ACCEPTED) {
    throw new Fault("permission-denied", `node "${id}" is not accepted yet`);
  }
  return node;
}
