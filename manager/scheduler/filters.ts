/**
 * What makes a node unfit for a task. Each filter says what stands in the way, in Swarm's words, with a place for the nodes
 * on which it does. Order matters: a node is counted under the first filter that it fails.
 */
import type { Candidate } from "./candidate.ts";
import { meetsConstraints } from "./constraint.ts";
import type { Needs } from "./needs.ts";
import { isAvailable } from "./node-load.ts";
import { runsAnyOf } from "./platform.ts";

/** What stands in the way, with `nodesMark` in place of the nodes. */
export type Obstacle = string;

const nodesMark = "{nodes}";

type Filter = (needs: Needs, candidate: Candidate) => Obstacle | undefined;

const available: Filter = (_, { node }) =>
  isAvailable(node) ? undefined : `${nodesMark} not available for new tasks`;

const resources: Filter = ({ priority, nanoCpus, memoryBytes, generic }, candidate) => {
  if (nanoCpus > 0 && nanoCpus > candidate.nanoCpusFree(priority)) {
    return `insufficient CPU on ${nodesMark}`;
  }
  if (memoryBytes > 0 && memoryBytes > candidate.memoryFree(priority)) {
    return `insufficient memory on ${nodesMark}`;
  }
  for (const [kind, count] of generic) {
    if (count > candidate.genericFree(kind, priority))
      return `insufficient ${kind} on ${nodesMark}`;
  }
  return undefined;
};

const readable: Filter = ({ constraintProblem }) => constraintProblem;

const constraints: Filter = (needs, { node }) =>
  meetsConstraints(node, needs.constraints)
    ? undefined
    : `scheduling constraints not satisfied on ${nodesMark}`;

const platform: Filter = ({ platforms }, { node }) =>
  runsAnyOf(node, platforms) ? undefined : `unsupported platform on ${nodesMark}`;

const encryption: Filter = ({ encrypted }, { node }) =>
  !encrypted || (node.description?.encryptionKey ?? "") !== ""
    ? undefined
    : `no WireGuard for encrypted networks on ${nodesMark}`;

const hostPorts: Filter = ({ hostPorts: ports, priority }, candidate) => {
  for (const port of ports) {
    if (candidate.hasPort(port, priority)) return `host-mode port already in use on ${nodesMark}`;
  }
  return undefined;
};

const perNodeMax: Filter = (needs, candidate) =>
  needs.perNodeMax === Infinity || candidate.presentOf(needs.serviceId) < needs.perNodeMax
    ? undefined
    : "max replicas per node limit exceed";

/** Swarm's order, but for constraints: a node that was never meant is not one that lacks resources. */
const filters: readonly Filter[] = [
  available,
  readable,
  constraints,
  platform,
  encryption,
  resources,
  hostPorts,
  perNodeMax,
];

/** What hinders a task where others could give way to it. */
const roomFilters: ReadonlySet<Filter> = new Set([resources, hostPorts]);

export function findObstacle(needs: Needs, candidate: Candidate): Obstacle | undefined {
  for (const filter of filters) {
    const obstacle = filter(needs, candidate);
    if (obstacle !== undefined) return obstacle;
  }
  return undefined;
}

/** Whether it could have the node if only there were room. */
export function lacksRoomAtMost(needs: Needs, candidate: Candidate): boolean {
  return filters.every(
    (filter) => roomFilters.has(filter) || filter(needs, candidate) === undefined,
  );
}

/** "no suitable node (…)": what stands in the way, on the most nodes first. */
export function explainObstacles(obstacles: ReadonlyMap<Obstacle, number>): string {
  if (obstacles.size === 0) return "no suitable node";
  const reasons = [...obstacles]
    .toSorted(([, a], [, b]) => b - a)
    .map(([obstacle, count]) =>
      obstacle.replace(nodesMark, count === 1 ? "1 node" : `${count} nodes`),
    );
  return `no suitable node (${reasons.join("; ")})`;
}

/** Of a task that is for this node alone. */
export function explainObstacle(obstacle: Obstacle, { name }: Candidate): string {
  return `no suitable node (${obstacle.replace(nodesMark, name)})`;
}
