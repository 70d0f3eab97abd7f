/** The words that users read and write for a node's states. */
import { NodeAvailability, NodeState, type NodeStatus } from "#proto/gen/swarm/v1/types_pb.ts";
import type { ManagerStatus } from "#proto/gen/swarm/v1/types_pb.ts";
import { Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import { oneOf } from "../flags/parse-flag.ts";

export const availability = oneOf<NodeAvailability>({
  active: NodeAvailability.ACTIVE,
  pause: NodeAvailability.PAUSE,
  drain: NodeAvailability.DRAIN,
});

const availabilityWords: Readonly<Record<NodeAvailability, string>> = {
  [NodeAvailability.ACTIVE]: "Active",
  [NodeAvailability.PAUSE]: "Pause",
  [NodeAvailability.DRAIN]: "Drain",
};

const stateWords: Readonly<Record<NodeState, string>> = {
  [NodeState.UNKNOWN]: "Unknown",
  [NodeState.DOWN]: "Down",
  [NodeState.READY]: "Ready",
  [NodeState.DISCONNECTED]: "Disconnected",
};

export function availabilityWord(value: NodeAvailability | undefined): string {
  return availabilityWords[value ?? NodeAvailability.ACTIVE] ?? "Unknown";
}

export function stateWord(status: NodeStatus | undefined): string {
  return stateWords[status?.state ?? NodeState.UNKNOWN] ?? "Unknown";
}

/** Empty for workers. */
export function managerWord(status: ManagerStatus | undefined): string {
  if (status === undefined) return "";
  if (status.leader) return "Leader";
  return status.reachability === Reachability.UNREACHABLE ? "Unreachable" : "Reachable";
}
