import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ClusterSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeState, TaskState, TaskStatusSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import type { View } from "../store/store.ts";
import { stateOf } from "../task.ts";
import { openTestStore, testCluster, testNode, testTaskSpec } from "../testing/fixtures.ts";
import { partTasksMax, retryManyMs, Scheduler } from "./scheduler.ts";
import { on, pending } from "./testing/schedule-ground.ts";

const deadlineMs = 10_000;

const whole = { resources: { reservations: { nanoCpus: 4_000_000_000n } } };

function open(t: TestContext) {
  const ground = openTestStore();
  const { store } = ground;
  const ports = { clock: systemClock, random: systemRandom, log: silentLog };
  const scheduler = new Scheduler({ ...ports, store });
  t.after(() => scheduler[Symbol.asyncDispose]());
  const until = async (what: string, holds: (view: View) => boolean) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = () => {
      if (holds(store)) resolve();
    };
    using _watch = store.watch(look);
    using _timer = systemClock.timer(deadlineMs, () => reject(new Error(`never came: ${what}`)));
    look();
    await promise;
  };
  const task = (id: string) => store.get("task", id);
  return { ...ground, until, task };
}

function isOn(task: Task | undefined, nodeId: string): boolean {
  return task?.nodeId === nodeId && stateOf(task) === TaskState.ASSIGNED;
}

test("scheduler, a large batch is written in parts, and all of it", async (t) => {
  const { store, put, until } = open(t);
  await put("node", testNode(1), testNode(2));
  let commits = 0;
  using _watch = store.watch(() => {
    commits++;
  });
  await put("task", ...Array.from({ length: 2_500 }, (_, index) => pending(`t${index}`)));
  await until("all assigned", (view) =>
    view.list("task").every((task) => stateOf(task) === TaskState.ASSIGNED),
  );
  assert.equal(store.tasksOfNode("node1").length, 1_250);
  assert.equal(commits, 1 + 2_500 / partTasksMax);
});

test("scheduler, who waits is tried again when a node comes and when a task ends", async (t) => {
  const { put, until, task } = open(t);
  const spec = testTaskSpec(whole);
  await put("task", pending("a", { spec }), pending("b", { spec, serviceId: "b" }));
  await until("a reason", () => task("b")?.status?.err === "no suitable node");
  await put("node", testNode(1));
  await until("one placed", () => isOn(task("a"), "node1") !== isOn(task("b"), "node1"));
  const [placed, other] = isOn(task("a"), "node1") ? (["a", "b"] as const) : (["b", "a"] as const);
  await until("another reason", () => /insufficient CPU/.test(task(other)?.status?.err ?? ""));
  const first = task(placed);
  assert.ok(first !== undefined);
  const status = create(TaskStatusSchema, { state: TaskState.COMPLETE });
  await put("task", { ...first, desiredState: TaskState.SHUTDOWN, status });
  await until("the other placed", () => isOn(task(other), "node1"));
});

test("scheduler, many who wait are tried again a second later, however much happens meanwhile", async (t) => {
  const { put, until } = open(t);
  await put("task", ...Array.from({ length: partTasksMax + 1 }, (_, n) => pending(`t${n}`)));
  await until("all told", (view) =>
    view.list("task").every(({ status }) => status?.err === "no suitable node"),
  );
  const beganMs = systemClock.monotonic();
  await put("node", testNode(1));
  const assigned = (view: View) =>
    view.list("task").filter((task) => stateOf(task) === TaskState.ASSIGNED).length;
  await until("one part assigned", (view) => assigned(view) === partTasksMax);
  await until("all assigned", (view) => assigned(view) === partTasksMax + 1);
  const tookMs = systemClock.monotonic() - beganMs;
  assert.ok(tookMs >= retryManyMs - 1, `${tookMs} ms`);
});

test("scheduler, of many who wait those that a node can take are placed at once, and the others left alone", async (t) => {
  const { put, until, task, store } = open(t);
  const large = testTaskSpec({ resources: { reservations: { memoryBytes: 1n << 60n } } });
  const many = Array.from({ length: 200 }, (_, n) => pending(`t${n}`, { spec: large }));
  const other = pending("other", { spec: testTaskSpec(whole), serviceId: "other" });
  await put("node", testNode(1));
  await put("task", on("node1", "first", { serviceId: "first", spec: testTaskSpec(whole) }));
  await put("task", ...many, other);
  await until("all told", (view) =>
    view.list("task").every(({ id, status }) => id === "first" || status?.err !== ""),
  );
  const first = task("first");
  assert.ok(first !== undefined);
  const written = new Set<string>();
  using _watch = store.watch(({ changes }) => {
    for (const { kind, after } of changes) if (kind === "task" && after) written.add(after.id);
  });
  const beganMs = systemClock.monotonic();
  const status = create(TaskStatusSchema, { state: TaskState.COMPLETE });
  await put("task", { ...first, desiredState: TaskState.SHUTDOWN, status });
  await until("the one that fits", () => isOn(task("other"), "node1"));
  assert.ok(systemClock.monotonic() - beganMs < retryManyMs);
  assert.deepEqual([...written].toSorted(), ["first", "other"]);
});

test("scheduler, a task with a node is assigned there, or waits until that node can take it", async (t) => {
  const { put, until, task } = open(t);
  const down = testNode(2, { status: { state: NodeState.DOWN } });
  await put("node", testNode(1), down);
  await put("task", pending("a", { nodeId: "node1" }), pending("b", { nodeId: "node2" }));
  await until("the first", () => isOn(task("a"), "node1"));
  const reason = "no suitable node (h2 not available for new tasks)";
  await until("a reason", () => task("b")?.status?.err === reason);
  await put("node", testNode(2));
  await until("the second", () => isOn(task("b"), "node2"));
});

test("scheduler, lower priorities give way as soon as the cluster lets them", async (t) => {
  const { put, until, task } = open(t);
  await put("cluster", testCluster());
  await put("node", testNode(1));
  await put("task", on("node1", "low", { serviceId: "low", spec: testTaskSpec(whole) }));
  await put("task", pending("high", { spec: testTaskSpec({ ...whole, priority: 1 }) }));
  await until("a reason", () => /insufficient CPU/.test(task("high")?.status?.err ?? ""));
  const spec = create(ClusterSpecSchema, { scheduling: { preemption: true } });
  await put("cluster", { ...testCluster(), spec });
  await until("the end of the other", () => task("low")?.desiredState === TaskState.SHUTDOWN);
  const low = task("low");
  assert.ok(low !== undefined);
  const status = create(TaskStatusSchema, { state: TaskState.SHUTDOWN });
  await put("task", { ...low, status });
  await until("its place", () => isOn(task("high"), "node1"));
});
