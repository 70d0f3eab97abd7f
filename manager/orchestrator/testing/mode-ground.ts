/**
 * A service of any mode, some nodes and their agents, in memory and under a clock of their own. What happens is a list of
 * numbers, so that properties find what the shortest of them breaks.
 */
import { create } from "@bufbuild/protobuf";
import type { Node, Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  MetaSchema,
  NodeAvailability,
  NodeState,
  TaskState,
  TaskStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp, timestampFromMs } from "#proto/time.ts";
import type { Action } from "../../store/objects.ts";
import { isTerminal, isWanted, stateOf } from "../../task.ts";
import { testNode } from "../../testing/fixtures.ts";

/** A task may be told to stop and run on for so long until its successor is made. */
export const patienceMs = 60_000;

export interface Look {
  readonly service: Service;
  readonly nodes: readonly Node[];
  readonly node: (id: string) => Node | undefined;
  /** Without those to be removed. */
  readonly tasks: readonly Task[];
  readonly nowMs: number;
  readonly newTaskId: () => string;
}

export class ModeGround {
  service: Service;
  nowMs = 1_700_000_000_000;
  readonly #nodes = new Map<string, Node>();
  readonly #tasks = new Map<string, Task>();
  readonly #plan: (look: Look) => readonly Action[];
  #made = 0;

  constructor(service: Service, nodes: number, plan: (look: Look) => readonly Action[]) {
    this.service = service;
    this.#plan = plan;
    for (let number = 1; number <= nodes; number++) this.setNode(testNode(number));
  }

  get nodes(): readonly Node[] {
    return [...this.#nodes.values()];
  }

  get tasks(): readonly Task[] {
    return [...this.#tasks.values()];
  }

  setNode(node: Node): void {
    this.#nodes.set(node.id, node);
  }

  removeNode(id: string): void {
    this.#nodes.delete(id);
  }

  /** A node goes down, comes back, is paused, drained, or active again. */
  changeNode(choice: number): void {
    const node = this.nodes[choice % this.#nodes.size];
    if (node?.spec === undefined || node.status === undefined) return;
    const what = Math.floor(choice / this.#nodes.size) % 5;
    const availabilities = ["ACTIVE", "PAUSE", "DRAIN"] as const;
    const availability = NodeAvailability[availabilities[what] ?? "ACTIVE"];
    const state = what === 3 ? NodeState.DOWN : NodeState.READY;
    this.setNode({
      ...node,
      spec: { ...node.spec, availability },
      status: { ...node.status, state },
    });
  }

  actions(): readonly Action[] {
    return this.#plan({
      service: this.service,
      nodes: this.nodes,
      node: (id) => this.#nodes.get(id),
      tasks: this.tasks.filter(({ desiredState }) => desiredState < TaskState.REMOVE),
      nowMs: this.nowMs,
      newTaskId: () => `t${String(++this.#made).padStart(5, "0")}`,
    });
  }

  /** Plans once, and commits it. */
  plan(): readonly Action[] {
    const actions = this.actions();
    for (const { kind, action, object } of actions) {
      if (kind === "service") this.service = object;
      if (kind !== "task") continue;
      const at = timestampFromMs(this.nowMs);
      const createdAt = action === "create" ? at : object.meta?.createdAt;
      const meta = create(MetaSchema, { ...(createdAt && { createdAt }), updatedAt: at });
      this.#tasks.set(object.id, { ...object, meta });
    }
    for (const task of this.tasks) {
      const removed = task.desiredState === TaskState.REMOVE;
      if (removed && (isTerminal(task) || !this.#nodes.has(task.nodeId))) {
        this.#tasks.delete(task.id);
      }
    }
    return actions;
  }

  /** One task's agent, or the scheduler, does the next thing about it. `ends`: how a task that runs goes on, if it does. */
  news(choice: number, ends?: TaskState): void {
    this.nowMs += 100;
    const busy = this.tasks.filter((task) => this.#next(task, ends) !== undefined);
    const task = busy[choice % Math.max(busy.length, 1)];
    if (task !== undefined) this.report(task, this.#next(task, ends) ?? stateOf(task));
  }

  report(task: Task, state: TaskState): void {
    const at = timestampFromMs(this.nowMs);
    const status = create(TaskStatusSchema, { state, timestamp: at, attempt: 1 });
    const nodeId = task.nodeId === "" ? this.#freeNode(task) : task.nodeId;
    const meta = create(MetaSchema, { ...task.meta, updatedAt: at });
    this.#tasks.set(task.id, { ...task, nodeId, status, meta });
  }

  /** Until nothing happens any more but by waiting, and then that, too. */
  settle(ends?: TaskState): void {
    for (let calm = 0, round = 0; calm < 3 && round < 5_000; round++) {
      const planned = this.plan().length > 0;
      const busy = this.tasks.some((task) => this.#next(task, ends) !== undefined);
      if (busy) this.news(round, ends);
      else this.nowMs += patienceMs;
      calm = planned || busy ? 0 : calm + 1;
    }
  }

  /** Containers that run, or may, on nodes that are up. */
  running(nodeId: string): readonly Task[] {
    return this.tasks.filter(
      (task) => task.nodeId === nodeId && stateOf(task) === TaskState.RUNNING,
    );
  }

  /** Whether it was told to stop so long ago that nobody waits for it any more. */
  isOverdue(task: Task): boolean {
    return !isWanted(task) && this.nowMs - msFromTimestamp(task.desiredAt) >= patienceMs;
  }

  #next(task: Task, ends: TaskState | undefined): TaskState | undefined {
    const state = stateOf(task);
    if (isTerminal(task)) return undefined;
    if (state === TaskState.NEW) {
      if (!isWanted(task)) return TaskState.SHUTDOWN;
      const node = task.nodeId === "" ? this.#freeNode(task) : task.nodeId;
      return this.#isOpen(node) ? TaskState.ASSIGNED : undefined;
    }
    if (this.#nodes.get(task.nodeId)?.status?.state !== NodeState.READY) return undefined;
    if (!isWanted(task)) return TaskState.SHUTDOWN;
    return state === TaskState.RUNNING ? ends : TaskState.RUNNING;
  }

  #isOpen(nodeId: string): boolean {
    const node = this.#nodes.get(nodeId);
    return (
      node?.status?.state === NodeState.READY &&
      (node.spec?.availability ?? NodeAvailability.ACTIVE) === NodeAvailability.ACTIVE
    );
  }

  #freeNode(task: Task): string {
    const open = this.nodes.filter(({ id }) => this.#isOpen(id));
    return open[Number(task.slot) % Math.max(open.length, 1)]?.id ?? "";
  }
}
