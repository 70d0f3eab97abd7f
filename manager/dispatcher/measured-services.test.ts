import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { type TaskUsage, TaskUsageSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { AutoscaleSchema, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { until } from "#proto/testing/until.ts";
import { durationFromMs } from "#proto/time.ts";
import type { Usage } from "../autoscaler/usage-book.ts";
import { openTestStore, testNode, testService, testTask } from "../testing/fixtures.ts";
import { TestAgent } from "../testing/test-agent.ts";
import { startTestManagers } from "../testing/test-manager.ts";
import { MeasuredServices } from "./measured-services.ts";

const timeout = 20_000;

function scaled(name: string): Service {
  const service = testService({ name });
  const autoscale = create(AutoscaleSchema, { minReplicas: 1n, maxReplicas: 9n, cpuPercent: 50 });
  return { ...service, ...(service.spec && { spec: { ...service.spec, autoscale } }) };
}

const runningOn = (nodeId: string, id: string, serviceId: string) =>
  testTask(id, { nodeId, serviceId, status: { state: TaskState.RUNNING } });

function usage(
  taskId: string,
  init: { nanoCpus?: bigint; memoryBytes?: bigint; ms?: number } = {},
) {
  const { ms = 10_000, ...used } = init;
  const period = durationFromMs(ms);
  return create(TaskUsageSchema, { taskId, serviceId: "lies", period, ...used });
}

test("measured services, of a node those that scale and that it has tasks of", async () => {
  const { store, put } = openTestStore();
  await put("service", scaled("web"), scaled("other"), testService({ name: "plain" }));
  await put(
    "task",
    runningOn("node1", "a", "service-web"),
    runningOn("node1", "b", "service-plain"),
    runningOn("node2", "c", "service-other"),
  );
  assert.deepEqual([...new MeasuredServices(store).idsFor("node1")], ["service-web"]);
});

test("measured services, a node hears of them, and when there is another, or one less", {
  timeout,
}, async () => {
  const { managers } = await startTestManagers(1);
  const [manager] = managers;
  assert.ok(manager);
  await using _ = manager;
  await manager.put("node", testNode(1));
  await manager.put("service", scaled("web"));
  await manager.until((view) => view.tasksOfNode("node1").length === 1);
  using agent = new TestAgent({ nodeId: "node1", address: manager.address });
  const { measuredServiceIds } = await agent.connect();
  assert.deepEqual(measuredServiceIds, ["service-web"]);
  const heard = (...ids: readonly string[]) =>
    agent.until(() => agent.news?.measuredServiceIds.toSorted().join() === ids.join());
  await manager.put("service", scaled("other"), testService({ name: "plain" }));
  await heard("service-other", "service-web");
  await manager.put("service", testService({ name: "web" }));
  await heard("service-other");
  await manager.put("service", scaled("plain"));
  await heard("service-other", "service-plain");
});

test("measurements, of any manager's nodes come to the leader", { timeout }, async () => {
  const { managers } = await startTestManagers(2);
  const [leader, follower] = managers;
  assert.ok(leader && follower);
  await using _leader = leader;
  await using _follower = follower;
  await leader.put("node", testNode(1), testNode(2));
  await leader.put("service", scaled("web"));
  await leader.put(
    "task",
    runningOn("node1", "a", "service-web"),
    runningOn("node2", "b", "service-web"),
  );
  await follower.until((view) => view.get("task", "b") !== undefined);
  for (const [nodeId, taskId, manager] of [
    ["node1", "a", leader],
    ["node2", "b", follower],
  ] as const) {
    using agent = new TestAgent({ nodeId, address: manager.address });
    const { sessionId } = await agent.connect();
    const usages = [usage(taskId, { nanoCpus: 5n, memoryBytes: 7n }), usage("none")];
    await agent.dispatcher.heartbeat({ sessionId, usages });
    await until(() => leader.usageBook()?.of(taskId) !== undefined);
    const known: Usage | undefined = leader.usageBook()?.of(taskId);
    assert.ok(known);
    assert.deepEqual([known.nanoCpus, known.memoryBytes], [5, 7]);
    assert.equal(known.atMs - known.sinceMs, 10_000);
  }
  assert.equal(leader.usageBook()?.of("none"), undefined);
  assert.equal(follower.usageBook(), undefined);
});

test("measurements, of others' tasks, of tasks that nobody asked for, and what no node has are not believed", async () => {
  const { store, put } = openTestStore();
  await put("service", scaled("web"), testService({ name: "plain" }));
  await put(
    "task",
    runningOn("node1", "mine", "service-web"),
    runningOn("node2", "foreign", "service-web"),
    runningOn("node1", "unasked", "service-plain"),
  );
  const measured = new MeasuredServices(store);
  const node = testNode(1);
  const accepted = (...usages: readonly TaskUsage[]) =>
    measured.accept(usages, node).map(({ taskId, serviceId }) => `${taskId} of ${serviceId}`);
  assert.deepEqual(accepted(usage("foreign"), usage("unasked"), usage("mine")), [
    "mine of service-web",
  ]);
  assert.deepEqual(accepted(usage("mine", { nanoCpus: 9_000_000_000n })), []);
  assert.deepEqual(accepted(usage("mine", { memoryBytes: 8_000_000_001n })), []);
  assert.deepEqual(accepted(usage("mine", { ms: 0 }), usage("mine", { ms: -5_000 })), []);
});

test("measurements, whatever a node says, what is believed is its own and within what it has", async () => {
  const { store, put } = openTestStore();
  await put("service", scaled("web"));
  await put("task", runningOn("node1", "a", "service-web"), runningOn("node2", "b", "service-web"));
  const measured = new MeasuredServices(store);
  const node = testNode(1);
  const any64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const said = fc.record({
    taskId: fc.constantFrom("a", "b", "c", ""),
    serviceId: fc.string(),
    nanoCpus: any64,
    memoryBytes: any64,
    period: fc.option(
      fc.record({
        seconds: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        nanos: fc.integer(),
      }),
      { nil: undefined },
    ),
  });
  fc.assert(
    fc.property(fc.array(said), (all) => {
      const usages = all.map(({ period, ...rest }) =>
        create(TaskUsageSchema, { ...rest, ...(period && { period }) }),
      );
      for (const { taskId, serviceId, nanoCpus, memoryBytes } of measured.accept(usages, node)) {
        assert.deepEqual([taskId, serviceId], ["a", "service-web"]);
        assert.ok(nanoCpus <= 8_000_000_000n && memoryBytes <= 8_000_000_000n);
      }
    }),
  );
});
