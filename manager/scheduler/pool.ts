/**
 * The nodes of which a group of equal tasks takes the best one after the other. Within a group a node that does not fit any
 * more never fits again: nothing is taken away while tasks are being placed.
 */
import { SchedulingStrategy } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Board } from "./board.ts";
import type { Candidate } from "./candidate.ts";
import { Heap } from "./heap.ts";
import type { Needs } from "./needs.ts";

export interface Pool {
  /** The best node there is now. */
  best(): Candidate | undefined;
  /** To be called when a task was placed on the best node. */
  settle(): void;
}

export interface PoolOptions {
  readonly needs: Needs;
  readonly strategy: SchedulingStrategy;
  readonly nowMs: number;
}

type Before = (a: Candidate, b: Candidate) => boolean;

export function openPool(board: Board, options: PoolOptions): Pool {
  const { needs, strategy, nowMs } = options;
  const { serviceId, specVersion } = needs;
  const failing = new Set(board.loads.failingNodes(serviceId, specVersion, nowMs));
  const before = strategy === SchedulingStrategy.BINPACK ? fuller : emptier;
  if (before === emptier && needs.spreadOver.length === 0) return new Walker(board, needs, failing);
  const usable = new Set<Candidate>();
  for (const candidate of board.all) {
    prepare(candidate, needs, failing);
    if (board.fits(needs, candidate)) usable.add(candidate);
  }
  return plant(board.all, { board, needs, before, usable, depth: 0 });
}

function prepare(candidate: Candidate, { serviceId }: Needs, failing: ReadonlySet<string>): void {
  candidate.ofService = candidate.wantedOf(serviceId);
  candidate.lastResort = failing.size > 0 && failing.has(candidate.node.id);
}

/** Spread: the fewest tasks of the service, then the fewest in all. */
function emptier(a: Candidate, b: Candidate): boolean {
  if (a.lastResort !== b.lastResort) return b.lastResort;
  if (a.ofService !== b.ofService) return a.ofService < b.ofService;
  return a.tasks < b.tasks;
}

/** Binpack: the most that is reserved, then the most tasks, so that as few nodes as can be have any. */
function fuller(a: Candidate, b: Candidate): boolean {
  if (a.lastResort !== b.lastResort) return b.lastResort;
  const difference = fillOf(a) - fillOf(b);
  if (difference !== 0) return difference > 0;
  return a.tasks > b.tasks;
}

/** The shares of CPU and memory that are reserved, added up. */
function fillOf({ nanoCpus, nanoCpusHeld, memoryBytes, memoryHeld }: Candidate): number {
  return (
    (nanoCpus > 0 ? nanoCpusHeld / nanoCpus : 0) + (memoryBytes > 0 ? memoryHeld / memoryBytes : 0)
  );
}

/**
 * Looks at no more nodes than it must: those that have tasks of the service, and of the others, which it meets in the order
 * of their tasks, as many as are needed to be sure of the best.
 */
class Walker implements Pool {
  readonly #board: Board;
  readonly #needs: Needs;
  readonly #failing: ReadonlySet<string>;
  readonly #see: (candidate: Candidate) => boolean;
  readonly #walk: Iterator<Candidate, undefined>;
  /** Those that come have no fewer tasks than this one, which is seen but not admitted yet. */
  #next: Candidate | undefined;
  readonly #heap = new Heap<Candidate>(emptier);

  constructor(board: Board, needs: Needs, failing: ReadonlySet<string>) {
    this.#board = board;
    this.#needs = needs;
    this.#failing = failing;
    this.#see = board.newGroup();
    for (const candidate of board.ofService(needs.serviceId)) this.#admitUnseen(candidate);
    for (const nodeId of failing) {
      const candidate = board.get(nodeId);
      if (candidate !== undefined) this.#admitUnseen(candidate);
    }
    this.#walk = board.walk(this.#see);
    this.#next = this.#walk.next().value;
  }

