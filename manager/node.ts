import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";

/** A node as users and agents see it: what its host keeps to itself stays with the managers. */
export function publicNode(node: Node): Node {
  return { ...node, joinRequestId: "" };
}
