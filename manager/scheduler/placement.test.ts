import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeAvailability, SchedulingStrategy, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { genericResourceEnv, parseGenericResources } from "#proto/generic-resource.ts";
import { testNode, testTaskSpec } from "../testing/fixtures.ts";
import { inOrder } from "./plan-schedule.ts";
import { count, on, openGround, pending, schedule } from "./testing/schedule-ground.ts";

function labelled(number: number, labels: Readonly<Record<string, string>>): Node {
  return testNode(number, { spec: { annotations: { labels } } });
}

function spreadOver(...descriptors: readonly string[]) {
  const preferences = descriptors.map((spreadDescriptor) => ({
    preference: { case: "spread" as const, value: { spreadDescriptor } },
  }));
  return { preferences };
}

function spreading(...descriptors: readonly string[]) {
  return testTaskSpec({ placement: spreadOver(...descriptors) });
}

function many(size: number, init: Parameters<typeof pending>[1]): readonly Task[] {
  return Array.from({ length: size }, (_, index) => pending(`t${index}`, init));
}

const five = [1, 2, 3, 4, 5].map((number) => testNode(number));

describe("constraints", () => {
  test("keep tasks to the nodes that meet them all", async () => {
    const nodes = [labelled(1, { disk: "ssd" }), labelled(2, { disk: "hdd" }), testNode(3)];
    const placement = { constraints: ["node.labels.disk != hdd", "node.hostname != h3"] };
    const { homes } = await schedule(many(4, { spec: testTaskSpec({ placement }) }), { nodes });
    assert.deepEqual(count(homes), { node1: 4 });
  });

  test("that no node meets are told of, beside what else stands in the way", async () => {
    const paused = testNode(4, { spec: { availability: NodeAvailability.PAUSE } });
    const small = testNode(5, { description: { resources: { nanoCpus: 1n, memoryBytes: 1n } } });
    const spec = testTaskSpec({
      placement: { constraints: ["node.id == node5"] },
      resources: { reservations: { memoryBytes: 2n } },
    });
    const { blocked } = await schedule([pending("a", { spec })], {
      nodes: [...five.slice(0, 3), paused, small],
    });
    const reason =
      "no suitable node (scheduling constraints not satisfied on 3 nodes; 1 node not available for new tasks; insufficient memory on 1 node)";
    assert.equal(blocked.get("a"), reason);
  });
});

describe("preferences", () => {
  const spec = spreading("node.labels.zone");

  test("spread over a label's values, however many nodes have each", async () => {
    const zones = ["a", "a", "a", "b"];
    const nodes = zones.map((zone, index) => labelled(index + 1, { zone }));
    const { homes } = await schedule(many(12, { spec }), { nodes });
    assert.deepEqual(count(homes), { node1: 2, node2: 2, node3: 2, node4: 6 });
  });

  test("nodes without the label are a group like the others, as in Swarm", async () => {
    const nodes = [labelled(1, { zone: "a" }), labelled(2, { zone: "b" }), ...five.slice(2)];
    const { homes } = await schedule(many(9, { spec }), { nodes });
    assert.deepEqual(count(homes), { node1: 3, node2: 3, node3: 1, node4: 1, node5: 1 });
  });

  test("count tasks that are there, also on nodes that take no more", async () => {
    const full = testNode(1, {
      spec: { availability: NodeAvailability.PAUSE, annotations: { labels: { zone: "a" } } },
    });
    const nodes = [full, labelled(2, { zone: "a" }), labelled(3, { zone: "b" })];
    const running = ["x", "y"].map((id) => on("node1", id));
    const { homes } = await schedule(many(4, { spec }), { nodes, running });
    assert.deepEqual(count(homes), { node2: 1, node3: 3 });
  });

  test("a group without room leaves its share to the others", async () => {
    const small = testNode(1, {
      spec: { annotations: { labels: { zone: "a" } } },
      description: { resources: { nanoCpus: 1n } },
    });
    const reservations = { nanoCpus: 1n };
    const greedy = testTaskSpec({
      placement: spreadOver("node.labels.zone"),
      resources: { reservations },
    });
    const tasks = many(5, { spec: greedy });
    const { homes } = await schedule(tasks, { nodes: [small, labelled(2, { zone: "b" })] });
    assert.deepEqual(count(homes), { node1: 1, node2: 4 });
  });

  test("are hierarchical: on each level, no two groups differ by more than one task", async () => {
    const place = fc.record({ zone: fc.nat(2), rack: fc.nat(2) });
    const property = fc.asyncProperty(
      fc.array(place, { minLength: 1, maxLength: 9 }),
      fc.nat(30),
      async (places, size) => {
        const nodes = places.map(({ zone, rack }, index) =>
          labelled(index + 1, { zone: `z${zone}`, rack: `r${rack}` }),
        );
        const both = spreading("node.labels.zone", "Node.Labels.rack");
        const { homes } = await schedule(many(size, { spec: both }), { nodes });
        assert.equal(homes.size, size);
        const counts = places.map((one, index) => ({
          ...one,
          tasks: count(homes)[`node${index + 1}`] ?? 0,
        }));
        assertEven(Map.groupBy(counts, ({ zone }) => zone).values());
        for (const zone of Map.groupBy(counts, (one) => one.zone).values()) {
          assertEven(Map.groupBy(zone, ({ rack }) => rack).values());
          for (const rack of Map.groupBy(zone, (one) => one.rack).values()) {
            assertEven(rack.map((one) => [one]));
          }
        }
      },
    );
    await fc.assert(property, { numRuns: 80 });
  });
});