  best(): Candidate | undefined {
    let best = fittingTop(this.#heap, (one) => this.#board.fits(this.#needs, one));
    for (;;) {
      const next = this.#next;
      if (next === undefined || (best !== undefined && !mayPrecede(next, best))) return best;
      this.#admit(next);
      this.#next = this.#walk.next().value;
      best = this.#heap.top;
    }
  }

  settle(): void {
    this.#heap.settleTop();
  }

  #admitUnseen(candidate: Candidate): void {
    if (this.#see(candidate)) this.#admit(candidate);
  }

  #admit(candidate: Candidate): void {
    prepare(candidate, this.#needs, this.#failing);
    if (this.#board.fits(this.#needs, candidate)) this.#heap.push(candidate);
  }
}

/** Whether a node without tasks of the service, as `next` may be, comes before the best so far. */
function mayPrecede(next: Candidate, best: Candidate): boolean {
  return best.lastResort || best.ofService > 0 || next.tasks < best.tasks;
}

/** The top that fits, after those that do not any more are gone. */
function fittingTop(
  heap: Heap<Candidate>,
  fits: (candidate: Candidate) => boolean,
): Candidate | undefined {
  for (;;) {
    const { top } = heap;
    if (top === undefined || fits(top)) return top;
    heap.pop();
  }
}

interface Plot {
  readonly board: Board;
  readonly needs: Needs;
  readonly before: Before;
  readonly usable: ReadonlySet<Candidate>;
  /** How many labels have been spread over above this one. */
  readonly depth: number;
}

/** Nodes that have the values of the outer labels in common. */
interface Part extends Pool {
  /** The service's tasks in it, also those on nodes that take no more. */
  readonly ofService: number;
  /** All tasks for each node that takes more, to choose between parts that are equal otherwise. */
  readonly load: number;
}

function plant(nodes: readonly Candidate[], plot: Plot): Part {
  const read = plot.needs.spreadOver[plot.depth];
  if (read === undefined) return new Leaf(nodes, plot);
  const inner = { ...plot, depth: plot.depth + 1 };
  const groups = Map.groupBy(nodes, ({ node }) => read(node));
  return new Branch([...groups.values()].map((group) => plant(group, inner)));
}

class Leaf implements Part {
  ofService = 0;
  readonly #plot: Plot;
  readonly #heap: Heap<Candidate>;
  readonly #size: number;
  #tasks = 0;

  constructor(nodes: readonly Candidate[], plot: Plot) {
    const usable = nodes.filter((candidate) => plot.usable.has(candidate));
    this.#plot = plot;
    this.#heap = new Heap(plot.before, usable);
    this.#size = usable.length;
    for (const { ofService } of nodes) this.ofService += ofService;
    for (const { tasks } of usable) this.#tasks += tasks;
  }

  get load(): number {
    return this.#size === 0 ? Infinity : this.#tasks / this.#size;
  }

  best(): Candidate | undefined {
    const { board, needs } = this.#plot;
    return fittingTop(this.#heap, (one) => board.fits(needs, one));
  }

  settle(): void {
    this.#heap.settleTop();
    this.ofService++;
    this.#tasks++;
  }
}

/**
 * Gives to the part that has the fewest tasks of the service. Nodes without the label are a part like the others, as in
 * Swarm.
 */
class Branch implements Part {
  ofService = 0;
  readonly #heap: Heap<Part>;

  constructor(parts: readonly Part[]) {
    this.#heap = new Heap(lighter, parts);
    for (const { ofService } of parts) this.ofService += ofService;
  }

  get load(): number {
    return this.#heap.top?.load ?? Infinity;
  }

  best(): Candidate | undefined {
    for (;;) {
      const { top } = this.#heap;
      const best = top?.best();
      if (top === undefined || best !== undefined) return best;
      this.#heap.pop();
    }
  }

  settle(): void {
    this.#heap.top?.settle();
    this.#heap.settleTop();
    this.ofService++;
  }
}

function lighter(a: Part, b: Part): boolean {
  return a.ofService === b.ofService ? a.load < b.load : a.ofService < b.ofService;
}
