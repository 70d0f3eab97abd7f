/** A service, its tasks, and agents that obey, in memory and under a clock of their own: what an update is planned on. */
import assert from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Node, type Service, type Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeSpecSchema, type TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type Attempt,
  AttemptSchema,
  NodeAvailability,
  TaskState,
  type TaskStatus,
  TaskStatusSchema,
  type UpdateState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import type { Action } from "../../store/objects.ts";
import { isAlive, isTerminal, isWanted, stateOf } from "../../task.ts";
import { testNode, testTask } from "../../testing/fixtures.ts";
import { withSpec } from "../../service-spec.ts";
import type { ServicePlan } from "../plan-places.ts";
import { planService } from "../plan-replicated.ts";
import { rememberingSameSpec } from "../same-spec.ts";

/** More than any update here needs. */
const settleRoundsMax = 200;

export class UpdateGround {
  service: Service;
  nowMs = 1_700_000_000_000;
  /** The image that nodes refuse; "*": each that is made from now on. */
  rejects = "";
  /** The image that no node gets ready with. */
  pulls = "";
  nodes: readonly Node[] = [testNode(1)];
  readonly #tasks = new Map<string, Task>();
  #version = 10n;
  readonly #sameSpec = rememberingSameSpec();
  #made = 0;

  constructor(service: Service) {
    this.service = { ...service, meta: { ...testTask("").meta } as never };
  }

  /** What a user does to a node. */
  setNode(number: number, spec: MessageInitShape<typeof NodeSpecSchema>): void {
    this.nodes = this.nodes.map((node) =>
      node.number === number ? { ...node, spec: create(NodeSpecSchema, spec) } : node,
    );
  }

  /** What the dependency gate does. */
  meetDependencies(): void {
    this.service = { ...this.service, dependenciesMet: true };
    const desiredAt = timestampFromMs(this.nowMs);
    for (const task of this.wanted()) {
      this.#tasks.set(task.id, { ...task, desiredState: TaskState.RUNNING, desiredAt });
    }
  }

  /** What a rebalance chose. */
  move(task: Task): void {
    this.#tasks.set(task.id, { ...task, moves: true });
  }

  setImage(task: TaskSpec): void {
    assert.ok(this.service.spec);
    this.service = withSpec(this.service, { ...this.service.spec, task });
    this.#touch();
  }

  force(): void {
    const task = this.service.spec?.task;
    assert.ok(task !== undefined);
    this.setImage({ ...task, forceUpdate: task.forceUpdate + 1n });
  }

  /** What would be done now. */
  actions(): readonly Action[] {
    return this.#planned().actions;
  }

  /** Plans once, and commits it. */
  plan(): void {
    for (const action of this.#planned().actions) {
      if (action.kind === "service") this.service = action.object;
      if (action.kind !== "task") continue;
      const at = timestampFromMs(this.nowMs);
      const known = this.#tasks.get(action.object.id)?.meta;
      const meta = { ...testTask("").meta, createdAt: at, ...known, updatedAt: at } as never;
      this.#tasks.set(action.object.id, { ...action.object, meta });
    }
    this.#touch();
  }

  /** Until nothing happens any more, or nothing but restarts. The states that the update went through. */
  settle(): readonly UpdateState[] {
    const seen: UpdateState[] = [];
    let calm = 0;
    for (let round = 0; calm < 3 && round < settleRoundsMax; round++) {
      this.plan();
      const state = this.service.updateStatus?.state;
      if (state !== undefined && state !== seen.at(-1)) seen.push(state);
      const news = this.#obey();
      const { wakeAtMs } = this.#planned();
      this.nowMs = Math.max(this.nowMs + 10, news ? 0 : (wakeAtMs ?? 0));
      calm = news || wakeAtMs !== undefined ? 0 : calm + 1;
    }
    return seen;
  }

  until(condition: () => boolean): void {
    for (let round = 0; round < 2_000; round++) {
      if (condition()) return;
      this.plan();
      if (condition()) return;
      this.#obey();
      this.nowMs += 500;
    }
    assert.fail("it does not come to that");
  }

  /** Time goes by, and agents do what they are told. */
  pass(ms: number, obey: () => unknown = () => this.#obey()): void {
    const endMs = this.nowMs + ms;
    while (this.nowMs < endMs) {
      this.plan();
      obey();
      this.nowMs += ms / 20;
    }
  }

