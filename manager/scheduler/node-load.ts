/**
 * What every node carries, folded from commits: what tasks hold, who waits for room, recent failures; and the nodes in the
 * order of their tasks, so that a plan need not look at all of them. Invariant: after each commit it equals what a scan of
 * the store would give, but for failures of tasks that history has dropped.
 */
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeAvailability, NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import type { Change } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { isAlive, isWanted, stateOf } from "../task.ts";
import { holdingOf, Tally } from "./tally.ts";

/** This many failures of a service's version within the window make a node the last resort for it. */
export const failuresMax = 5;
export const failureWindowMs = 300_000;

/** The last failures of a service's tasks on a node, at most `failuresMax`. */
interface Failures {
  readonly specVersion: bigint;
  readonly atMs: readonly number[];
}

const noTally = new Tally();
const noClaims: ReadonlyMap<string, Task> = new Map();

export class NodeLoads {
  readonly #tallies = new Map<string, Tally>();
  /** By service: the nodes that have tasks of it. */
  readonly #nodes = new Map<string, Set<string>>();
  /** By service, then by node. */
  readonly #failures = new Map<string, Map<string, Failures>>();
  /** By node, then by task. */
  readonly #claims = new Map<string, Map<string, Task>>();

  /** The nodes that take tasks, by how many they have. */
  readonly #levels: Set<string>[] = [];

  constructor(view: View) {
    for (const node of view.list("node")) this.#onNode(undefined, node);
    for (const task of view.list("task")) this.#onTask(undefined, task);
  }

  of(nodeId: string): Tally {
    return this.#tallies.get(nodeId) ?? noTally;
  }

  /** The tasks, by ID, for which others on the node give way. */
  claimsOn(nodeId: string): ReadonlyMap<string, Task> {
    return this.#claims.get(nodeId) ?? noClaims;
  }

  /** IDs of the nodes that take tasks, at the index of how many they have. */
  get levels(): readonly ReadonlySet<string>[] {
    return this.#levels;
  }

  get claimedNodes(): Iterable<string> {
    return this.#claims.keys();
  }

  nodesOfService(serviceId: string): Iterable<string> {
    return this.#nodes.get(serviceId) ?? [];
  }

  /** Where the service's version failed so often of late that other nodes should be tried. */
  *failingNodes(serviceId: string, specVersion: bigint, nowMs: number): Iterable<string> {
    for (const [nodeId, failures] of this.#failures.get(serviceId) ?? []) {
      if (failures.specVersion !== specVersion) continue;
      const recent = failures.atMs.filter((atMs) => atMs > nowMs - failureWindowMs);
      if (recent.length >= failuresMax) yield nodeId;
    }
  }

  onChange(change: Change): void {
    if (change.kind === "task") this.#onTask(change.before, change.after);
    if (change.kind === "node") this.#onNode(change.before, change.after);
    if (change.kind === "service" && change.after === undefined && change.before !== undefined) {
      this.#failures.delete(change.before.id);
    }
  }

  #onNode(before: Node | undefined, after: Node | undefined): void {
    if (before !== undefined) this.#levels[this.of(before.id).tasks]?.delete(before.id);
    if (after !== undefined && isAvailable(after)) this.#levelOf(after.id).add(after.id);
    if (after !== undefined || before === undefined) return;
    for (const nodes of this.#failures.values()) nodes.delete(before.id);
  }

  #levelOf(nodeId: string): Set<string> {
    const { tasks } = this.of(nodeId);
    while (this.#levels.length <= tasks) this.#levels.push(new Set());
    return this.#levels[tasks] ?? new Set();
  }

  #onTask(before: Task | undefined, after: Task | undefined): void {
    if (before !== undefined && occupies(before)) this.#count(before, -1);
    if (after !== undefined && occupies(after)) this.#count(after, 1);
    if (before !== undefined && claims(before)) {
      const ofNode = this.#claims.get(before.nominatedNodeId);
      ofNode?.delete(before.id);
      if (ofNode?.size === 0) this.#claims.delete(before.nominatedNodeId);
    }
    if (after !== undefined && claims(after)) {
      entry(this.#claims, after.nominatedNodeId, () => new Map()).set(after.id, after);
    }
    if (after !== undefined && hasFailed(after) && (before === undefined || !hasFailed(before))) {
      this.#fail(after);
    }
  }

  #count(task: Task, sign: 1 | -1): void {
    const { nodeId, serviceId } = task;
    const tally = entry(this.#tallies, nodeId, () => new Tally());
    const takesTasks = this.#levels[tally.tasks]?.delete(nodeId) === true;
    tally.add(holdingOf(task), sign);
    if (tally.holders === 0) this.#tallies.delete(nodeId);
    if (takesTasks) this.#levelOf(nodeId).add(nodeId);
    if (tally.ofService(serviceId).present > 0) {
      entry(this.#nodes, serviceId, () => new Set()).add(nodeId);
      return;
    }
    const nodes = this.#nodes.get(serviceId);
    nodes?.delete(nodeId);
    if (nodes?.size === 0) this.#nodes.delete(serviceId);
  }

  #fail(task: Task): void {
    if (task.serviceId === "") return;
    const nodes = entry(this.#failures, task.serviceId, () => new Map<string, Failures>());
    const specVersion = task.specVersion?.index ?? 0n;
    const known = nodes.get(task.nodeId);
    const atMs = [...(known?.specVersion === specVersion ? known.atMs : []), ...failureTimes(task)];
    nodes.set(task.nodeId, {
      specVersion,
      atMs: atMs.toSorted((a, b) => a - b).slice(-failuresMax),
    });
  }
}

export function isAvailable({ status, spec }: Node): boolean {
  return (
    status?.state === NodeState.READY &&
    (spec?.availability ?? NodeAvailability.ACTIVE) === NodeAvailability.ACTIVE
  );
}

/** Holds what it has reserved of its node. */
export function occupies(task: Task): boolean {
  const state = stateOf(task);
  return (
    task.nodeId !== "" && isAlive(task) && state >= TaskState.ASSIGNED && state <= TaskState.RUNNING
  );
}

function claims(task: Task): boolean {
  return task.nominatedNodeId !== "" && stateOf(task) === TaskState.PENDING && isWanted(task);
}

function hasFailed(task: Task): boolean {
  const state = stateOf(task);
  return task.nodeId !== "" && (state === TaskState.FAILED || state === TaskState.REJECTED);
}

/** Every restart in place was a failure, too. */
function failureTimes(task: Task): readonly number[] {
  const { status } = task;
  const earlier = (status?.attempts ?? []).filter(({ number }) => number !== status?.attempt);
  return [
    ...earlier.map(({ endedAt }) => msFromTimestamp(endedAt)),
    msFromTimestamp(status?.timestamp),
  ];
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
