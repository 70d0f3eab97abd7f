import assert from "node:assert/strict";
import { test } from "node:test";
import {
  NodeAvailability,
  NodeState,
  RestartCondition,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import type { View } from "./store/store.ts";
import { isWanted, stateOf } from "./task.ts";
import {
  openTestStore,
  testCluster,
  testNetwork,
  testNode,
  testService,
} from "./testing/fixtures.ts";
import { TestAgent } from "./testing/test-agent.ts";
import { startTestManager } from "./testing/test-manager.ts";

const fast = testCluster({
  spec: { annotations: { name: "default" }, dispatcher: { heartbeatPeriod: durationFromMs(100) } },
});

function running(view: View, replicas: number): boolean {
  const tasks = view.list("task").filter(isWanted);
  return tasks.length === replicas && tasks.every((task) => stateOf(task) === TaskState.RUNNING);
}

test("A service's tasks go from creation over two agents to RUNNING, and are gone after its removal", async () => {
  await using manager = await startTestManager();
  await manager.put("cluster", testCluster());
  await manager.put("node", testNode(1), testNode(2));
  using one = new TestAgent({ nodeId: "node1", address: manager.address, runs: true });
  using two = new TestAgent({ nodeId: "node2", address: manager.address, runs: true });
  await Promise.all([one.connect(), two.connect()]);
  await manager.put("network", testNetwork("net"));
  const service = testService({ replicas: 6, task: { networks: [{ target: "net" }] } });
  await manager.put("service", service);
  await manager.until((view) => running(view, 6));
  await one.until(() => servingOf(one) === 6);
  await two.until(() => servingOf(two) === 6);
  assert.equal(one.tasks.length, 3);
  assert.equal(two.tasks.length, 3);
  assert.ok(one.items.has("peer:node2"));
  assert.ok(!one.items.has("peer:node1"));

  await manager.remove("service", service);
  await manager.until((view) => view.list("task").length === 0);
  await one.until(() => one.tasks.length === 0 && !one.items.has("network:network-net"));
});

test("A lost host's tasks run elsewhere, and its endpoints are gone from the others", async () => {
  await using manager = await startTestManager();
  await manager.put("cluster", fast);
  await manager.put("node", testNode(1), testNode(2));
  const heartbeatMs = 100;
  using one = new TestAgent({ nodeId: "node1", address: manager.address, runs: true, heartbeatMs });
  const two = new TestAgent({ nodeId: "node2", address: manager.address, runs: true, heartbeatMs });
  try {
    await Promise.all([one.connect(), two.connect()]);
    await manager.put("network", testNetwork("net"));
    const service = testService({ replicas: 4, task: { networks: [{ target: "net" }] } });
    await manager.put("service", service);
    await manager.until((view) => running(view, 4));
  } finally {
    two[Symbol.dispose]();
  }
  await manager.until((view) => view.get("node", "node2")?.status?.state === NodeState.DOWN);
  await manager.until((view) => running(view, 4));
  await one.until(() => servingOf(one) === 4 && one.tasks.length === 4);
  // The lost node's endpoints are gone from the others.
  const homes = [...one.items.values()].flatMap((item) =>
    item.case === "endpoint" ? item.value.nodeId : [],
  );
  assert.deepEqual(new Set(homes), new Set(["node1"]));
});

function servingOf(agent: TestAgent): number {
  return [...agent.items.values()].filter((item) => item.case === "endpoint" && item.value.serving)
    .length;
}

test("An update replaces all tasks one after the other, none of them twice", async () => {
  await using manager = await startTestManager();
  await manager.put("cluster", testCluster());
  await manager.put("node", testNode(1), testNode(2));
  using one = new TestAgent({ nodeId: "node1", address: manager.address, runs: true });
  using two = new TestAgent({ nodeId: "node2", address: manager.address, runs: true });
  await Promise.all([one.connect(), two.connect()]);
  await manager.put("service", testService({ replicas: 4 }));
  await manager.until((view) => running(view, 4));
  let least = 4;
  using _watch = manager.store.watch(() => {
    const up = manager.store.list("task").filter((task) => stateOf(task) === TaskState.RUNNING);
    least = Math.min(least, up.length);
  });
  const image = { runtime: { case: "container", value: { image: "busybox:2" } } } as const;
  await manager.put("service", testService({ replicas: 4, version: 2, task: image }));
  await manager.until((view) => running(view, 4) && onVersion(view, 2n) === 4);
  assert.equal(manager.store.list("task").length, 8);
  assert.equal(least, 3);
});

test("A new leader goes on where the one before stopped", async () => {
  const test = openTestStore();
  await test.put("cluster", testCluster());
  await test.put("node", testNode(1));
  {
    await using before = await startTestManager({ test });
    using agent = new TestAgent({ nodeId: "node1", address: before.address, runs: true });
    await agent.connect();
    await test.put("service", testService({ replicas: 2 }));
    await before.until((view) => running(view, 2));
  }
  // Nobody leads while the user scales.
  await test.put("service", testService({ replicas: 5 }));
  await using after = await startTestManager({ test });
  using agent = new TestAgent({ nodeId: "node1", address: after.address, runs: true });
  await agent.connect();
  await after.until((view) => running(view, 5));
  assert.equal(test.store.list("task").length, 5);
});

test("A task that fails is replaced at delay 0, and the slot's history stays within its limit", async () => {
  await using manager = await startTestManager();
  await manager.put("cluster", testCluster());
  await manager.put("node", testNode(1));
  using agent = new TestAgent({ nodeId: "node1", address: manager.address, runs: true });
  await agent.connect();
  const restart = {
    condition: RestartCondition.ANY,
    delay: durationFromMs(0),
    maxAttempts: 1n,
  };
  await manager.put("service", testService({ task: { restart } }));
  await manager.until((view) => running(view, 1));
  const [first] = manager.store.list("task");
  await agent.report(first?.id ?? "", TaskState.FAILED);
  await manager.until((view) => running(view, 1));
  const second = manager.store.list("task").find(isWanted);
  assert.notEqual(second?.id, first?.id);
  assert.equal(second?.slot, 1n);
  // One restart was allowed.
  await agent.report(second?.id ?? "", TaskState.FAILED);
  await manager.until((view) => !view.list("task").some(isWanted));
  assert.equal(manager.store.list("task").length, 2);
});

test("A removed service's task on a lost node is deleted when the node is back and has reported", async () => {
  await using manager = await startTestManager();
  await manager.put("cluster", fast);
  await manager.put("node", testNode(1));
  const options = { nodeId: "node1", address: manager.address, runs: true, heartbeatMs: 50 };
  const service = testService();
  {
    using agent = new TestAgent(options);
    await agent.connect();
    await manager.put("service", service);
    await manager.until((view) => running(view, 1));
  }
  await manager.until((view) => view.get("node", "node1")?.status?.state === NodeState.DOWN);
  await manager.remove("service", service);
  await manager.until((view) => view.list("task").every((task) => !isWanted(task)));
  assert.ok(manager.store.list("task").length > 0);
  using back = new TestAgent(options);
  await back.connect();
  await manager.until((view) => view.list("task").length === 0);
});

test("A drained node's tasks move, and none come to it", async () => {
  await using manager = await startTestManager();
  await manager.put("cluster", testCluster());
  await manager.put("node", testNode(1), testNode(2));
  using one = new TestAgent({ nodeId: "node1", address: manager.address, runs: true });
  using two = new TestAgent({ nodeId: "node2", address: manager.address, runs: true });
  await Promise.all([one.connect(), two.connect()]);
  await manager.put("service", testService({ replicas: 4 }));
  await manager.until((view) => running(view, 4));
  const node = manager.store.get("node", "node2");
  assert.ok(node?.spec);
  const spec = { ...node.spec, availability: NodeAvailability.DRAIN };
  await manager.put("node", { ...node, spec });
  await manager.until(
    (view) => running(view, 4) && view.tasksOfNode("node2").every((task) => !isWanted(task)),
  );
});

test("Without a node tasks wait and say why; the first node gets them all", async () => {
  await using manager = await startTestManager();
  await manager.put("cluster", testCluster());
  await manager.put("service", testService({ replicas: 2 }));
  const waits = (view: View) => view.list("task").map(({ status }) => status?.err);
  await manager.until((view) => waits(view)[1] === "no suitable node");
  await manager.put("node", testNode(1, { status: {} }));
  await manager.until(
    (view) => waits(view)[1] === "no suitable node (1 node not available for new tasks)",
  );
  using agent = new TestAgent({ nodeId: "node1", address: manager.address, runs: true });
  await agent.connect();
  await manager.until((view) => running(view, 2));
  assert.deepEqual(waits(manager.store), ["", ""]);
});

function onVersion(view: View, version: bigint): number {
  return view.list("task").filter((task) => isWanted(task) && task.specVersion?.index === version)
    .length;
}
