import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextLoop } from "node:timers/promises";
import { NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import { durationFromMs } from "#proto/time.ts";
import { certificateDigest } from "#proto/tls/certificate.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { createRoot } from "../ca/authority.ts";
import { graceMs, reconnectMs } from "../node-liveness/timing.ts";
import { isWanted, stateOf } from "../task.ts";
import { testCluster, testNode, testService, testTask } from "../testing/fixtures.ts";
import { TestAgent } from "../testing/test-agent.ts";
import { startTestManagers, type TestManager } from "../testing/test-manager.ts";

const periodMs = 1_000;

/** Three managers, the first of which leads, and nodes that are not READY yet. */
async function openGroup(nodes: number, clock?: FakeClock) {
  const { group, managers } = await startTestManagers(3, clock === undefined ? {} : { clock });
  const [one, two, three] = managers;
  assert.ok(one && two && three);
  const scope = new AsyncDisposableStack();
  for (const manager of managers) scope.use(manager);
  await one.put("cluster", testCluster());
  for (let number = 1; number <= nodes; number++) {
    await one.put("node", testNode(number, { status: {} }));
  }
  await Promise.all(managers.map(({ log }) => log.barrier()));
  const everDown = new Set<string>();
  scope.use(
    three.store.watch(({ changes }) => {
      for (const change of changes) {
        if (change.kind !== "node" || change.after?.status?.state !== NodeState.DOWN) continue;
        everDown.add(change.after.id);
      }
    }),
  );
  return { group, one, two, three, everDown, [Symbol.asyncDispose]: () => scope.disposeAsync() };
}

function agentOf(manager: TestManager, nodeId: string, heartbeatMs = 0): TestAgent {
  return new TestAgent({ nodeId, address: manager.address, heartbeatMs, runs: true });
}

/** Lets time pass while agents beat. */
async function beatFor(clock: FakeClock, ms: number, agents: readonly TestAgent[]): Promise<void> {
  for (let leftMs = ms; leftMs > 0; leftMs -= 250) {
    await Promise.all(
      agents.map(({ dispatcher, sessionId }) => dispatcher.heartbeat({ sessionId })),
    );
    clock.advance(250);
    // Reports go over the wire.
    for (let turns = 0; turns < 20; turns++) await nextLoop();
  }
}

test("managers, agents with any of them get their tasks, and their words are heard", async () => {
  await using ground = await openGroup(3);
  const { one, two, three } = ground;
  using a = agentOf(one, "node1");
  using b = agentOf(two, "node2");
  using c = agentOf(three, "node3");
  const [opened] = await Promise.all([a.connect(), b.connect(), c.connect()]);
  const addresses = [one, two, three].map(({ address }) => address);
  assert.deepEqual([...opened.managers].toSorted(), addresses.toSorted());
  assert.equal(new Set(opened.managerIds).size, 3);
  await three.put("service", testService({ replicas: 6 }));
  await two.until((view) => {
    const tasks = view.list("task").filter(isWanted);
    return tasks.length === 6 && tasks.every((task) => stateOf(task) === TaskState.RUNNING);
  });
  assert.deepEqual([a.tasks.length, b.tasks.length, c.tasks.length], [2, 2, 2]);
  assert.deepEqual([...ground.everDown], []);
});

test("managers, agents of a lost one go to another, and their nodes never look down", async () => {
  const clock = new FakeClock();
  await using ground = await openGroup(4, clock);
  const { group, one, two, three } = ground;
  const agents = ["node1", "node2", "node3", "node4"].map((nodeId) => agentOf(two, nodeId));
  try {
    await Promise.all(agents.map((agent) => agent.connect()));
    await beatFor(clock, 1_000, agents);
    group.remove(two.log);
    await two[Symbol.asyncDispose]();
    await Promise.all(agents.map((agent) => agent.until(() => agent.ended !== undefined)));
    await beatFor(clock, 4 * periodMs, []);
  } finally {
    for (const agent of agents) agent[Symbol.dispose]();
  }
  const moved = ["node1", "node2", "node3", "node4"].map((nodeId) => agentOf(three, nodeId));
  try {
    await Promise.all(moved.map((agent) => agent.connect()));
    await beatFor(clock, 10 * periodMs, moved);
    assert.deepEqual([...ground.everDown], []);
    await beatFor(clock, 4 * periodMs, moved.slice(1));
    await one.until((view) => view.get("node", "node1")?.status?.state === NodeState.DOWN);
    assert.deepEqual([...ground.everDown], ["node1"]);
  } finally {
    for (const agent of moved) agent[Symbol.dispose]();
  }
});

test("managers, sessions outlive a change of leader, and who died during it is found in time", async () => {
  const clock = new FakeClock();
  await using ground = await openGroup(9, clock);
  const { group, one, two, three, everDown } = ground;
  const agents = Array.from({ length: 9 }, (_, index) =>
    agentOf([one, two, three][index % 3] ?? one, `node${index + 1}`),
  );
  try {
    await Promise.all(agents.map((agent) => agent.connect()));
    const sessions = agents.map(({ sessionId }) => sessionId);
    await beatFor(clock, 1_000, agents);
    group.lead(undefined);
    // Node 9 is never heard again.
    const alive = agents.slice(0, 8);
    await beatFor(clock, 1_000, alive);
    group.lead(two.log);
    const windowMs = graceMs(periodMs) + reconnectMs(periodMs);
    await beatFor(clock, windowMs - 250, alive);
    assert.deepEqual([...everDown], []);
    await beatFor(clock, 750, alive);
    await three.until((view) => view.get("node", "node9")?.status?.state === NodeState.DOWN);
    await beatFor(clock, windowMs, alive);
    assert.deepEqual([...everDown], ["node9"]);
    assert.deepEqual(
      alive.map(({ sessionId, ended }) => [sessionId, ended]),
      sessions.slice(0, 8).map((sessionId) => [sessionId, undefined]),
    );
  } finally {
    for (const agent of agents) agent[Symbol.dispose]();
  }
});

test("managers, of two agents with one identity the older is told so, wherever they are", async () => {
  await using ground = await openGroup(1);
  const { one, two, three } = ground;
  using older = agentOf(two, "node1");
  await older.connect();
  using newer = agentOf(three, "node1");
  await newer.connect();
  await older.until(() => older.ended !== undefined);
  assert.match(String(older.ended), /opened a newer session: .* two hosts use one identity/);
  const { sessionId } = older;
  await assert.rejects(older.dispatcher.heartbeat({ sessionId }), { code: "failed-precondition" });
  assert.equal(newer.ended, undefined);
  await one.log.barrier();
  const node = one.store.get("node", "node1");
  assert.deepEqual([node?.sessionId, node?.sessionManagerId], [newer.sessionId, "manager3"]);
});

test("managers, one that is behind takes no older session for a newer one, and no task away", async () => {
  await using ground = await openGroup(1);
  const { two, three } = ground;
  using before = agentOf(two, "node1");
  await before.connect();
  const agent = agentOf(three, "node1");
  using _agent = agent;
  const held = three.log.hold();
  await two.put("node", { ...testNode(1), sessionId: "other", sessionManagerId: "manager2" });
  const assigned = { state: TaskState.ASSIGNED };
  await two.put("task", testTask("t1", { serviceId: "", nodeId: "node1", status: assigned }));
  const connected = agent.connect();
  for (let turns = 0; turns < 50; turns++) await nextLoop();
  held[Symbol.dispose]();
  await connected;
  assert.equal(agent.ended, undefined);
  assert.equal(three.store.get("node", "node1")?.sessionId, agent.sessionId);
  const [complete] = agent.messages;
  assert.ok(complete?.changes.some(({ assignment }) => assignment?.item.case === "task"));
});

test("managers, a node that beats is ready again by itself when it was written down", async () => {
  const clock = new FakeClock();
  await using ground = await openGroup(1, clock);
  const { one, two } = ground;
  using agent = agentOf(two, "node1");
  await agent.connect();
  const node = one.store.get("node", "node1");
  assert.ok(node);
  await one.put("node", {
    ...node,
    status: { ...testNode(1).status, state: NodeState.DOWN } as never,
  });
  await one.until((view) => view.get("node", "node1")?.status?.state === NodeState.READY);
  assert.equal(agent.ended, undefined);
  assert.equal(one.store.get("node", "node1")?.sessionId, agent.sessionId);
});

test("managers, a node that the asked one does not know yet is waited for", async () => {
  await using ground = await openGroup(0);
  const { one, three } = ground;
  const held = three.log.hold();
  await one.put("node", testNode(1, { status: {} }));
  using agent = agentOf(three, "node1");
  const connected = agent.connect();
  for (let turns = 0; turns < 50; turns++) await nextLoop();
  held[Symbol.dispose]();
  await connected;
  using stranger = agentOf(three, "stranger");
  await assert.rejects(stranger.connect(), { code: "unauthenticated" });
});

for (const { beatMs, waitMs } of [
  { beatMs: 1_000, waitMs: 2_000 },
  { beatMs: 20_000, waitMs: 10_000 },
]) {
  test(`managers, without a leader no session opens, which agents that beat each ${beatMs} ms hear after ${waitMs}`, async () => {
    const clock = new FakeClock();
    await using ground = await openGroup(1, clock);
    const { group, one, two } = ground;
    const dispatcher = { heartbeatPeriod: durationFromMs(beatMs) };
    await one.put("cluster", testCluster({ spec: { dispatcher } }));
    group.lead(undefined);
    using agent = agentOf(two, "node1");
    const connected = agent.connect();
    for (let turns = 0; turns < 50; turns++) await nextLoop();
    clock.advance(waitMs);
    await assert.rejects(connected, {
      code: "unavailable",
      message: `no leader took the session within ${waitMs / 1000} s: try another manager`,
    });
  });
}

test("managers, news of the managers, the heartbeat and the root reach the agents", async () => {
  await using ground = await openGroup(1);
  const { one, three } = ground;
  using agent = agentOf(three, "node1");
  await agent.connect();
  const controller = new AbortController();
  const stream = agent.dispatcher.session({}, controller)[Symbol.asyncIterator]();
  await stream.next();
  await one.put("node", testNode(104, { managerStatus: { address: "192.0.2.4:2377" } }));
  assert.equal((await stream.next()).value.managers.length, 4);
  const dispatcher = { heartbeatPeriod: durationFromMs(5_000) };
  await one.put("cluster", testCluster({ spec: { dispatcher } }));
  assert.equal((await stream.next()).value.heartbeatPeriod.seconds, 5n);
  const { certificate, key } = await createRoot(systemClock.now());
  const rootCa = { caCert: Buffer.from(certificate), caKey: Buffer.from(key) };
  await one.put("cluster", testCluster({ rootCa }));
  const { wantedTls } = (await stream.next()).value;
  assert.deepEqual(wantedTls.trustedRoots, [certificateDigest(certificate)]);
  controller.abort();
});
