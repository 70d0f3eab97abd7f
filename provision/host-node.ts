/** What a host's swarmd says it is in which cluster. */
import { fromJsonString } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { GetInfoResponseSchema } from "#proto/gen/swarm/v1/node_pb.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Remote } from "./remote.ts";

export interface HostNode {
  /** Empty while the host belongs to no cluster, as is the next. */
  readonly nodeId: string;
  readonly clusterId: string;
  readonly isManager: boolean;
  /** The manager waits for the unlock key. */
  readonly isLocked: boolean;
  readonly version: string;
}

/** Undefined where no swarmd answers, or nothing is installed. */
export async function readHostNode(remote: Remote): Promise<HostNode | undefined> {
  const { status, stdout } = await remote.run(["swarmctl", "info", "--format", "json"]);
  return status === 0 ? parseHostNode(stdout) : undefined;
}

export function parseHostNode(text: string): HostNode {
  try {
    const info = fromJsonString(GetInfoResponseSchema, text, { ignoreUnknownFields: true });
    const { nodeId, clusterId, role, locked, version } = info;
    return { nodeId, clusterId, isManager: role === NodeRole.MANAGER, isLocked: locked, version };
  } catch (thrown) {
    throw new Fault("data-loss", "what its swarmctl info prints cannot be read", { cause: thrown });
  }
}