function assertEven(groups: Iterable<readonly { readonly tasks: number }[]>): void {
  const sums = [...groups].map((group) => group.reduce((sum, { tasks }) => sum + tasks, 0));
  assert.ok(Math.max(...sums) - Math.min(...sums) <= 1, `uneven: ${sums.join()}`);
}

describe("binpack", () => {
  const strategy = SchedulingStrategy.BINPACK;
  const half = testTaskSpec({ resources: { reservations: { nanoCpus: 2_000_000_000n } } });

  test("fills one node before it begins the next", async () => {
    const { homes } = await schedule(many(5, { spec: half }), { nodes: five, strategy });
    assert.deepEqual(
      Object.values(count(homes)).toSorted((a, b) => a - b),
      [1, 2, 2],
    );
  });

  test("begins with the node that is fullest already", async () => {
    const running = [on("node3", "x", { spec: half })];
    const { homes } = await schedule([pending("a", { spec: half })], {
      nodes: five,
      running,
      strategy,
    });
    assert.equal(homes.get("a"), "node3");
  });

  test("keeps to preferences and to the most per node", async () => {
    const nodes = [1, 2, 3, 4].map((n) => labelled(n, { zone: n < 3 ? "a" : "b" }));
    const spec = spreading("node.labels.zone");
    const { homes } = await schedule(many(4, { spec }), { nodes, strategy });
    assert.deepEqual(Object.values(count(homes)), [2, 2]);
    const placement = { maxReplicas: 1n };
    const few = await schedule(many(3, { spec: testTaskSpec({ placement }) }), { nodes, strategy });
    assert.deepEqual(Object.values(count(few.homes)), [1, 1, 1]);
  });
});

test("Higher priorities are placed first, then tasks that are for one node alone", async () => {
  const of = (id: string, priority: number, nodeId = "") =>
    pending(id, { serviceId: id, nodeId, spec: testTaskSpec({ priority }) });
  const tasks = [of("low", -1), of("any", 0), of("node", 0, "node1"), of("high", 7)];
  assert.deepEqual(
    inOrder(tasks).map(({ id }) => id),
    ["high", "node", "any", "low"],
  );
  const reservations = { nanoCpus: 4_000_000_000n };
  const greedy = tasks.map((task) => ({
    ...task,
    spec: testTaskSpec({ priority: task.spec?.priority ?? 0, resources: { reservations } }),
  }));
  const { homes, blocked } = await schedule(greedy, { nodes: five.slice(0, 1) });
  assert.deepEqual([...homes.keys()], ["high"]);
  assert.equal(blocked.get("node"), "no suitable node (insufficient CPU on h1)");
});

describe("a task that is for one node alone", () => {
  const alone = (nodeId: string, init: Parameters<typeof pending>[1] = {}) =>
    pending("a", { nodeId, slot: 0n, ...init });

  test("goes there, however full others leave it, and counts there", async () => {
    const running = ["x", "y"].map((id) => on("node2", id, { serviceId: id }));
    const { homes } = await schedule([alone("node2"), ...many(3, { serviceId: "other" })], {
      nodes: five.slice(0, 2),
      running,
    });
    assert.equal(homes.get("a"), "node2");
    assert.deepEqual(count(homes), { node1: 2, node2: 2 });
  });

  const reserved = testTaskSpec({ resources: { reservations: { memoryBytes: 1n << 60n } } });
  const gone = pending("a", { nodeId: "node9" });
  const elsewhere = testTaskSpec({ placement: { constraints: ["node.id != node2"] } });
  const reasons: readonly [string, Task, string][] = [
    ["lacks room", alone("node2", { spec: reserved }), "(insufficient memory on h2)"],
    ["is gone", gone, "(its node is gone)"],
    [
      "is not meant",
      alone("node2", { spec: elsewhere }),
      "(scheduling constraints not satisfied on h2)",
    ],
  ];
  for (const [what, task, reason] of reasons) {
    test(`waits where that node ${what}, and says so`, async () => {
      const { homes, blocked } = await schedule([task], { nodes: five });
      assert.equal(homes.size, 0);
      assert.equal(blocked.get("a"), `no suitable node ${reason}`);
    });
  }

  test("holds nothing of its node while it waits", async () => {
    const ground = await openGround({ nodes: five.slice(0, 1) });
    const all = testTaskSpec({ resources: { reservations: { nanoCpus: 4_000_000_000n } } });
    await ground.put("task", alone("node1", { spec: reserved }));
    await ground.round();
    await ground.put("task", pending("b", { serviceId: "b", spec: all }));
    assert.equal((await ground.round()).homes.get("b"), "node1");
  });
});

