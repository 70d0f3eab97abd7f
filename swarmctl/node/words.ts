/** The words that users read and write for a node's states. */
import {
  type ManagerStatus,
  NodeAvailability,
  NodeRole,
  NodeState,
  type NodeStatus,
  Reachability,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { oneOf } from "../flags/parse-flag.ts";

export const availability = oneOf<NodeAvailability>({
  active: NodeAvailability.ACTIVE,
  pause: NodeAvailability.PAUSE,
  drain: NodeAvailability.DRAIN,
});

export const role = oneOf<NodeRole>({ worker: NodeRole.WORKER, manager: NodeRole.MANAGER });

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

const reachabilityWords: Readonly<Record<Reachability, string>> = {
  [Reachability.UNKNOWN]: "Unknown",
  [Reachability.UNREACHABLE]: "Unreachable",
  [Reachability.REACHABLE]: "Reachable",
};

/** Empty for workers. */
export function managerWord(status: ManagerStatus | undefined): string {
  if (status === undefined) return "";
  return status.leader ? "Leader" : (reachabilityWords[status.reachability] ?? "Unknown");
}
