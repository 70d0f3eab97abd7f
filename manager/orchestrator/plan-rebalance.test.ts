import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeAvailability, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { NodeLoads } from "../scheduler/node-load.ts";
import {
  openTestStore,
  testNode,
  testService,
  testTask,
  testTaskSpec,
} from "../testing/fixtures.ts";
import { planRebalance, planRebalanceStep } from "./plan-rebalance.ts";

type Spec = Parameters<typeof testTaskSpec>[0];

/** So many tasks on each node, from the first on. */
async function choose(
  counts: readonly number[],
  given: {
    readonly nodes?: readonly Node[];
    readonly spec?: Spec;
    readonly takes?: (node: Node) => boolean;
    /** What the service wants now, where that is not what its tasks are. */
    readonly next?: Spec;
  } = {},
) {
  const nodes = given.nodes ?? counts.map((_, index) => testNode(index + 1));
  const tasks = counts.flatMap((count, index) =>
    Array.from({ length: count }, (_, one) => taskOn(index + 1, one, given.spec)),
  );
  const { store, put } = openTestStore();
  await put("node", ...nodes);
  await put("task", ...tasks);
  const { takes = () => true, next = given.spec } = given;
  const loads = new NodeLoads(store);
  const service = testService({ replicas: tasks.length, task: next ?? {} });
  return planRebalance(tasks, { service, nodes, loads, takes, nowMs: 0 });
}

function taskOn(node: number, one: number, spec: Spec = {}): Task {
  return testTask(`n${node}t${one}`, {
    nodeId: `node${node}`,
    slot: BigInt(node * 100 + one),
    status: { state: TaskState.RUNNING },
    spec: testTaskSpec(spec),
    atMs: one * 1000,
  });
}

test("rebalance, from the fullest nodes to the emptiest, the tasks that came last, as few as can be", async () => {
  const cases: readonly (readonly [readonly number[], readonly string[]])[] = [
    [[2, 2, 2], []],
    [[2, 1, 2], []],
    [
      [3, 3, 0],
      ["n1t2", "n2t2"],
    ],
    [
      [4, 0],
      ["n1t3", "n1t2"],
    ],
    [
      [5, 1, 0],
      ["n1t4", "n1t3", "n1t2"],
    ],
    [[1, 0, 0], []],
    [[], []],
  ];
  for (const [counts, expected] of cases) {
    const chosen = await choose(counts);
    assert.deepEqual(
      chosen.map(({ id }) => id),
      expected,
      counts.join(),
    );
  }
});

test("rebalance, nothing goes where the scheduler would put nothing", async () => {
  const paused = testNode(2, { spec: { availability: NodeAvailability.PAUSE } });
  assert.deepEqual(await choose([4, 0], { nodes: [testNode(1), paused] }), []);
  const away = { placement: { constraints: ["node.hostname!=h2"] } };
  assert.deepEqual(await choose([4, 0], { spec: away }), []);
  assert.deepEqual(await choose([4, 0], { next: away }), [], "as new tasks would be made");
  const large = { resources: { reservations: { memoryBytes: 3_000_000_000n } } };
  assert.equal((await choose([6, 0], { spec: large })).length, 2, "two have room there");
  const few = { placement: { maxReplicas: 1n } };
  assert.equal((await choose([4, 0], { spec: few })).length, 1);
  const takes = ({ number }: Node) => number !== 2;
  assert.deepEqual(await choose([4, 0], { takes }), []);
});

test("rebalance, evenly over a preferred label first, then over the nodes of each value", async () => {
  const labels = ["a", "a", "a", "b"];
  const nodes = labels.map((zone, index) =>
    testNode(index + 1, { spec: { annotations: { labels: { zone } } } }),
  );
  const preference = { case: "spread", value: { spreadDescriptor: "node.labels.zone" } } as const;
  const spec: Spec = { placement: { preferences: [{ preference }] } };
  assert.deepEqual(await choose([1, 1, 1, 3], { nodes, spec }), [], "as even as the zones");
  assert.equal((await choose([3, 0, 0, 3], { nodes, spec })).length, 2, "within a zone");
  const over = await choose([2, 2, 2, 0], { nodes, spec });
  assert.equal(over.length, 3, "half of them to the other zone");
});

test("rebalance, done it leaves nothing to do, and moves no more than must be", async () => {
  const shape = fc.array(fc.nat(9), { minLength: 1, maxLength: 6 });
  const property = fc.asyncProperty(shape, async (counts) => {
    const chosen = await choose(counts);
    const all = counts.reduce((sum, count) => sum + count, 0);
    const least = Math.floor(all / counts.length);
    const most = Math.ceil(all / counts.length);
    const over = counts.reduce((sum, count) => sum + Math.max(count - most, 0), 0);
    const under = counts.reduce((sum, count) => sum + Math.max(least - count, 0), 0);
    assert.equal(chosen.length, Math.max(over, under));
    assert.equal(new Set(chosen).size, chosen.length);
  });
  await fc.assert(property, { numRuns: 200 });
});

test("rebalance, of very many moves some are chosen at a time, until nothing is left", async () => {
  const { store, put } = openTestStore();
  await put("node", testNode(1), testNode(2));
  const tasks = Array.from({ length: 1_600 }, (_, one) => taskOn(1, one));
  await put("task", ...tasks);
  let service = testService({ replicas: 1_600 });
  service.rebalances = 1n;
  const seen: number[] = [];
  const look = { view: store, takes: () => true, nowMs: 0 };
  for (let round = 0; service.rebalancesDone < 1n; round++) {
    assert.ok(round < 20, "it comes to an end");
    const actions = planRebalanceStep(service, { ...look, loads: () => new NodeLoads(store) });
    for (const { kind, object } of actions) if (kind === "service") service = object;
    const moved = actions.flatMap(({ kind, object }) => (kind === "task" ? [object] : []));
    if (moved.length > 0) seen.push(moved.length);
    assert.ok(moved.every(({ moves }) => moves));
    await put("task", ...moved);
    const loads = () =>
      assert.fail("with every task that moves, every task there is was looked at");
    if (moved.length > 0) assert.deepEqual(planRebalanceStep(service, { ...look, loads }), []);
    // They run elsewhere by the next step.
    await put("task", ...moved.map((task) => ({ ...task, moves: false, nodeId: "node2" })));
  }
  assert.deepEqual(seen, [500, 300]);
});