describe("generic resources", () => {
  const rich = testNode(1, {
    description: { resources: { generic: [...parseGenericResources(["gpu=u1,gpu=u2", "ssd=3"])] } },
  });
  const asking = (id: string, ...asked: readonly string[]) =>
    pending(id, {
      serviceId: id,
      spec: testTaskSpec({
        resources: { reservations: { generic: [...parseGenericResources(asked)] } },
      }),
    });

  test("are granted by piece or by count, each piece once, until they run out", async () => {
    const ground = await openGround({ nodes: [rich, testNode(2)] });
    await ground.put("task", asking("a", "gpu=1", "ssd=2"), asking("b", "gpu=1"));
    await ground.put("task", asking("c", "gpu=1"), asking("d", "ssd=2"));
    const { blocked } = await ground.round();
    const env = (id: string) =>
      genericResourceEnv(ground.store.get("task", id)?.assignedGenericResources ?? []);
    assert.deepEqual(env("a"), ["DOCKER_RESOURCE_GPU=u1", "DOCKER_RESOURCE_SSD=2"]);
    assert.deepEqual(env("b"), ["DOCKER_RESOURCE_GPU=u2"]);
    assert.equal(blocked.get("c"), "no suitable node (insufficient gpu on 2 nodes)");
    assert.equal(blocked.get("d"), "no suitable node (insufficient ssd on 2 nodes)");
  });

  test("come back when their task has ended", async () => {
    const ground = await openGround({ nodes: [rich] });
    await ground.put("task", asking("a", "gpu=2"), asking("b", "gpu=1"));
    assert.deepEqual([...(await ground.round()).blocked.keys()], ["b"]);
    const task = ground.store.get("task", "a");
    assert.ok(task?.status !== undefined);
    await ground.put("task", {
      ...task,
      status: { ...task.status, state: TaskState.COMPLETE },
      desiredState: TaskState.SHUTDOWN,
    });
    assert.deepEqual([...(await ground.round()).homes.keys()], ["b"]);
  });
});

describe("preemption", () => {
  const cpus = (count: number, priority: number) =>
    testTaskSpec({
      priority,
      resources: { reservations: { nanoCpus: BigInt(count) * 1_000_000_000n } },
    });
  const running = [
    on("node1", "low", { serviceId: "low", spec: cpus(2, 1), slot: 1n }),
    on("node1", "middle", { serviceId: "middle", spec: cpus(2, 5), slot: 1n }),
    on("node2", "lowest", { serviceId: "lowest", spec: cpus(4, 0), slot: 1n }),
  ];
  const nodes = five.slice(0, 2);
  const high = pending("high", { serviceId: "high", spec: cpus(2, 9), slot: 3n });

  test("is off unless the cluster says so", async () => {
    const { actions, blocked } = await schedule([high], { nodes, running });
    assert.equal(actions.length, 1);
    assert.equal(blocked.get("high"), "no suitable node (insufficient CPU on 2 nodes)");
  });

  test("takes the lowest, tells it for whom, and claims its room until it has ended", async () => {
    const ground = await openGround({ nodes, running, preemption: true });
    await ground.put("task", high);
    const first = await ground.round();
    assert.equal(
      first.blocked.get("high"),
      "waits for room on h2: tasks of lower priority give way",
    );
    const victim = ground.store.get("task", "lowest");
    assert.equal(victim?.desiredState, TaskState.SHUTDOWN);
    assert.equal(victim.desiredMessage, "preempted: gives way to high.3 of priority 9");
    assert.equal(ground.store.get("task", "high")?.nominatedNodeId, "node2");
    assert.deepEqual((await ground.round()).actions, []);
    // Its successor must not take the room that it has left.
    const status = { ...high.status, state: TaskState.SHUTDOWN } as NonNullable<Task["status"]>;
    await ground.put("task", { ...victim, status });
    await ground.put("task", pending("successor", { serviceId: "lowest", spec: cpus(4, 0) }));
    const last = await ground.round();
    assert.deepEqual(Object.fromEntries(last.homes), { high: "node2" });
    assert.equal(ground.store.get("task", "high")?.nominatedNodeId, "");
  });

  test("never takes the same priority, nor the own service's older tasks", async () => {
    const same = pending("same", { serviceId: "same", spec: cpus(2, 0) });
    const own = pending("own", { serviceId: "lowest", spec: cpus(3, 5) });
    const few = await schedule([same, own], { nodes: nodes.slice(1), running, preemption: true });
    assert.deepEqual([...few.blocked.keys()].toSorted(), ["own", "same"]);
    assert.deepEqual(few.actions.map(({ object }) => object.id).toSorted(), ["own", "same"]);
  });

  test("waits for what stops already rather than stop more", async () => {
    const stopping = { desiredState: TaskState.SHUTDOWN };
    const there = running.map((task) => (task.id === "low" ? { ...task, ...stopping } : task));
    const { actions, blocked } = await schedule([high], {
      nodes,
      running: there,
      preemption: true,
    });
    assert.deepEqual(
      actions.map(({ object }) => object.id),
      ["high"],
    );
    assert.match(blocked.get("high") ?? "", /^waits for room on h1/);
  });
});
