/** All nodes while tasks are being placed, and how much work that has been so far. Scratch: it lives for one plan. */
import { Candidate } from "./candidate.ts";
import { findObstacle, isAvailable } from "./filters.ts";
import { type Needs, needsOf } from "./needs.ts";
import type { NodeLoads } from "./node-load.ts";
import type { Holding } from "./tally.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";

/** What a placement takes, measured in looks at a node. */
const placementEffort = 20;

export class Board {
  readonly candidates: readonly Candidate[];
  readonly loads: NodeLoads;
  /** What was done, in looks at a node. */
  effort: number;
  readonly #byId: ReadonlyMap<string, Candidate>;
  /** The available ones by how many tasks they have. Those that have more by now are left where they were. */
  readonly #levels: Candidate[][] = [];
  /** Where tasks of a service were placed by this plan. */
  readonly #placed = new Map<string, Set<Candidate>>();
  #groups = 0;

  constructor(nodes: readonly Node[], loads: NodeLoads) {
    this.candidates = nodes.map((node) => new Candidate(node, loads.of(node.id)));
    this.loads = loads;
    this.effort = nodes.length;
    this.#byId = new Map(this.candidates.map((candidate) => [candidate.node.id, candidate]));
    for (const candidate of this.candidates) {
      if (isAvailable(candidate)) this.#addToLevel(candidate);
    }
    for (const nodeId of loads.claimedNodes) {
      const candidate = this.#byId.get(nodeId);
      for (const task of loads.claimsOn(nodeId).values()) candidate?.claim(task.id, needsOf(task));
    }
  }

  get(nodeId: string): Candidate | undefined {
    return this.#byId.get(nodeId);
  }

  fits(needs: Needs, candidate: Candidate): boolean {
    this.effort++;
    return findObstacle(needs, candidate) === undefined;
  }

  place(holding: Holding, candidate: Candidate): void {
    this.effort += placementEffort;
    candidate.place(holding);
    this.#addToLevel(candidate);
    const { serviceId } = holding;
    const placed = this.#placed.get(serviceId);
    if (placed === undefined) this.#placed.set(serviceId, new Set([candidate]));
    else placed.add(candidate);
  }

  /** The nodes that have tasks of the service. */
  *ofService(serviceId: string): Iterable<Candidate> {
    for (const nodeId of this.loads.nodesOfService(serviceId)) {
      const candidate = this.#byId.get(nodeId);
      if (candidate !== undefined) yield candidate;
    }
    yield* this.#placed.get(serviceId) ?? [];
  }

  /** The available nodes that a group has not seen yet, those with the fewest tasks first. */
  walk(): Walk {
    return new Walk(this.#levels, ++this.#groups);
  }

  #addToLevel(candidate: Candidate): void {
    const level = (this.#levels[candidate.tasks] ??= []);
    level.push(candidate);
  }
}

/** Finds the way through the levels while tasks are placed, which moves nodes to higher levels only. */
class Walk {
  readonly #levels: Candidate[][];
  readonly #group: number;
  #level = 0;
  #at = 0;

  constructor(levels: Candidate[][], group: number) {
    this.#levels = levels;
    this.#group = group;
  }

  /** Marks a node that is seen out of turn. Whether it is seen for the first time. */
  see(candidate: Candidate): boolean {
    const first = candidate.seenBy !== this.#group;
    candidate.seenBy = this.#group;
    return first;
  }

  /** The next one, which stays the next. */
  peek(): Candidate | undefined {
    for (; this.#level < this.#levels.length; this.#level++, this.#at = 0) {
      const level = this.#levels[this.#level] ?? [];
      for (;;) {
        const candidate = level[this.#at];
        if (candidate === undefined) break;
        if (candidate.tasks !== this.#level) dropAt(level, this.#at);
        else if (candidate.seenBy === this.#group) this.#at++;
        else return candidate;
      }
    }
    return undefined;
  }
}

/** Order does not matter within a level. */
function dropAt(level: Candidate[], at: number): void {
  const last = level.pop();
  if (last !== undefined && at < level.length) level[at] = last;
}
