import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type LogSubscription, LogSubscriptionSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { openTestStore, testCluster, testNode, testTask } from "../testing/fixtures.ts";
import { TestAgent } from "../testing/test-agent.ts";
import { startTestManager, type TestManager } from "../testing/test-manager.ts";

/** Unread beats are looked for that long before a node is DOWN. */
const secondLookMs = 100;

/** A task on node 1 that no service stands behind, so that nobody else changes it. */
const assigned = testTask("task1", {
  serviceId: "",
  nodeId: "node1",
  status: { state: TaskState.ASSIGNED },
});

function agentOf(manager: TestManager, nodeId = "node1"): TestAgent {
  return new TestAgent({ nodeId, address: manager.address, heartbeatMs: 0 });
}

function stateOf(manager: TestManager, nodeId = "node1"): NodeState | undefined {
  return manager.store.get("node", nodeId)?.status?.state;
}

test("A session makes its node READY, with its description, address and place, in one transaction", async () => {
  await using manager = await startTestManager();
  const { address } = manager;
  await manager.put("node", testNode(1, { status: {}, description: {} }));
  await manager.put("node", testNode(2, { managerStatus: { address } }));
  const entries = manager.log.length;
  using agent = agentOf(manager);
  const opened = await agent.connect();
  assert.equal(opened.node?.id, "node1");
  assert.deepEqual(opened.managers, [address]);
  assert.equal(opened.heartbeatPeriod?.seconds, 1n);
  const node = manager.store.get("node", "node1");
  assert.equal(node?.status?.state, NodeState.READY);
  assert.equal(node.status.address, "127.0.0.1");
  assert.equal(node.description?.hostname, "node1");
  assert.deepEqual([node.sessionId, node.sessionManagerId], [agent.sessionId, "manager1"]);
  assert.equal(manager.log.length, entries + 1);
});

test("A session says the port of the VXLAN devices, the default one where nothing was chosen", async () => {
  await using manager = await startTestManager();
  await manager.put("node", testNode(1), testNode(2));
  using first = agentOf(manager);
  assert.equal((await first.connect()).dataPathPort, 4789);
  await manager.put("cluster", testCluster({ spec: { network: { dataPathPort: 7789 } } }));
  using second = agentOf(manager, "node2");
  assert.equal((await second.connect()).dataPathPort, 7789);
});

test("A session says when nodes renew their keys for encrypted networks", async () => {
  await using manager = await startTestManager();
  await manager.put("node", testNode(1), testNode(2));
  using first = agentOf(manager);
  const { networkKeyPeriod, networkKeyRotations } = await first.connect();
  assert.deepEqual([networkKeyPeriod?.seconds, networkKeyRotations], [43_200n, 0n]);
  const encryption = { networkKeyPeriod: { seconds: 60n }, networkKeyRotations: 1n };
  await manager.put("cluster", testCluster({ spec: { encryption } }));
  using second = agentOf(manager, "node2");
  const said = await second.connect();
  assert.deepEqual([said.networkKeyPeriod?.seconds, said.networkKeyRotations], [60n, 1n]);
});

