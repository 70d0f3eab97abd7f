import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";

/** A node as users and agents see it: what proves its identity stays with the managers. */
export function publicNode(node: Node): Node {
  return { ...node, secretDigest: "" };
}
