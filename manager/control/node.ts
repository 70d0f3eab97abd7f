import { publicNode } from "../node.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";
import { resolve } from "../store/resolve.ts";

export function nodeHandlers({
  store,
}: Pick<ControlModules, "store">): Pick<ControlHandlers, "getNode" | "listNodes"> {
  return {
    getNode: async ({ ref }) => ({ node: publicNode(resolve(store, "node", ref)) }),
    listNodes: async () => ({ nodes: store.list("node").map(publicNode) }),
  };
}
