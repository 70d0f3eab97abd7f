/** Changes the cluster's spec, or makes its tokens and keys new, from the state that there is. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { UpdateClusterRequestSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Cluster } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ClusterSpec, ClusterSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { ControlClient } from "../context.ts";
import { retryConflicts } from "../retry-conflicts.ts";

type UpdateRequest = MessageInitShape<typeof UpdateClusterRequestSchema>;
type Rotations = Pick<
  UpdateRequest,
  "rotateWorkerToken" | "rotateManagerToken" | "rotateUnlockKey"
>;

/** The cluster before and after. */
export function changeCluster(
  control: ControlClient,
  change: (spec: ClusterSpec) => ClusterSpec,
  rotations: Rotations = {},
): Promise<{ readonly before: Cluster; readonly after: Cluster }> {
  return retryConflicts(async () => {
    const { cluster: before } = await control.getCluster({});
    if (before === undefined) throw new Fault("internal", "The manager returned no cluster");
    const version = before.meta?.version;
    const { cluster: after = before } = await control.updateCluster({
      ...rotations,
      spec: change(before.spec ?? create(ClusterSpecSchema)),
      ...(version !== undefined && { version }),
    });
    return { before, after };
  });
}
