import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";
import { resolve } from "./resolve.ts";

export function nodeHandlers({
  store,
}: Pick<ControlModules, "store">): Pick<ControlHandlers, "getNode" | "listNodes"> {
  return {
    getNode: async ({ ref }) => ({ node: publicNode(resolve(store, "node", ref)) }),
    listNodes: async () => ({ nodes: store.list("node").map(publicNode) }),
  };
}

/** A node as the API shows it: what proves its identity stays with the managers. */
export function publicNode(node: Node): Node {
  return { ...node, secretDigest: "" };
}
