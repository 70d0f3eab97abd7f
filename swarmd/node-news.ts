/** What managers say of this node in a session, and what follows from it. Pure. */
import { tlsInfoOf } from "#agent/node-description.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeRole, type NodeTlsInfo } from "#proto/gen/swarm/v1/types_pb.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import type { Role } from "./identity.ts";
import { roleOf } from "./issued-identity.ts";

export interface NodeNews {
  readonly node?: Node;
  /** Whom it shall trust, and whose certificate it shall have. */
  readonly wantedTls?: NodeTlsInfo;
}

/**
 * What this node is to be, `role` being what it is. A manager that is to be a worker goes on until it is out of the
 * managers' group, which `node.role` tells: its vote may be needed until then.
 */
export function wantedRole({ node }: NodeNews, role: Role): Role {
  if (node === undefined) return role;
  if (node.spec?.desiredRole === NodeRole.MANAGER) return "manager";
  return role === "manager" && node.role === NodeRole.MANAGER ? "manager" : "worker";
}

/** Why the certificate must be another one, whatever its age; undefined: it need not. */
export function misfitOf(identity: TlsIdentity, news: NodeNews, role: Role): string | undefined {
  if (news.node !== undefined && roleOf(identity) !== wantedRole(news, role)) {
    return "the node's role has changed";
  }
  const { wantedTls } = news;
  if (wantedTls === undefined) return undefined;
  const has = tlsInfoOf(identity);
  if (has.trustedRoots.toSorted().join() !== wantedTls.trustedRoots.toSorted().join()) {
    return "other root certificates are to be trusted";
  }
  if (has.issuerKeyHash !== wantedTls.issuerKeyHash) {
    return "the cluster's authority has another key";
  }
  return undefined;
}
