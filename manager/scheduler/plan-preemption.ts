/**
 * Which tasks of lower priority give way to one that no node has room for. Pure, but for the board, which is left as it was.
 *
 * Invariants: nobody gives way to the same or a lower priority, nor to the own service, whose order of updates is its own.
 * Without any one of those that give way there would be no room. Of the nodes, that one is taken whose highest priority that
 * gives way is lowest, then the one where the fewest do.
 *
 * The one that they give way to claims the room on that node (`nominated_node_id`), which keeps it from lower priorities
 * until all have ended: without it, their successors would take the first piece that becomes free, and the end never came.
 */
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { isWanted } from "../task.ts";
import type { Board } from "./board.ts";
import type { Candidate } from "./candidate.ts";
import { lacksRoomAtMost } from "./filters.ts";
import { Heap } from "./heap.ts";
import { type Needs, priorityOf } from "./needs.ts";
import { occupies } from "./node-load.ts";
import { holdingOf } from "./tally.ts";

export interface Eviction {
  readonly candidate: Candidate;
  /** None, where those that stop already make room enough. */
  readonly victims: readonly Task[];
}

/** A task that has to go, and for whom. */
export interface Victim {
  readonly victim: Task;
  readonly task: Task;
}

/** Who gives way in one plan. */
export class Evictions {
  readonly #board: Board;
  readonly #ids = new Set<string>();
  readonly #victims = new Map<Candidate, Victim[]>();

  constructor(board: Board) {
    this.#board = board;
  }

  has(taskId: string): boolean {
    return this.#ids.has(taskId);
  }

  /** They give way to the task, which claims their room. */
  add({ candidate, victims }: Eviction, task: Task, needs: Needs): void {
    candidate.claim(task.id, needs);
    if (victims.length === 0) return;
    const known = this.#victims.get(candidate) ?? [];
    this.#victims.set(candidate, [...known, ...victims.map((victim) => ({ victim, task }))]);
    for (const { id } of victims) this.#ids.add(id);
  }

  /** Those who are needed in the end: whoever gave way to one may be in nobody's way since another went for the next. */
  needed(): readonly Victim[] {
    return [...this.#victims].flatMap(([candidate, victims]) => this.#neededOn(candidate, victims));
  }

  #neededOn(candidate: Candidate, victims: readonly Victim[]): readonly Victim[] {
    const board = this.#board;
    const stopping = board.tasksOf(candidate).filter((task) => occupies(task) && !isWanted(task));
    const inOrder = victims.toSorted((a, b) => keepsBefore(a.victim, b.victim));
    for (const { victim } of inOrder) candidate.remove(holdingOf(victim));
    for (const task of stopping) candidate.remove(holdingOf(task));
    const needed = inOrder.filter(({ victim }) => {
      candidate.restore(holdingOf(victim));
      if (candidate.allClaimsFit((needs) => board.fits(needs, candidate))) return false;
      candidate.remove(holdingOf(victim));
      return true;
    });
    for (const { victim } of needed) candidate.restore(holdingOf(victim));
    for (const task of stopping) candidate.restore(holdingOf(task));
    return needed;
  }
}

export interface PreemptionContext {
  readonly board: Board;
  readonly evictions: Evictions;
}

/** The evictions for a group of equal tasks, one after the other. */
export class Preemption {
  readonly #needs: Needs;
  readonly #context: PreemptionContext;
  readonly #options: Heap<Eviction>;

  constructor(needs: Needs, candidates: readonly Candidate[], context: PreemptionContext) {
    this.#needs = needs;
    this.#context = context;
    const options = candidates.flatMap(
      (candidate) => findEviction(needs, candidate, context) ?? [],
    );
    this.#options = new Heap(isCheaper, options);
  }

  /** The cheapest eviction as things are now. */
  next(): Eviction | undefined {
    for (;;) {
      const cheapest = this.#options.pop();
      if (cheapest === undefined) return undefined;
      // Since it was found, room may have been claimed there.
      const now = findEviction(this.#needs, cheapest.candidate, this.#context);
      if (now === undefined) continue;
      this.#options.push(now);
      if (!isCheaper(cheapest, now)) return now;
    }
  }

  /** Whether a claim made earlier still only waits for tasks that stop. */
  holds(candidate: Candidate): boolean {
    return findEviction(this.#needs, candidate, this.#context)?.victims.length === 0;
  }
}

function findEviction(
  needs: Needs,
  candidate: Candidate,
  { board, evictions }: PreemptionContext,
): Eviction | undefined {
  const { priority, serviceId } = needs;
  board.effort++;
  if (!candidate.hasBelow(priority) || !lacksRoomAtMost(needs, candidate)) return undefined;
  const here = board.tasksOf(candidate).filter(occupies);
  board.effort += here.length;
  const stopping = here.filter((task) => !isWanted(task) || evictions.has(task.id));
  const lower = here
    .filter((task) => isWanted(task) && !evictions.has(task.id))
    .filter((task) => priorityOf(task) < priority && task.serviceId !== serviceId)
    .toSorted(keepsBefore);
  for (const task of [...stopping, ...lower]) candidate.remove(holdingOf(task));
  const victims = board.fits(needs, candidate) ? spare(needs, candidate, lower, board) : undefined;
  for (const task of victims ?? lower) candidate.restore(holdingOf(task));
  for (const task of stopping) candidate.restore(holdingOf(task));
  return victims && { candidate, victims };
}

/** Puts back whom it can, the most important first; the others, which stay removed, have to go. */
function spare(
  needs: Needs,
  candidate: Candidate,
  lower: readonly Task[],
  board: Board,
): readonly Task[] {
  return lower.filter((task) => {
    const holding = holdingOf(task);
    candidate.restore(holding);
    if (board.fits(needs, candidate)) return false;
    candidate.remove(holding);
    return true;
  });
}

/** The higher priority, then whoever has run for longer. */
function keepsBefore(a: Task, b: Task): number {
  return (
    priorityOf(b) - priorityOf(a) ||
    msFromTimestamp(a.meta?.createdAt) - msFromTimestamp(b.meta?.createdAt)
  );
}

function isCheaper(a: Eviction, b: Eviction): boolean {
  const difference = highest(a.victims) - highest(b.victims);
  // Neither has victims: a difference of two infinities is no number.
  if (difference !== 0 && !Number.isNaN(difference)) return difference < 0;
  return a.victims.length < b.victims.length;
}

function highest(victims: readonly Task[]): number {
  return Math.max(...victims.map(priorityOf));
}
