/**
 * A NetworkEndpoint as it travels: without what its other fields say. Each node of a network is sent all of the network's
 * endpoints, so that these bytes are most of what managers send in a large cluster. Pure; the one undoes the other.
 */
import type { NetworkEndpoint } from "./gen/swarm/v1/dispatcher_pb.ts";

export function packEndpoint(endpoint: NetworkEndpoint): NetworkEndpoint {
  const isUsual = endpoint.taskName === usualTaskName(endpoint);
  return { ...endpoint, id: "", taskName: isUsual ? "" : endpoint.taskName };
}

export function unpackEndpoint(endpoint: NetworkEndpoint): NetworkEndpoint {
  const { id, taskId, networkId, taskName } = endpoint;
  return {
    ...endpoint,
    id: id || `${taskId}/${networkId}`,
    taskName: taskName || usualTaskName(endpoint),
  };
}

/** As the orchestrator names a service's tasks: by slot, or by node where each node has one. */
function usualTaskName({ serviceName, slot, nodeId, taskId }: NetworkEndpoint): string {
  return serviceName === "" ? "" : `${serviceName}.${slot === 0n ? nodeId : slot}.${taskId}`;
}
