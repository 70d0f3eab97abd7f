/** For a manager that goes on alone: what the store says of the others must agree with the log, of which they are no more. */
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { asWorker } from "../node.ts";
import type { Log } from "../store/log.ts";
import type { Store } from "../store/store.ts";

/**
 * Makes every manager but this node a worker. Those that come back find it in their sessions, and clean up. Waits for what
 * the log holds, without which the store does not know them all.
 */
export async function castOutManagers(
  nodeId: string,
  { store, replication }: { readonly store: Store; readonly replication: Pick<Log, "barrier"> },
): Promise<void> {
  await replication.barrier();
  await store.write((view) =>
    view
      .list("node")
      .filter(
        (node) =>
          node.id !== nodeId &&
          (node.role === NodeRole.MANAGER || node.spec?.desiredRole === NodeRole.MANAGER),
      )
      .map((node) => ({ action: "update", kind: "node", object: asWorker(node) })),
  );
}
