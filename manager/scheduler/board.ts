/**
 * The nodes while tasks are being placed, and how much work that has been so far. Scratch: it lives for one plan, and makes
 * no more of it than the plan looks at.
 */
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { View } from "../store/store.ts";
import { Candidate } from "./candidate.ts";
import { findObstacle } from "./filters.ts";
import { type Needs, needsOf } from "./needs.ts";
import type { NodeLoads } from "./node-load.ts";
import type { Holding } from "./tally.ts";

/** What a placement takes, measured in looks at a node. */
const placementEffort = 20;

export class Board {
  readonly loads: NodeLoads;
  /** What was done, in looks at a node. */
  effort = 0;
  readonly #view: View;
  readonly #candidates = new Map<string, Candidate>();
  /** Those on which this plan has placed something, by how many tasks they have, or had a moment ago. */
  readonly #raised: Candidate[][] = [];
  /** Where tasks of a service were placed by this plan. */
  readonly #placed = new Map<string, Set<Candidate>>();
  #all: readonly Candidate[] | undefined;
  #groups = 0;

  constructor(view: View, loads: NodeLoads) {
    this.#view = view;
    this.loads = loads;
    for (const nodeId of loads.claimedNodes) {
      const candidate = this.get(nodeId);
      for (const task of loads.claimsOn(nodeId).values()) candidate?.claim(task.id, needsOf(task));
    }
  }

  /** Every node, available or not. */
  get all(): readonly Candidate[] {
    this.#all ??= this.#view.list("node").map((node) => this.#candidateOf(node));
    return this.#all;
  }

  get(nodeId: string): Candidate | undefined {
    const known = this.#candidates.get(nodeId);
    if (known !== undefined) return known;
    const node = this.#view.get("node", nodeId);
    return node && this.#candidateOf(node);
  }

  tasksOf({ node }: Candidate): readonly Task[] {
    return this.#view.tasksOfNode(node.id);
  }

  fits(needs: Needs, candidate: Candidate): boolean {
    this.effort++;
    return findObstacle(needs, candidate) === undefined;
  }

  place(holding: Holding, candidate: Candidate): void {
    this.effort += placementEffort;
    candidate.place(holding);
    (this.#raised[candidate.tasks] ??= []).push(candidate);
    const placed = this.#placed.get(holding.serviceId);
    if (placed === undefined) this.#placed.set(holding.serviceId, new Set([candidate]));
    else placed.add(candidate);
  }

  /** The nodes that have tasks of the service. */
  *ofService(serviceId: string): Iterable<Candidate> {
    for (const nodeId of this.loads.nodesOfService(serviceId)) {
      const candidate = this.get(nodeId);
      if (candidate !== undefined) yield candidate;
    }
    yield* this.#placed.get(serviceId) ?? [];
  }

  /**
   * The available nodes, those with the fewest tasks first, while tasks are placed on some of those that came already. Skips
   * those that the group has seen.
   */
  *walk(see: (candidate: Candidate) => boolean): Generator<Candidate, undefined> {
    for (let level = 0; level < this.loads.levels.length || level < this.#raised.length; level++) {
      for (const nodeId of this.loads.levels[level] ?? []) {
        const candidate = this.get(nodeId);
        if (candidate?.tasks === level && see(candidate)) yield candidate;
      }
      const raised = this.#raised[level] ?? [];
      for (let at = raised.length - 1; at >= 0; at--) {
        const candidate = raised[at];
        if (candidate?.tasks !== level) raised.splice(at, 1);
        else if (see(candidate)) yield candidate;
      }
    }
    return undefined;
  }

  /** Marks nodes as seen: says whether it is for the first time. */
  newGroup(): (candidate: Candidate) => boolean {
    const group = ++this.#groups;
    return (candidate) => {
      const first = candidate.seenBy !== group;
      candidate.seenBy = group;
      return first;
    };
  }

  #candidateOf(node: Node): Candidate {
    let candidate = this.#candidates.get(node.id);
    if (candidate === undefined) {
      this.effort++;
      candidate = new Candidate(node, this.loads.of(node.id));
      this.#candidates.set(node.id, candidate);
    }
    return candidate;
  }
}