  /** One agent tells something, or some time goes by. */
  someNews(choice: number): void {
    this.nowMs += choice % 3 === 0 ? 1_000 : 1;
    const told = [...this.#tasks.values()].filter((task) => this.#next(task) !== undefined);
    const task = told[choice % Math.max(told.length, 1)];
    if (task !== undefined) this.#report(task, this.#next(task));
    else this.nowMs += 1_000;
  }

  wanted(): Task[] {
    return [...this.#tasks.values()]
      .filter(isWanted)
      .toSorted((a, b) => Number(a.slot - b.slot) || (a.id < b.id ? -1 : 1));
  }

  /** The images of the tasks that run, in the order of their slots. */
  imagesRunning(): string[] {
    return this.wanted()
      .filter((task) => stateOf(task) === TaskState.RUNNING)
      .map(imageOf);
  }

  /** All that there are, dead ones included. */
  tasks(): readonly Task[] {
    return [...this.#tasks.values()];
  }

  /** Those that run and may, by their nodes. */
  runningOn(number: number): readonly Task[] {
    return this.wanted().filter(
      (task) => task.nodeId === `node${number}` && stateOf(task) === TaskState.RUNNING,
    );
  }

  /** How many slots have a task that runs and may. */
  slotsUp(): number {
    const up = this.wanted().filter((task) => stateOf(task) === TaskState.RUNNING);
    return new Set(up.map(({ slot }) => slot)).size;
  }

  slotsUnderChange(): number {
    const slots = Map.groupBy(this.#tasks.values(), ({ slot }) => slot);
    return [...slots.values()].filter((tasks) => {
      const wanted = tasks.filter(isWanted);
      return wanted.length !== 1 || wanted.some((task) => stateOf(task) !== TaskState.RUNNING);
    }).length;
  }

  report(task: Task | undefined, state: TaskState): void {
    assert.ok(task !== undefined);
    this.#report(task, { state });
  }

  /** The task's attempt ends by itself, `upMs` after it came up, and its agent starts it again. */
  end(task: Task | undefined, end: { upMs: number | undefined; reason?: string }): void {
    assert.ok(task !== undefined);
    const { upMs, reason = "exit code 1" } = end;
    const number = task.status?.attempt ?? 1;
    const attempt: Attempt = create(AttemptSchema, {
      number,
      endedAt: timestampFromMs(this.nowMs),
      exitCode: 1,
      reason,
      ...(upMs !== undefined && { upAt: timestampFromMs(this.nowMs - upMs) }),
    });
    const attempts = [...(task.status?.attempts ?? []), attempt];
    this.#report(task, { state: TaskState.READY, attempt: number + 1, attempts });
  }

  #planned(): ServicePlan {
    const tasks = [...this.#tasks.values()].filter(
      ({ desiredState }) => desiredState < TaskState.REMOVE,
    );
    return planService({
      service: this.service,
      slots: Map.groupBy(tasks, ({ slot }) => Number(slot)),
      node: (id) => this.nodes.find((node) => node.id === id),
      sameSpec: this.#sameSpec,
      nowMs: this.nowMs,
      newTaskId: () => `new${String(++this.#made).padStart(5, "0")}`,
      logDriver: undefined,
    });
  }

  #obey(): boolean {
    let news = false;
    for (const task of this.#tasks.values()) {
      const next = this.#next(task);
      if (next === undefined) continue;
      this.#report(task, next);
      news = true;
    }
    return news;
  }

  /** What its agent has to say next. */
  #next(task: Task): Partial<TaskStatus> | undefined {
    if (isTerminal(task)) return undefined;
    if (!isWanted(task)) return { state: TaskState.SHUTDOWN };
    const state = stateOf(task);
    if (state === TaskState.NEW) {
      return this.#home(task) === undefined ? undefined : { state: TaskState.ASSIGNED };
    }
    if (state === TaskState.RUNNING) return undefined;
    const image = imageOf(task);
    if (image === this.rejects || (this.rejects === "*" && state !== TaskState.READY)) {
      return { state: TaskState.REJECTED, err: "no such image" };
    }
    if (image !== this.pulls)
      return { state: TaskState.RUNNING, attempt: task.status?.attempt || 1 };
    if (state === TaskState.PREPARING) return undefined;
    return { state: TaskState.PREPARING, message: "pulling the image" };
  }

  #report(task: Task, change: Partial<TaskStatus> = {}): void {
    const at = timestampFromMs(this.nowMs);
    const before = task.status ?? create(TaskStatusSchema);
    const status = { ...before, message: "", ...change, timestamp: at };
    const meta = { ...task.meta, updatedAt: at } as never;
    const nodeId = task.nodeId || (this.#home(task)?.id ?? "");
    this.#tasks.set(task.id, { ...task, nodeId, status, meta });
  }

  /** Where it is put: on the node that takes tasks and has the fewest. */
  #home({ spec }: Task): Node | undefined {
    const most = Number(spec?.placement?.maxReplicas ?? 0n) || Infinity;
    const counts = this.nodes
      .filter((node) => node.spec?.availability === NodeAvailability.ACTIVE)
      .map((node) => {
        const tasks = this.tasks().filter((task) => task.nodeId === node.id && isAlive(task));
        return { node, count: tasks.length };
      });
    const best = counts.toSorted((a, b) => a.count - b.count)[0];
    return best !== undefined && best.count < most ? best.node : undefined;
  }

  #touch(): void {
    const version = { $typeName: "swarm.v1.Version", index: ++this.#version } as const;
    this.service = { ...this.service, meta: { ...this.service.meta, version } as never };
  }
}

function imageOf(task: Task): string {
  const runtime = task.spec?.runtime;
  return runtime?.case === "container" ? runtime.value.image : "";
}
