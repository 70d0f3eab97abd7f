/**
 * The loop that gives PENDING tasks a node. Tasks that no node can take wait here, and are tried again when a node or the
 * cluster's settings change, something ends on a node, or somebody gives up the room that others make for it. Where many wait,
 * those are tried at once that the node can take of which there is news, and all of them once a second.
 */
import type { Ports } from "#proto/ports.ts";
import { SchedulingStrategy, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { clusterOf } from "../cluster.ts";
import { DirtySet, Loop } from "../loop.ts";
import type { Change } from "../store/objects.ts";
import type { Store, View } from "../store/store.ts";
import { isTerminal, isWanted, stateOf } from "../task.ts";
import { Board } from "./board.ts";
import type { Candidate } from "./candidate.ts";
import { needsOf } from "./needs.ts";
import { NodeLoads } from "./node-load.ts";
import { groupKeyOf, inOrder, planSchedule, type SchedulePlan } from "./plan-schedule.ts";

/** What one transaction takes on, so that neither planning nor applying it holds the manager up for long. */
export const partTasksMax = 500;
/** So many blocked tasks are all tried again with every news. */
const retryAtOnceMax = 50;
/** How long more of them wait for what else happens. Swarm's, too. */
export const retryManyMs = 1_000;
/** In looks at a node, of which ten or so take a microsecond. */
export const effortMax = 200_000;

export interface SchedulerModules extends Ports {
  readonly store: Store;
}

export class Scheduler implements AsyncDisposable {
  readonly #modules: SchedulerModules;
  readonly #loads: NodeLoads;
  readonly #dirty = new DirtySet<string>();
  /** Tasks that no node could take. */
  readonly #blocked = new Set<string>();
  /** Nodes of which there was news since the last round, while many tasks were blocked. */
  readonly #freed = new Set<string>();
  /** When many of them are tried again. */
  #retry: Disposable | undefined;
  readonly #loop: Loop;
  readonly #watch: Disposable;

  constructor(modules: SchedulerModules) {
    this.#modules = modules;
    this.#loads = new NodeLoads(modules.store);
    this.#loop = new Loop({ name: "scheduler", round: () => this.#round() }, modules);
    this.#watch = modules.store.watch(({ changes }) => {
      for (const change of changes) this.#onChange(change);
    });
    for (const task of modules.store.list("task")) this.#onTask(undefined, task);
  }

  get failed(): Promise<never> {
    return this.#loop.failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    this.#retry?.[Symbol.dispose]();
    await this.#loop[Symbol.asyncDispose]();
  }

  #onChange(change: Change): void {
    this.#loads.onChange(change);
    if (change.kind === "task") this.#onTask(change.before, change.after);
    if (change.kind === "cluster") this.#retryBlocked();
    if (change.kind !== "node") return;
    const node = change.after ?? change.before;
    if (node !== undefined) this.#retryOn(node.id);
  }

  #onTask(before: Task | undefined, after: Task | undefined): void {
    if (before !== undefined && gaveUpRoom(before, after)) this.#retryBlocked();
    if (after !== undefined && waits(after)) {
      // The note that it is blocked is our own doing and no reason to try again.
      if (this.#blocked.has(after.id)) return;
      this.#dirty.add(after.id);
      this.#loop.wake();
      return;
    }
    const task = after ?? before;
    if (task === undefined) return;
    this.#blocked.delete(task.id);
    if (before === undefined) return;
    const leftNode = before.nodeId !== "" && !isTerminal(before);
    const ended = leftNode && (after === undefined || isTerminal(after));
    if (ended) this.#retryOn(before.nodeId);
  }

  /** There may be room on the node: of many tasks only those are tried at once that fit there. */
  #retryOn(nodeId: string): void {
    this.#retryBlocked();
    if (this.#blocked.size === 0) return;
    this.#freed.add(nodeId);
    this.#loop.wake();
  }

  /** Tries the tasks again that had no node: a few at once, many once a second at most, however much happens meanwhile. */
  #retryBlocked(): void {
    if (this.#blocked.size <= retryAtOnceMax) this.#retryNow();
    else this.#retry ??= this.#modules.clock.timer(retryManyMs, () => this.#retryNow());
  }

  /** Moves the blocked tasks that nodes with news can take to those that this round looks at; no more than a part. */
  #unblock(): void {
    if (this.#freed.size === 0) return;
    const { store } = this.#modules;
    const board = new Board(store, this.#loads);
    const nodes = [...this.#freed].flatMap((id) => board.get(id) ?? []);
    this.#freed.clear();
    // With preemption room is claimed, which a look at one node does not tell of.
    if (clusterOf(store)?.spec?.scheduling?.preemption) return;
    const fitting = new Map<string, readonly Candidate[]>();
    let left = partTasksMax;
    for (const id of this.#blocked) {
      const task = store.get("task", id);
      if (task === undefined) continue;
      const key = groupKeyOf(task);
      const found = fitting.get(key) ?? nodesFor(task, nodes, board);
      fitting.set(key, found);
      if (found.length === 0) continue;
      this.#blocked.delete(id);
      this.#dirty.add(id);
      left -= 1;
      if (left === 0) return;
    }
  }

  #retryNow(): void {
    this.#retry?.[Symbol.dispose]();
    this.#retry = undefined;
    if (this.#blocked.size === 0) return;
    for (const id of this.#blocked) this.#dirty.add(id);
    this.#blocked.clear();
    this.#loop.wake();
  }

  #round(): Promise<undefined> {
    const { store, clock } = this.#modules;
    this.#unblock();
    return this.#dirty.drain(async (ids) => {
      const waiting = inOrder(tasksOf(store, ids)).map(({ id }) => id);
      // In parts, between which others have their turn.
      for (let done = 0; done < waiting.length; ) {
        if (done > 0) await clock.sleep(0);
        const part = waiting.slice(done, done + partTasksMax);
        let left = 0;
        await store.writeInParts((view) => {
          const plan = this.#plan(view, part);
          left = plan.rest.length;
          return plan.actions;
        });
        // What is left is the end of the part: a plan takes tasks in this order.
        done += part.length - left;
      }
      return undefined;
    });
  }

  #plan(view: View, ids: readonly string[]): SchedulePlan {
    const tasks = tasksOf(view, ids);
    if (tasks.length === 0) return { actions: [], blocked: new Map(), rest: [] };
    const scheduling = clusterOf(view)?.spec?.scheduling;
    const plan = planSchedule(tasks, {
      view,
      loads: this.#loads,
      strategy: scheduling?.strategy ?? SchedulingStrategy.SPREAD,
      preemption: scheduling?.preemption ?? false,
      nowMs: this.#modules.clock.now(),
      effortMax,
    });
    for (const id of plan.blocked.keys()) this.#blocked.add(id);
    return plan;
  }
}

function tasksOf(view: View, ids: Iterable<string>): readonly Task[] {
  return [...ids].flatMap((id) => view.get("task", id) ?? []).filter(waits);
}

function nodesFor(task: Task, nodes: readonly Candidate[], board: Board): readonly Candidate[] {
  const needs = needsOf(task);
  return nodes.filter(
    (candidate) =>
      (task.nodeId === "" || task.nodeId === candidate.node.id) && board.fits(needs, candidate),
  );
}

/** Whether others were making room for it, which it does not take. */
function gaveUpRoom({ nominatedNodeId }: Task, after: Task | undefined): boolean {
  if (nominatedNodeId === "" || after?.nodeId === nominatedNodeId) return false;
  return after?.nominatedNodeId !== nominatedNodeId || !waits(after);
}

/** Whether a task is the scheduler's to place. */
function waits(task: Task): boolean {
  return stateOf(task) === TaskState.PENDING && isWanted(task);
}
