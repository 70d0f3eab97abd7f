/** Changes a node's spec, from the one that there is. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type NodeSpec, NodeSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { ControlClient } from "../context.ts";
import { retryConflicts } from "../retry-conflicts.ts";

/** The node as it was before. A change to nothing is not sent. */
export function changeNode(
  control: ControlClient,
  ref: string,
  change: (spec: NodeSpec) => NodeSpec | undefined,
): Promise<Node> {
  return retryConflicts(async () => {
    const { node } = await control.getNode({ ref });
    if (node === undefined) throw new Fault("internal", "The manager returned no node");
    const spec = change(node.spec ?? create(NodeSpecSchema));
    if (spec === undefined) return node;
    const version = node.meta?.version;
    await control.updateNode({ ref: node.id, spec, ...(version !== undefined && { version }) });
    return node;
  });
}
