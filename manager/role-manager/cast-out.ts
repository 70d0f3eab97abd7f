/** For a manager that goes on alone: what the store says of the others must agree with the log, of which they are no more. */
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Store } from "../store/store.ts";

/** Makes every manager but this node a worker. Those that come back find it in their sessions, and clean up. */
export async function castOutManagers(store: Store, nodeId: string): Promise<void> {
  await store.write((view) =>
    view
      .list("node")
      .filter(
        (node) =>
          node.id !== nodeId &&
          (node.role === NodeRole.MANAGER || node.spec?.desiredRole === NodeRole.MANAGER),
      )
      .map(({ managerStatus: _, ...node }) => ({
        action: "update",
        kind: "node",
        object: {
          ...node,
          role: NodeRole.WORKER,
          ...(node.spec && { spec: { ...node.spec, desiredRole: NodeRole.WORKER } }),
        },
      })),
  );
}
