import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { setImmediate as nextLoop } from "node:timers/promises";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Clock } from "#proto/ports.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { durationFromMs, timestampFromMs } from "#proto/time.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { openTestStore, testCluster, testNode, type TestStore } from "../testing/fixtures.ts";
import { untilStore } from "../testing/until.ts";
import { NodeLiveness } from "./node-liveness.ts";
import { cutOffMs, graceMs, reconnectMs, reportPeriodMs } from "./timing.ts";

const periodMs = 1_000;
/** Unread beats are looked for that long before a node is DOWN. */
const secondLookMs = 100;

function clusterWith(heartbeatMs: number) {
  return testCluster({ spec: { dispatcher: { heartbeatPeriod: durationFromMs(heartbeatMs) } } });
}

/** A READY node whose session a manager holds. */
function nodeAt(number: number, sessionManagerId: string): Node {
  return testNode(number, { sessionId: `session${number}`, sessionManagerId });
}

function begin(test: TestStore, clock: Clock): NodeLiveness {
  const ports = { clock, random: systemRandom, log: silentLog };
  return new NodeLiveness({ ...ports, store: test.store, nodeId: "manager1" });
}

function downNodes({ store }: TestStore): readonly string[] {
  const isDown = (node: Node) => node.status?.state === NodeState.DOWN;
  return Array.from(store.list("node").filter(isDown), ({ id }) => id);
}

/** Steps the clock, and lets the commits that come of it happen. */
async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let leftMs = ms; leftMs > 0; leftMs -= 50) {
    clock.advance(Math.min(leftMs, 50));
    await nextLoop();
    await nextLoop();
  }
}

