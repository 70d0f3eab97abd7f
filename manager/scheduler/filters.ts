/**
 * What makes a node unfit for a task. Each filter can also say, in Swarm's words, on how many nodes it was what stood in
 * the way. Order matters: a node is counted under the first filter that it fails.
 */
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeAvailability, NodeState, PublishMode } from "#proto/gen/swarm/v1/types_pb.ts";
import { type PortKey, portKey } from "../allocator/port-book.ts";
import { type Reservation, reservationOf } from "./node-load.ts";
import { runsAnyOf } from "./platform.ts";

/** A node as it stands while a batch of tasks is being placed. */
export interface Candidate {
  readonly node: Node;
  readonly free: Reservation;
  readonly tasksOfService: number;
  readonly takenPorts: ReadonlySet<PortKey>;
}

export interface Filter {
  readonly name: string;
  /** Whether the task may run on the node. */
  check(task: Task, candidate: Candidate): boolean;
  /** Why not, for `count` nodes. */
  explain(count: number): string;
}

const ready: Filter = {
  name: "ready",
  check: (_, { node }) =>
    node.status?.state === NodeState.READY &&
    (node.spec?.availability ?? NodeAvailability.ACTIVE) === NodeAvailability.ACTIVE,
  explain: (count) => `${nodes(count)} not available for new tasks`,
};

const resources: Filter = {
  name: "resources",
  check: (task, { free }) => {
    const { nanoCpus, memoryBytes } = reservationOf(task);
    return (
      (nanoCpus === 0 || nanoCpus <= free.nanoCpus) &&
      (memoryBytes === 0 || memoryBytes <= free.memoryBytes)
    );
  },
  explain: (count) => `insufficient resources on ${nodes(count)}`,
};

const hostPorts: Filter = {
  name: "host ports",
  check: ({ endpoint }, { takenPorts }) =>
    (endpoint?.ports ?? []).every(
      (port) => port.publishMode !== PublishMode.HOST || !takenPorts.has(portKey(port)),
    ),
  explain: (count) => `host-mode port already in use on ${nodes(count)}`,
};

const platform: Filter = {
  name: "platform",
  check: (task, { node }) => runsAnyOf(node, task.spec?.placement?.platforms ?? []),
  explain: (count) => `unsupported platform on ${nodes(count)}`,
};

const maxReplicas: Filter = {
  name: "max replicas",
  check: (task, { tasksOfService }) => {
    const limit = Number(task.spec?.placement?.maxReplicas ?? 0n);
    return limit === 0 || tasksOfService < limit;
  },
  explain: () => "max replicas per node limit exceed",
};

const encryption: Filter = {
  name: "encryption",
  check: (task, { node }) =>
    !task.networks.some(({ network }) => network?.spec?.encrypted) ||
    (node.description?.encryptionKey ?? "") !== "",
  explain: (count) => `no WireGuard for encrypted networks on ${nodes(count)}`,
};

export const filters: readonly Filter[] = [
  ready,
  resources,
  hostPorts,
  platform,
  encryption,
  maxReplicas,
];

/** The first filter that the node fails. */
export function findObstacle(task: Task, candidate: Candidate): Filter | undefined {
  return filters.find((filter) => !filter.check(task, candidate));
}

/** "no suitable node (…)": the filters by the number of nodes that failed them, the most first. */
export function explainObstacles(obstacles: ReadonlyMap<Filter, number>): string {
  if (obstacles.size === 0) return "no suitable node";
  const reasons = [...obstacles]
    .toSorted(([, a], [, b]) => b - a)
    .map(([filter, count]) => filter.explain(count));
  return `no suitable node (${reasons.join("; ")})`;
}

function nodes(count: number): string {
  return count === 1 ? "1 node" : `${count} nodes`;
}