test("A newer session ends the older, whose calls are refused from then on", async () => {
  await using manager = await startTestManager();
  await manager.put("node", testNode(1));
  await manager.put("task", assigned);
  using older = agentOf(manager);
  await older.connect();
  using newer = agentOf(manager);
  await newer.connect();
  await older.until(() => older.ended !== undefined);
  const { sessionId } = older;
  const refusal = { code: "failed-precondition", message: /not the node's current one/ };
  await assert.rejects(older.dispatcher.heartbeat({ sessionId }), refusal);
  await assert.rejects(older.report("task1", TaskState.RUNNING), refusal);
  await assert.rejects(async () => {
    for await (const _ of older.dispatcher.assignments({ sessionId }));
  }, refusal);
  await newer.dispatcher.heartbeat({ sessionId: newer.sessionId });
  await newer.report("task1", TaskState.RUNNING);
  assert.equal(manager.store.get("task", "task1")?.status?.state, TaskState.RUNNING);
});

test("A status of another node's task is refused, one of an unknown task ignored", async () => {
  await using manager = await startTestManager();
  await manager.put("node", testNode(1), testNode(2));
  await manager.put("task", assigned);
  using agent = agentOf(manager, "node2");
  await agent.connect();
  await assert.rejects(agent.report("task1", TaskState.FAILED), {
    code: "permission-denied",
    message: "task task1 is not this node's",
  });
  await agent.report("nobody", TaskState.FAILED);
  assert.equal(manager.store.get("task", "task1")?.status?.state, TaskState.ASSIGNED);
});

test("What would fill the log is refused: of a task, and of a node itself", async () => {
  await using manager = await startTestManager();
  await manager.put("node", testNode(1));
  await manager.put("task", assigned);
  using agent = agentOf(manager);
  await agent.connect();
  const words = "x".repeat(64 * 1024);
  await assert.rejects(agent.report("task1", TaskState.RUNNING, { message: words }), {
    code: "invalid-argument",
    message: /^the status of task task1 has 65\d{3} bytes: use at most 65536$/,
  });
  const session = agent.dispatcher.session({ description: { hostname: words } });
  await assert.rejects(session[Symbol.asyncIterator]().next(), {
    code: "invalid-argument",
    message: /^the node's description has/,
  });
});

test("A report that does not grow changes nothing", async () => {
  await using manager = await startTestManager();
  await manager.put("node", testNode(1));
  await manager.put("task", assigned);
  using agent = agentOf(manager);
  await agent.connect();
  await agent.report("task1", TaskState.RUNNING, { attempt: 2 });
  const entries = manager.log.length;
  await agent.report("task1", TaskState.STARTING, { attempt: 2 });
  await agent.report("task1", TaskState.FAILED, { attempt: 1 });
  assert.equal(manager.log.length, entries);
  assert.equal(manager.store.get("task", "task1")?.status?.appliedBy, "node1");
});

test("Fifty reports at once are a few transactions", async () => {
  await using manager = await startTestManager();
  await manager.put("node", testNode(1));
  const tasks = Array.from({ length: 50 }, (_, index) => ({ ...assigned, id: `t${index}` }));
  await manager.put("task", ...tasks);
  using agent = agentOf(manager);
  await agent.connect();
  const entries = manager.log.length;
  await Promise.all(tasks.map(({ id }) => agent.report(id, TaskState.RUNNING)));
  assert.ok(manager.store.list("task").every(({ status }) => status?.state === TaskState.RUNNING));
  assert.ok(manager.log.length - entries <= 10, `${manager.log.length - entries} transactions`);
});

test("New words of a state are written twice a second at most, the newest of them", async () => {
  await using manager = await startTestManager();
  await manager.put("node", testNode(1));
  await manager.put("task", assigned);
  using agent = agentOf(manager);
  await agent.connect();
  await agent.report("task1", TaskState.PREPARING, { message: "0%" });
  const entries = manager.log.length;
  for (let percent = 1; percent <= 40; percent++) {
    const status = {
      state: TaskState.PREPARING,
      attempt: 1,
      message: `${percent}%`,
      timestamp: timestampFromMs(Date.now() + percent),
    };
    const updates = [{ taskId: "task1", status }];
    await agent.dispatcher.updateTaskStatus({ sessionId: agent.sessionId, updates });
  }
  const message = (id: string) => manager.store.get("task", id)?.status?.message;
  await manager.until(() => message("task1") === "40%");
  assert.ok(manager.log.length - entries <= 2, `${manager.log.length - entries} transactions`);
});

test("A node whose session breaks off is DOWN after three periods and no sooner", async () => {
  const clock = new FakeClock();
  await using manager = await startTestManager({ clock });
  await manager.put("node", testNode(1));
  {
    using agent = agentOf(manager);
    await agent.connect();
    clock.advance(2_000);
    await agent.dispatcher.heartbeat({ sessionId: agent.sessionId });
  }
  clock.advance(2_999);
  assert.equal(stateOf(manager), NodeState.READY);
  clock.advance(1 + secondLookMs);
  await manager.until(() => stateOf(manager) === NodeState.DOWN);
  assert.equal(manager.store.get("node", "node1")?.status?.message, "heartbeat failure");
  using back = agentOf(manager);
  await back.connect();
  assert.equal(stateOf(manager), NodeState.READY);
});

test("A node that was declared DOWN has to open a new session", async () => {
  const clock = new FakeClock();
  await using manager = await startTestManager({ clock });
  await manager.put("node", testNode(1));
  using agent = agentOf(manager);
  await agent.connect();
  clock.advance(3_000 + secondLookMs);
  await agent.until(() => agent.ended !== undefined);
  await assert.rejects(agent.dispatcher.heartbeat({ sessionId: agent.sessionId }), {
    code: "failed-precondition",
  });
});

test("A node whose host shuts down is DOWN at once, its session over, and a new one makes it READY", async () => {
  await using manager = await startTestManager();
  await manager.put("node", testNode(1));
  using agent = agentOf(manager);
  await agent.connect();
  const { sessionId } = agent;
  await assert.rejects(agent.dispatcher.farewell({ sessionId: "another" }), {
    code: "failed-precondition",
  });
  assert.equal(stateOf(manager), NodeState.READY);
  await agent.dispatcher.farewell({ sessionId });
  assert.equal(stateOf(manager), NodeState.DOWN);
  assert.equal(manager.store.get("node", "node1")?.status?.message, "the host was shut down");
  await agent.until(() => agent.ended !== undefined);
  await assert.rejects(agent.dispatcher.heartbeat({ sessionId }), { code: "failed-precondition" });
  assert.equal(stateOf(manager), NodeState.DOWN);
  using next = agentOf(manager);
  await next.connect();
  assert.equal(stateOf(manager), NodeState.READY);
});

test("A new leader gives nodes three periods and the time to find it", async () => {
  const clock = new FakeClock();
  const earlier = openTestStore(clock);
  await earlier.put("node", testNode(1), testNode(2));
  await using manager = await startTestManager({ clock, test: earlier });
  using agent = agentOf(manager);
  clock.advance(7_000);
  await agent.connect();
  clock.advance(999);
  assert.equal(stateOf(manager, "node2"), NodeState.READY);
  clock.advance(1 + secondLookMs);
  await manager.until(() => stateOf(manager, "node2") === NodeState.DOWN);
  assert.equal(stateOf(manager), NodeState.READY);
});

test("A manager that stood still itself declares nobody DOWN for it", async () => {
  const clock = new FakeClock();
  await using manager = await startTestManager({ clock });
  await manager.put("node", testNode(1));
  using agent = agentOf(manager);
  await agent.connect();
  clock.jump(60_000);
  await agent.dispatcher.heartbeat({ sessionId: agent.sessionId });
  assert.equal(stateOf(manager), NodeState.READY);
  clock.advance(3_000 + secondLookMs);
  await manager.until(() => stateOf(manager) === NodeState.DOWN);
});

test("A removed node's session ends", async () => {
  await using manager = await startTestManager();
  const node = testNode(1);
  await manager.put("node", node);
  using agent = agentOf(manager);
  await agent.connect();
  await manager.remove("node", node);
  await agent.until(() => agent.ended !== undefined);
});

test("An agent hears of its node's changes through its session", async () => {
  await using manager = await startTestManager();
  await manager.put("node", testNode(1));
  using agent = agentOf(manager);
  await agent.connect();
  const controller = new AbortController();
  const session = agent.dispatcher.session({}, controller)[Symbol.asyncIterator]();
  await session.next();
  const node = manager.store.get("node", "node1");
  assert.ok(node);
  await manager.put("node", { ...node, role: 1 });
  const { value } = await session.next();
  assert.equal(value.node?.role, 1);
  controller.abort();
});

test("Wishes for logs reach the node and are withdrawn", async () => {
  let wishes: readonly LogSubscription[] = [];
  let listener = () => {};
  const logSubscriptions = {
    subscriptionsFor: (nodeId: string) => (nodeId === "node1" ? wishes : []),
    watchSubscriptions: (_: string, one: () => void) => {
      listener = one;
      return { [Symbol.dispose]: () => {} };
    },
  };
  await using manager = await startTestManager({ logSubscriptions });
  await manager.put("node", testNode(1));
  using agent = agentOf(manager);
  await agent.connect();
  wishes = [create(LogSubscriptionSchema, { id: "wish", taskIds: ["task1"] })];
  listener();
  await agent.until(() => agent.items.has("logSubscription:wish"));
  wishes = [];
  listener();
  await agent.until(() => !agent.items.has("logSubscription:wish"));
});

test("A node that falls too far behind is told to start anew", async () => {
  let wishes: readonly LogSubscription[] = [];
  let listener = () => {};
  const logSubscriptions = {
    subscriptionsFor: () => wishes,
    watchSubscriptions: (_: string, one: () => void) => {
      listener = one;
      return { [Symbol.dispose]: () => {} };
    },
  };
  await using manager = await startTestManager({ logSubscriptions });
  await manager.put("node", testNode(1));
  using agent = agentOf(manager);
  await agent.connect();
  wishes = Array.from({ length: 100_001 }, (_, index) =>
    create(LogSubscriptionSchema, { id: `wish${index}` }),
  );
  listener();
  await agent.until(() => agent.ended !== undefined);
  assert.match(String(agent.ended), /more than 100000 changes behind/);
});

test("Messages are numbered so that a gap shows", async () => {
  await using manager = await startTestManager();
  await manager.put("node", testNode(1));
  using agent = agentOf(manager);
  await agent.connect();
  await manager.put("task", assigned);
  await agent.until(() => agent.messages.length === 2);
  await manager.put("task", { ...assigned, desiredState: TaskState.SHUTDOWN });
  await agent.until(() => agent.messages.length === 3);
  const numbers = agent.messages.map(({ appliesTo, resultsIn }) => [appliesTo, resultsIn]);
  assert.deepEqual(numbers, [
    ["", "1"],
    ["1", "2"],
    ["2", "3"],
  ]);
});