/** Holds up the whole process. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

test("node liveness, beats that came while the leader stood still count before a node is lost", async () => {
  const { store, put } = openTestStore(systemClock);
  await put("cluster", clusterWith(100));
  await put("node", testNode(1));
  await using scope = new AsyncDisposableStack();
  const server = scope.adopt(createServer().listen(0, "127.0.0.1"), (one) => void one.close());
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const host = scope.adopt(connect(address.port, "127.0.0.1"), (one) => void one.destroy());
  const [manager]: Socket[] = await once(server, "connection");
  assert.ok(manager);
  scope.defer(() => void manager.destroy());

  const events: string[] = [];
  const ports = { clock: systemClock, random: systemRandom, log: silentLog };
  const liveness = scope.use(new NodeLiveness({ ...ports, store, nodeId: "manager1" }));
  scope.use(store.watch(() => events.push("lost")));
  manager.on("data", () => {
    events.push("beat");
    liveness.beat("node1");
  });
  liveness.beat("node1");
  await nextLoop();
  host.write("beat");
  standStill(350);
  await untilStore(store, (view) => view.get("node", "node1")?.status?.state === NodeState.DOWN);
  assert.deepEqual(events, ["beat", "lost"]);
});

test("node liveness, a new leader declares no node down that beats, and finds the dead at the end of the window", async () => {
  const clock = new FakeClock();
  const store = openTestStore(clock);
  const count = 1_000;
  const managerOf = (number: number) => `manager${(number % 3) + 1}`;
  const nodes = Array.from({ length: count }, (_, index) =>
    nodeAt(index + 1, managerOf(index + 1)),
  );
  await store.put("node", ...nodes);
  await using liveness = begin(store, clock);
  const windowMs = graceMs(periodMs) + reconnectMs(periodMs);
  // Manager 2 led and is lost: its nodes come to manager 3 at the last moment. Nodes 1 … 9 died with it.
  const alive = nodes.slice(9);
  const ids = (managers: readonly string[]) =>
    alive.filter((node) => managers.includes(node.sessionManagerId)).map(({ id }) => id);
  for (let atMs = 0; atMs < windowMs - 500; atMs += 500) {
    for (const id of ids(["manager1"])) liveness.beat(id);
    liveness.report("manager3", ids(["manager3"]));
    await pass(clock, 500);
  }
  assert.deepEqual(downNodes(store), []);
  liveness.report("manager3", ids(["manager2", "manager3"]));
  for (const id of ids(["manager1"])) liveness.beat(id);
  await pass(clock, 500 + secondLookMs);
  assert.deepEqual(
    downNodes(store),
    nodes.slice(0, 9).map(({ id }) => id),
  );
});

test("node liveness, a node that was heard by a new leader and searches on has the whole window", async () => {
  const clock = new FakeClock();
  const store = openTestStore(clock);
  await store.put("node", nodeAt(1, "manager1"));
  await using liveness = begin(store, clock);
  const windowMs = graceMs(periodMs) + reconnectMs(periodMs);
  await pass(clock, 500);
  liveness.beat("node1");
  await pass(clock, windowMs - 1_000);
  assert.deepEqual(downNodes(store), []);
  await pass(clock, 1_000 + secondLookMs);
  assert.deepEqual(downNodes(store), ["node1"]);
});

test("node liveness, a node that its manager names no more is down after three periods and a report's time", async () => {
  const clock = new FakeClock();
  const store = openTestStore(clock);
  await store.put("node", nodeAt(1, "manager2"), nodeAt(2, "manager2"));
  await using liveness = begin(store, clock);
  for (let atMs = 0; atMs < graceMs(periodMs) + reconnectMs(periodMs); atMs += 250) {
    await pass(clock, 250);
    liveness.report("manager2", ["node1", "node2"]);
  }
  for (let atMs = 0; atMs < 3_000; atMs += 250) {
    await pass(clock, 250);
    liveness.report("manager2", ["node2"]);
  }
  assert.deepEqual(downNodes(store), []);
  await pass(clock, 250 + secondLookMs);
  assert.deepEqual(downNodes(store), ["node1"]);
});

test("node liveness, the nodes of a manager that is not heard get the time to find another", async () => {
  const clock = new FakeClock();
  const store = openTestStore(clock);
  await store.put("node", nodeAt(1, "manager2"), nodeAt(2, "manager2"));
  await using liveness = begin(store, clock);
  liveness.report("manager2", ["node1", "node2"]);
  await pass(clock, graceMs(periodMs) + reconnectMs(periodMs) - 100);
  assert.deepEqual(downNodes(store), []);
  // One of them has found another.
  await store.put("node", { ...nodeAt(1, "manager3"), sessionId: "newer" });
  await pass(clock, 100 + secondLookMs);
  assert.deepEqual(downNodes(store), ["node2"]);
});

test("node liveness, a leader that stood still hears its managers again first", async () => {
  const clock = new FakeClock();
  const store = openTestStore(clock);
  await store.put("node", nodeAt(1, "manager2"), nodeAt(2, "manager1"));
  await using liveness = begin(store, clock);
  liveness.report("manager2", ["node1"]);
  liveness.beat("node2");
  clock.jump(60_000);
  await pass(clock, graceMs(periodMs) - 50);
  assert.deepEqual(downNodes(store), []);
  await pass(clock, 50 + secondLookMs);
  assert.deepEqual(downNodes(store), ["node2"]);
  await pass(clock, reconnectMs(periodMs));
  assert.deepEqual(downNodes(store), ["node2", "node1"].toSorted());
});

test("node liveness, a node that opened a newer session while it was written down stays ready", async () => {
  const clock = new FakeClock();
  const store = openTestStore(clock);
  await store.put("node", nodeAt(1, "manager1"));
  await using liveness = begin(store, clock);
  liveness.beat("node1");
  clock.advance(graceMs(periodMs));
  // Its entry comes before that of the loss, which is built on what was before.
  const opened = store.put("node", { ...nodeAt(1, "manager2"), sessionId: "newer" });
  clock.advance(secondLookMs);
  await opened;
  await pass(clock, 500);
  assert.deepEqual(downNodes(store), []);
});

test("node liveness, a longer period holds for the beats that came before it", async () => {
  const clock = new FakeClock();
  const store = openTestStore(clock);
  await store.put("node", nodeAt(1, "manager1"));
  await using liveness = begin(store, clock);
  liveness.beat("node1");
  await store.put("cluster", clusterWith(10_000));
  await pass(clock, 29_950);
  assert.deepEqual(downNodes(store), []);
  await pass(clock, 50 + secondLookMs);
  assert.deepEqual(downNodes(store), ["node1"]);
});

test("node liveness, a manager that is cut off sends its agents away while they have time to go", () => {
  for (const period of [100, 1_000, 10_000, 60_000]) {
    const leftMs = graceMs(period) + reconnectMs(period) - cutOffMs(period);
    assert.ok(leftMs >= 2 * period + 1_000, `${leftMs} ms at a period of ${period} ms`);
    assert.ok(reportPeriodMs(period) <= period && reportPeriodMs(period) <= 500);
  }
});

test("node liveness, a clock that is set by hours, either way: no node is lost by it, and none that is lost stays", async () => {
  for (const byMs of [5, -5].map((hours) => hours * 3_600_000)) {
    const clock = new FakeClock();
    const store = openTestStore(clock);
    const awaitedUntil = timestampFromMs(clock.now() + 60_000);
    await store.put("node", nodeAt(1, "manager1"), { ...nodeAt(2, "manager1"), awaitedUntil });
    await using liveness = begin(store, clock);
    const beat = () => ["node1", "node2"].forEach((nodeId) => liveness.beat(nodeId));
    beat();
    clock.set(byMs);
    for (let beats = 0; beats < 4; beats++) {
      await pass(clock, graceMs(periodMs) - 50);
      assert.deepEqual(downNodes(store), []);
      beat();
    }
    await pass(clock, graceMs(periodMs) - 50);
    assert.deepEqual(downNodes(store), []);
    await pass(clock, 50 + 2 * secondLookMs);
    assert.deepEqual(downNodes(store), ["node1", "node2"]);
  }
});

test("a node that is being restarted is waited for as long as was said, and no longer once it is back", async () => {
  const clock = new FakeClock();
  const store = openTestStore(clock);
  const awaitedUntil = timestampFromMs(clock.now() + 60_000);
  const awaited = { ...nodeAt(1, "manager1"), awaitedUntil };
  await store.put("node", awaited, { ...nodeAt(2, "manager1"), awaitedUntil });
  await using liveness = begin(store, clock);
  liveness.beat("node1");
  await pass(clock, 30_000);
  liveness.beat("node2");
  await store.put("node", nodeAt(2, "manager1"));
  await pass(clock, graceMs(periodMs) - 50);
  assert.deepEqual(downNodes(store), []);
  await pass(clock, 50 + secondLookMs);
  assert.deepEqual(downNodes(store), ["node2"]);
  await pass(clock, 30_000 - graceMs(periodMs) - 200 - secondLookMs);
  assert.deepEqual(downNodes(store), ["node2"]);
  await pass(clock, 200 + 2 * secondLookMs);
  assert.deepEqual(downNodes(store), ["node1", "node2"]);
});

test("a node that shall be waited for no longer than this is not waited for until what was said before", async () => {
  const clock = new FakeClock();
  const store = openTestStore(clock);
  const awaiting = (ms: number) => {
    return { ...nodeAt(1, "manager1"), awaitedUntil: timestampFromMs(clock.now() + ms) };
  };
  await store.put("node", awaiting(3_000_000));
  await using liveness = begin(store, clock);
  liveness.beat("node1");
  await pass(clock, 30_000);
  await store.put("node", awaiting(30_000));
  await pass(clock, 29_000);
  assert.deepEqual(downNodes(store), []);
  await pass(clock, 1_000 + graceMs(periodMs) + 2 * secondLookMs);
  assert.deepEqual(downNodes(store), ["node1"]);
});
