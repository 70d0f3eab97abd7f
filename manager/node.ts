import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";

/** How long a node that is restarted may be waited for: enough for any restart, and not for long where it was forgotten. */
export const patienceMsMax = 3_600_000;

/** A node as users and agents see it: what its host keeps to itself stays with the managers. */
export function publicNode(node: Node): Node {
  return { ...node, joinRequestId: "" };
}

/** The node as one that is a manager no more, and shall be none. */
export function asWorker({ managerStatus: _managerStatus, ...node }: Node): Node {
  const worker: Node = { ...node, role: NodeRole.WORKER };
  if (node.spec !== undefined) worker.spec = { ...node.spec, desiredRole: NodeRole.WORKER };
  return worker;
}
