import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import type { View } from "./store/store.ts";
import { isWanted, stateOf } from "./task.ts";
import { testCluster, testNetwork, testNode, testService } from "./testing/fixtures.ts";
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

test("A host's loss makes it DOWN within three periods and its tasks run elsewhere", async () => {
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
  const lostAtMs = performance.now();
  await manager.until((view) => view.get("node", "node2")?.status?.state === NodeState.DOWN);
  const tookMs = performance.now() - lostAtMs;
  assert.ok(tookMs > 150 && tookMs < 700, `took ${tookMs} ms`);
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
