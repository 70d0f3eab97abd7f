import assert from "node:assert/strict";
import { test } from "node:test";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState, RestartCondition, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  openTestStore,
  testCluster,
  testNode,
  testTask,
  testTaskSpec,
} from "../testing/fixtures.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { orphanAfterMs, planHistory, planOrphans, planRemovals } from "./plan-reap.ts";

function dead(age: number, init: Parameters<typeof testTask>[1] = {}): Task {
  return testTask(`dead${age}`, {
    nodeId: "node1",
    status: { state: TaskState.FAILED },
    desiredState: TaskState.SHUTDOWN,
    atMs: 1_000_000 - age,
    ...init,
  });
}

const live = testTask("live", { nodeId: "node1", status: { state: TaskState.RUNNING }, atMs: 2e6 });

function deleted(tasks: readonly Task[], limit?: number): readonly string[] {
  // Unset inside a set message is unset all the same.
  const orchestration = limit === undefined ? {} : { taskHistoryRetentionLimit: BigInt(limit) };
  const spec = { annotations: { name: "default" }, orchestration };
  return planHistory(tasks, testCluster({ spec }))
    .map(({ object }) => object.id)
    .toSorted();
}

const seven = [1, 2, 3, 4, 5, 6, 7].map((age) => dead(age));

test("A slot keeps its five newest dead tasks", () => {
  assert.deepEqual(deleted([live, ...seven]), ["dead6", "dead7"]);
});

test("The cluster's limit holds; a negative one keeps all", () => {
  assert.deepEqual(deleted([live, ...seven], 6), ["dead7"]);
  assert.deepEqual(deleted([live, ...seven], 0).length, 7);
  assert.deepEqual(deleted([live, ...seven], -1), []);
});

test("The history is long enough to count the most attempts", () => {
  const restart = { condition: RestartCondition.ANY, maxAttempts: 5n };
  const counting = { ...live, spec: testTaskSpec({ restart }) };
  assert.deepEqual(deleted([counting, ...seven], 2), ["dead7"]);
});

test("The last task of a slot that ended for good is kept, or the slot would be filled again", () => {
  assert.deepEqual(deleted([dead(1), dead(2)], 0), ["dead2"]);
});

test("A task that never had a node leaves no history", () => {
  const never = dead(1, { nodeId: "", status: { state: TaskState.PENDING } });
  assert.deepEqual(deleted([live, never]), ["dead1"]);
});

test("The last task of a slot whose old one still serves is kept: an update that starts first needs it", () => {
  const serving = { ...live, meta: dead(9).meta };
  assert.deepEqual(deleted([serving, dead(2), dead(3)], 0), ["dead3"]);
});

test("Tasks that still stop are not history", () => {
  const stopping = dead(1, { status: { state: TaskState.RUNNING } });
  assert.deepEqual(deleted([live, stopping], 0), []);
});

test("A task to be removed goes when its end is known, or when no node had it", () => {
  const desiredState = TaskState.REMOVE;
  const tasks = [
    dead(1, { desiredState }),
    dead(2, { desiredState, status: { state: TaskState.RUNNING } }),
    dead(3, { desiredState, status: { state: TaskState.PENDING }, nodeId: "" }),
    dead(4),
  ];
  assert.deepEqual(
    planRemovals(tasks).map(({ object }) => object.id),
    ["dead1", "dead3"],
  );
});

test("Tasks of a DOWN node wait for it for a day; those of a node that is gone do not wait", async () => {
  const clock = new FakeClock();
  const { store, put, remove } = openTestStore(clock);
  const status = { state: TaskState.RUNNING };
  const node = testNode(1, { status: { state: NodeState.DOWN } });
  await put("node", node);
  await put("task", dead(1, { status, desiredState: TaskState.REMOVE }), dead(2, { status }), {
    ...live,
    id: "wanted",
  });
  const downAtMs = clock.now();
  const early = planOrphans(store, "node1", downAtMs + orphanAfterMs - 1);
  assert.deepEqual([early.actions, early.wakeAtMs], [[], downAtMs + orphanAfterMs]);
  const said = (nowMs: number) =>
    planOrphans(store, "node1", nowMs).actions.map(
      ({ action, object }) => `${action} ${object.id}`,
    );
  assert.deepEqual(said(downAtMs + orphanAfterMs), ["remove dead1", "update dead2"]);
  await remove("node", node);
  assert.deepEqual(said(downAtMs), ["remove dead1", "update dead2"]);
});
