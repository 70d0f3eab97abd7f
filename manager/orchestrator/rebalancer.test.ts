import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Node, Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  NodeState,
  TaskState,
  UpdateState,
  UpdateStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { silentLog, systemRandom } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import {
  openTestStore,
  testCluster,
  testNode,
  testService,
  testTask,
} from "../testing/fixtures.ts";
import { untilStore } from "../testing/until.ts";
import { Rebalancer, steadyMs } from "./rebalancer.ts";

/** Four tasks of one service on the first of two nodes, and a rebalancer under a clock that the test moves. */
async function openGround(
  options: { readonly auto?: boolean; readonly update?: UpdateState } = {},
) {
  const clock = new FakeClock();
  const ground = openTestStore(clock);
  const { store, put } = ground;
  const scheduling = { autoRebalance: options.auto ?? false };
  await put("cluster", testCluster({ spec: { scheduling } }));
  await put("node", testNode(1), testNode(2));
  const service = testService({ replicas: 4 });
  if (options.update !== undefined) {
    service.updateStatus = create(UpdateStatusSchema, { state: options.update });
  }
  await put("service", service);
  const tasks = [1n, 2n, 3n, 4n].map((slot) =>
    testTask(`t${slot}`, { slot, nodeId: "node1", status: { state: TaskState.RUNNING } }),
  );
  await put("task", ...tasks);
  const marked = () =>
    store
      .list("task")
      .filter(({ moves }) => moves)
      .map(({ id }) => id);
  const change = async (given: Partial<Service>) => {
    const stored = store.get("service", service.id);
    assert.ok(stored !== undefined);
    await put("service", { ...stored, ...given });
  };
  const numbers = () => {
    const { rebalances, rebalancesBegun, rebalancesDone } = store.get("service", service.id) ?? {};
    return [rebalances, rebalancesBegun, rebalancesDone];
  };
  /** As its orchestrator does. */
  const move = async (id: string) => {
    const task = store.get("task", id);
    assert.ok(task !== undefined);
    await put("task", { ...task, desiredState: TaskState.SHUTDOWN });
    const { slot, status } = task;
    await put(
      "task",
      testTask(`${id}new`, { slot, nodeId: "node2", status: { ...status } as never }),
    );
  };
  const start = () => new Rebalancer({ store, clock, log: silentLog, random: systemRandom });
  return { ...ground, clock, marked, change, numbers, move, start };
}

/** A round that finds nothing to do leaves no trace; in memory it takes a few turns. */
async function roundsDone(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
}

test("rebalancer, asked for it marks what shall move, and is done when that has moved", async () => {
  const ground = await openGround();
  {
    await using _leader = ground.start();
    await roundsDone();
    assert.deepEqual(ground.marked(), []);
    await ground.change({ rebalances: 1n });
    await untilStore(ground.store, () => ground.marked().length > 0);
    assert.deepEqual(ground.marked(), ["t3", "t4"]);
    assert.deepEqual(ground.numbers(), [1n, 1n, 0n]);
    await ground.move("t4");
  }
  await using _next = ground.start();
  await roundsDone();
  assert.deepEqual(ground.numbers(), [1n, 1n, 0n], "a new leader waits for the rest");
  await ground.move("t3");
  await untilStore(ground.store, () => ground.numbers()[2] === 1n);
  await ground.change({ rebalances: 2n });
  await untilStore(ground.store, () => ground.numbers()[2] === 2n);
  assert.deepEqual(ground.marked(), ["t3", "t4"], "what is even is left as it is");
});

test("rebalancer, by itself it waits until a node has been there for a while", async () => {
  const ground = await openGround({ auto: true });
  const setNode = (state: NodeState) =>
    ground.put("node", testNode(2, { status: { state } }) satisfies Node);
  await setNode(NodeState.DOWN);
  await using _leader = ground.start();
  await roundsDone();
  ground.clock.advance(steadyMs);
  await roundsDone();
  assert.deepEqual(ground.marked(), [], "there is one node");
  for (let flap = 0; flap < 5; flap++) {
    await setNode(NodeState.READY);
    await roundsDone();
    ground.clock.advance(steadyMs - 1);
    await roundsDone();
    await setNode(NodeState.DOWN);
  }
  assert.deepEqual(ground.marked(), [], "it never stayed");
  await setNode(NodeState.READY);
  await roundsDone();
  ground.clock.advance(steadyMs);
  await untilStore(ground.store, () => ground.marked().length > 0);
  assert.deepEqual(ground.marked(), ["t3", "t4"]);
  assert.deepEqual(ground.numbers(), [1n, 1n, 0n]);
  await ground.move("t3");
  await ground.move("t4");
  await untilStore(ground.store, () => ground.numbers()[2] === 1n);
  ground.clock.advance(10 * steadyMs);
  await roundsDone();
  assert.deepEqual(ground.numbers(), [1n, 1n, 1n]);
});

test("rebalancer, where it is not wanted nothing moves by itself, and at once when it is", async () => {
  const ground = await openGround();
  await using _leader = ground.start();
  await roundsDone();
  ground.clock.advance(10 * steadyMs);
  await roundsDone();
  assert.deepEqual(ground.marked(), []);
  await ground.put("cluster", testCluster({ spec: { scheduling: { autoRebalance: true } } }));
  await untilStore(ground.store, () => ground.marked().length > 0);
});

for (const [word, update] of [
  ["under way", UpdateState.UPDATING],
  ["paused", UpdateState.PAUSED],
] as const) {
  test(`rebalancer, an update that is ${word} is over before anything moves`, async () => {
    const ground = await openGround({ auto: true, update });
    await using _leader = ground.start();
    await roundsDone();
    ground.clock.advance(steadyMs);
    await roundsDone();
    assert.deepEqual(ground.marked(), []);
    const updateStatus = create(UpdateStatusSchema, { state: UpdateState.COMPLETED });
    await ground.change({ updateStatus });
    await untilStore(ground.store, () => ground.marked().length > 0);
  });
}
