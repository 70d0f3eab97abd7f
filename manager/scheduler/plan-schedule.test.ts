import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import {
  NetworkAttachmentSchema,
  NodeAvailability,
  NodeState,
  PublishMode,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { Change } from "../store/objects.ts";
import { openTestStore, testNode, testTaskSpec } from "../testing/fixtures.ts";
import { NodeLoads } from "./node-load.ts";
import { count, nowMs, on, pending, schedule } from "./testing/schedule-ground.ts";

const five = [1, 2, 3, 4, 5].map((number) => testNode(number));

test("A batch of 50 spreads evenly over five nodes", async () => {
  const tasks = Array.from({ length: 50 }, (_, index) => pending(`t${index}`));
  const { homes } = await schedule(tasks, { nodes: five });
  assert.deepEqual(count(homes), { node1: 10, node2: 10, node3: 10, node4: 10, node5: 10 });
});

test("A service spreads by its own tasks first, by all tasks where those are equal", async () => {
  const running = [on("node1", "own"), on("node2", "other1", { serviceId: "other" })];
  const tasks = [pending("a"), pending("b"), pending("c")];
  const { homes } = await schedule(tasks, { nodes: five.slice(0, 3), running });
  assert.deepEqual(Object.fromEntries(homes), { a: "node3", b: "node2", c: "node1" });
});

test("Two services of one batch see each other's tasks", async () => {
  const tasks = ["a", "b", "c", "d"].map((id) => pending(id, { serviceId: id }));
  const { homes } = await schedule(tasks, { nodes: five.slice(0, 4) });
  assert.equal(new Set(homes.values()).size, 4);
});

test("A node on which the version failed five times in five minutes comes last, and is used if it must", async () => {
  const failed = Array.from({ length: 5 }, (_, index) =>
    on("node1", `dead${index}`, {
      status: { state: TaskState.FAILED },
      desiredState: TaskState.SHUTDOWN,
      atMs: nowMs - 1_000 * index,
    }),
  );
  const busy = Array.from({ length: 3 }, (_, index) => on("node2", `busy${index}`));
  const running = [...failed, ...busy];
  const two = await schedule([pending("a")], { nodes: five.slice(0, 2), running });
  assert.equal(two.homes.get("a"), "node2");
  const one = await schedule([pending("a")], { nodes: five.slice(0, 1), running });
  assert.equal(one.homes.get("a"), "node1");
  const next = pending("a", { specVersion: { index: 2n } });
  const newer = await schedule([next], { nodes: five.slice(0, 2), running });
  assert.equal(newer.homes.get("a"), "node1");
});

test("Attempts in place count as failures of their node", async () => {
  const attempts = [1, 2, 3, 4].map((number) => ({
    number,
    endedAt: { seconds: BigInt(nowMs / 1000 - 10), nanos: 0 },
  }));
  const status = { state: TaskState.FAILED, attempt: 5, attempts };
  const dead = on("node1", "dead", { status, desiredState: TaskState.SHUTDOWN, atMs: nowMs });
  const { homes } = await schedule([pending("a")], { nodes: five.slice(0, 2), running: [dead] });
  assert.equal(homes.get("a"), "node2");
});

test("Reservations fill nodes up to their resources, and the rest waits with a reason", async () => {
  const spec = testTaskSpec({ resources: { reservations: { nanoCpus: 3_000_000_000n } } });
  const tasks = ["a", "b", "c"].map((id) => pending(id, { spec }));
  const { homes, blocked } = await schedule(tasks, { nodes: five.slice(0, 2) });
  assert.deepEqual(count(homes), { node1: 1, node2: 1 });
  assert.equal(blocked.get("c"), "no suitable node (insufficient CPU on 2 nodes)");
});

test("A waiting task says why, node by node, and says it once", async () => {
  const nodes = [
    testNode(1, { status: { state: NodeState.DOWN } }),
    testNode(2, { spec: { availability: NodeAvailability.DRAIN } }),
    testNode(3),
  ];
  const platforms = [{ os: "linux", architecture: "arm64" }];
  const task = pending("a", { spec: testTaskSpec({ placement: { platforms } }) });
  const first = await schedule([task], { nodes });
  const [note] = first.actions;
  assert.equal(
    note?.kind === "task" && note.object.status?.err,
    "no suitable node (2 nodes not available for new tasks; unsupported platform on 1 node)",
  );
  assert.ok(note?.kind === "task");
  assert.equal(note.object.status?.state, TaskState.PENDING);
  const second = await schedule([note.object], { nodes });
  assert.deepEqual(second.actions, []);
  assert.equal(second.blocked.size, 1);
  const none = await schedule([task], { nodes: [] });
  assert.equal(none.blocked.get("a"), "no suitable node");
});

test("A platform is met under either of its names", async () => {
  const platforms = [{ os: "linux", architecture: "amd64" }];
  const task = pending("a", { spec: testTaskSpec({ placement: { platforms } }) });
  const { homes } = await schedule([task], { nodes: [testNode(1)] });
  assert.equal(homes.get("a"), "node1");
});

for (const [made, runs] of [
  [["arm64"], false],
  [["arm64", "amd64"], true],
  [["386"], true],
  [[], true],
] as const) {
  test(`An image for ${made.join(", ") || "nobody knows what"} ${runs ? "runs" : "does not run"} on amd64`, async () => {
    const imagePlatforms = made.map((architecture) => ({ os: "linux", architecture }));
    const value = { image: "app", imagePlatforms };
    const task = pending("a", { spec: testTaskSpec({ runtime: { case: "container", value } }) });
    const { homes } = await schedule([task], { nodes: [testNode(1)] });
    assert.equal(homes.has("a"), runs);
  });
}

test("A task on an encrypted network goes where WireGuard is, or says that it is nowhere", async () => {
  const encrypted = create(NetworkAttachmentSchema, { network: { spec: { encrypted: true } } });
  const plain = create(NetworkAttachmentSchema, { network: { spec: {} } });
  const able = testNode(2, { description: { encryptionKey: "a key" } });
  const tasks = [pending("a", { networks: [plain, encrypted] })];
  const { homes } = await schedule(tasks, { nodes: [testNode(1), able, testNode(3)] });
  assert.equal(homes.get("a"), "node2");
  const { blocked } = await schedule(tasks, { nodes: [testNode(1), testNode(3)] });
  const reason = "no suitable node (no WireGuard for encrypted networks on 2 nodes)";
  assert.equal(blocked.get("a"), reason);
  const open = await schedule([pending("b", { networks: [plain] })], { nodes: [testNode(1)] });
  assert.equal(open.homes.get("b"), "node1");
});

test("The most replicas per node are kept within one batch", async () => {
  const spec = testTaskSpec({ placement: { maxReplicas: 1n } });
  const tasks = ["a", "b", "c"].map((id) => pending(id, { spec }));
  const { homes, blocked } = await schedule(tasks, { nodes: five.slice(0, 2) });
  assert.deepEqual(count(homes), { node1: 1, node2: 1 });
  assert.equal(blocked.get("c"), "no suitable node (max replicas per node limit exceed)");
});

test("Any batch ends up as even as can be, on ready nodes only, within their resources", async () => {
  const nodes = fc.array(
    fc.record({ ready: fc.boolean(), busy: fc.nat(6), cpus: fc.integer({ min: 0, max: 8 }) }),
    { minLength: 1, maxLength: 8 },
  );
  const property = fc.asyncProperty(nodes, fc.nat(30), fc.nat(2), async (shapes, size, cpus) => {
    const spec = testTaskSpec({ resources: { reservations: { nanoCpus: BigInt(cpus) } } });
    const made = shapes.map(({ ready, cpus: total }, index) =>
      testNode(index + 1, {
        status: { state: ready ? NodeState.READY : NodeState.DOWN },
        description: { resources: { nanoCpus: BigInt(total) } },
      }),
    );
    const running = shapes.flatMap(({ busy }, index) =>
      Array.from({ length: busy }, (_, n) => on(`node${index + 1}`, `busy${index}-${n}`)),
    );
    const tasks = Array.from({ length: size }, (_, index) => pending(`t${index}`, { spec }));
    const { homes, blocked } = await schedule(tasks, { nodes: made, running });
    assert.equal(homes.size + blocked.size, size);
    const counts = count(homes);
    const open = shapes.flatMap(({ ready, busy, cpus: total }, index) => {
      const placed = counts[`node${index + 1}`] ?? 0;
      assert.ok(ready || placed === 0);
      assert.ok(placed * cpus <= total);
      const full = (placed + 1) * cpus > total;
      return ready ? [{ placed, copies: placed + busy, full }] : [];
    });
    if (blocked.size > 0) assert.ok(open.every(({ full }) => full && cpus > 0));
    // Whoever got a task had no more of them than any node that could still take one.
    const least = Math.min(...open.filter(({ full }) => !full).map(({ copies }) => copies));
    for (const { placed, copies } of open) if (placed > 0) assert.ok(copies <= least + 1);
  });
  await fc.assert(property, { numRuns: 60 });
});

test("Loads folded from changes are those of a fresh scan", async () => {
  const ofTask = fc.record({
    id: fc.nat(8),
    node: fc.nat(2),
    service: fc.nat(1),
    state: fc.constantFrom(
      TaskState.PENDING,
      TaskState.ASSIGNED,
      TaskState.RUNNING,
      TaskState.SHUTDOWN,
    ),
    desired: fc.constantFrom(TaskState.RUNNING, TaskState.SHUTDOWN),
    nominated: fc.boolean(),
    remove: fc.boolean(),
  });
  const ofNode = fc.record({ node: fc.nat(2), ready: fc.boolean(), remove: fc.boolean() });
  const change = fc.oneof({ weight: 3, arbitrary: ofTask }, ofNode);
  const property = fc.asyncProperty(fc.array(change, { maxLength: 40 }), async (changes) => {
    const { store, put, remove } = openTestStore();
    const loads = new NodeLoads(store);
    using _watch = store.watch((commit) => {
      for (const one of commit.changes satisfies readonly Change[]) loads.onChange(one);
    });
    for (const one of changes) {
      if ("ready" in one) {
        const state = one.ready ? NodeState.READY : NodeState.DOWN;
        const node = testNode(one.node, { status: { state } });
        await (one.remove ? remove("node", node) : put("node", node));
      } else {
        const task = on(`node${one.node}`, `t${one.id}`, {
          serviceId: `s${one.service}`,
          status: { state: one.state },
          desiredState: one.desired,
          nominatedNodeId: one.nominated ? `node${one.node}` : "",
        });
        await (one.remove ? remove("task", task) : put("task", task));
      }
    }
    assert.deepEqual(factsOf(loads), factsOf(new NodeLoads(store)));
  });
  await fc.assert(property, { numRuns: 60 });
});

function factsOf(loads: NodeLoads) {
  return {
    nodes: [0, 1, 2].map((node) => [
      loads.of(`node${node}`),
      [...loads.claimsOn(`node${node}`).keys()].toSorted(),
    ]),
    services: [0, 1].map((service) => [...loads.nodesOfService(`s${service}`)].toSorted()),
    levels: loads.levels.flatMap((nodes, level) =>
      [...nodes].toSorted().map((node) => `${node} has ${level}`),
    ),
  };
}

test("A port of mode host is one task's on each node, until that task has ended", async () => {
  const publishing = (publishedPort: number) => ({
    endpoint: { ports: [{ targetPort: 80, publishedPort, publishMode: PublishMode.HOST }] },
  });
  const stopping = { ...publishing(80), desiredState: TaskState.SHUTDOWN };
  const ended = { ...stopping, status: { state: TaskState.SHUTDOWN } };
  const { homes, blocked } = await schedule(
    [pending("a", publishing(80)), pending("b", publishing(80)), pending("c", publishing(81))],
    {
      nodes: five.slice(0, 3),
      running: [
        on("node1", "r", publishing(80)),
        on("node2", "s", stopping),
        on("node3", "e", ended),
      ],
    },
  );
  assert.equal(homes.get("a"), "node3");
  assert.ok(homes.has("c"));
  assert.deepEqual(
    [...blocked],
    [["b", "no suitable node (host-mode port already in use on 3 nodes)"]],
  );
});
