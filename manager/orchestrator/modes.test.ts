/** Global services, jobs, dependencies and constraints on a manager with agents that have no containers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  GlobalJobSchema,
  GlobalServiceSchema,
  ReplicatedJobSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  DependencyCondition,
  DependencySchema,
  NodeAvailability,
  RestartCondition,
  TaskState,
  UpdateConfigSchema,
  UpdateState,
  VersionSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { asCreated, withRun } from "../job.ts";
import type { View } from "../store/store.ts";
import { isTerminal, isWanted, stateOf } from "../task.ts";
import { testCluster, testNode, testService } from "../testing/fixtures.ts";
import { TestAgent } from "../testing/test-agent.ts";
import { startTestManager } from "../testing/test-manager.ts";

function withMode(service: Service, mode: NonNullable<Service["spec"]>["mode"]): Service {
  assert.ok(service.spec);
  service.spec.mode = mode;
  return asCreated(service, 0);
}

const global = (service: Service) =>
  withMode(service, { case: "global", value: create(GlobalServiceSchema) });

function job(name: string, totalCompletions: bigint, maxConcurrent: bigint): Service {
  const value = create(ReplicatedJobSchema, { totalCompletions, maxConcurrent });
  return withMode(testService({ name }), { case: "replicatedJob", value });
}

function running(view: View, name: string): string[] {
  return view
    .tasksOfService(`service-${name}`)
    .filter((task) => isWanted(task) && stateOf(task) === TaskState.RUNNING)
    .map(({ nodeId }) => nodeId)
    .toSorted();
}

function completed(view: View, name: string): number {
  const tasks = view.tasksOfService(`service-${name}`);
  return tasks.filter((task) => stateOf(task) === TaskState.COMPLETE).length;
}

/** A manager with two nodes whose agents run whatever they get. */
async function openCluster() {
  const scope = new AsyncDisposableStack();
  const manager = scope.use(await startTestManager());
  await manager.put("cluster", testCluster());
  await manager.put("node", testNode(1), testNode(2));
  const agents = [1, 2].map((number) =>
    scope.use(new TestAgent({ nodeId: `node${number}`, address: manager.address, runs: true })),
  );
  await Promise.all(agents.map((agent) => agent.connect()));
  const label = async (number: number, labels: Record<string, string>) => {
    const node = manager.store.get("node", `node${number}`);
    assert.ok(node?.spec);
    const annotations = { $typeName: "swarm.v1.Annotations", name: "", labels } as const;
    await manager.put("node", { ...node, spec: { ...node.spec, annotations } });
  };
  /** Its agent says that the first of the job's tasks that run has completed. */
  const complete = async (name: string) => {
    const task = manager.store
      .tasksOfService(`service-${name}`)
      .find((one) => stateOf(one) === TaskState.RUNNING);
    const agent = agents[Number(task?.nodeId.slice(-1)) - 1];
    await agent?.report(task?.id ?? "", TaskState.COMPLETE);
  };
  const fail = async (name: string, nodeId: string) => {
    const task = manager.store
      .tasksOfNode(nodeId)
      .find((one) => one.serviceId === `service-${name}` && stateOf(one) === TaskState.RUNNING);
    await agents[Number(nodeId.slice(-1)) - 1]?.report(task?.id ?? "", TaskState.REJECTED);
  };
  return { manager, label, complete, fail, [Symbol.asyncDispose]: () => scope.disposeAsync() };
}

test("A global service's task that waits for room on its node goes with the service", async () => {
  await using cluster = await openCluster();
  const { manager } = cluster;
  const resources = { reservations: { memoryBytes: 1n << 60n } };
  const service = global(testService({ task: { resources } }));
  await manager.put("service", service);
  await manager.until(
    (view) =>
      view.list("task").length === 2 && view.list("task").every(({ status }) => status?.err !== ""),
  );
  await manager.remove("service", service);
  await manager.until((view) => view.list("task").length === 0);
});

test("A global service follows nodes as they come, change and go", async () => {
  await using cluster = await openCluster();
  const { manager, label } = cluster;
  const placement = { constraints: ["node.labels.web!=no"] };
  await manager.put("service", global(testService({ task: { placement } })));
  await manager.until((view) => running(view, "web").join() === "node1,node2");
  await manager.put("node", testNode(3));
  using third = new TestAgent({ nodeId: "node3", address: manager.address, runs: true });
  await third.connect();
  await manager.until((view) => running(view, "web").length === 3);
  await label(1, { web: "no" });
  await manager.until((view) => running(view, "web").join() === "node2,node3");
  await label(1, {});
  await manager.until((view) => running(view, "web").length === 3);
  assert.equal(manager.store.tasksOfNode("node1").length, 2);
  const service = manager.store.get("service", "service-web");
  assert.ok(service);
  await manager.remove("service", service);
  await manager.until((view) => view.list("task").length === 0);
});

test("A paused node that is active again gets the update that it has missed", async () => {
  await using cluster = await openCluster();
  const { manager } = cluster;
  const setAvailability = async (availability: NodeAvailability) => {
    const node = manager.store.get("node", "node2");
    assert.ok(node?.spec);
    await manager.put("node", { ...node, spec: { ...node.spec, availability } });
  };
  const versions = (view: View) =>
    view
      .tasksOfService("service-web")
      .filter((task) => isWanted(task) && stateOf(task) === TaskState.RUNNING)
      .map(({ specVersion }) => specVersion?.index)
      .join();
  const paced = global(testService());
  assert.ok(paced.spec);
  paced.spec.update = create(UpdateConfigSchema, { parallelism: 1n, monitor: durationFromMs(1) });
  await manager.put("service", paced);
  await manager.until((view) => running(view, "web").join() === "node1,node2");
  await setAvailability(NodeAvailability.PAUSE);
  const service = manager.store.get("service", "service-web");
  assert.ok(service?.spec?.task);
  const task = { ...service.spec.task, forceUpdate: 1n };
  const specVersion = create(VersionSchema, { index: 7n });
  await manager.put("service", { ...service, spec: { ...service.spec, task }, specVersion });
  const state = (view: View) => view.get("service", "service-web")?.updateStatus?.state;
  await manager.until((view) => state(view) === UpdateState.COMPLETED);
  await setAvailability(NodeAvailability.ACTIVE);
  await manager.until((view) => versions(view) === "7,7");
});

test("A job completes, stays so under a new leader, and runs again with a new iteration", async () => {
  await using cluster = await openCluster();
  const { manager, complete } = cluster;
  await manager.put("service", job("sum", 3n, 2n));
  await manager.until((view) => running(view, "sum").length === 2);
  await complete("sum");
  await manager.until((view) => completed(view, "sum") === 1 && running(view, "sum").length === 2);
  await complete("sum");
  await complete("sum");
  await manager.until((view) => completed(view, "sum") === 3);
  const before = manager.store.list("task").map(({ id }) => id);
  await using next = await startTestManager({ test: manager });
  // Whatever the new leader would do about the job it has done when the other service runs.
  await next.put("service", testService());
  await next.until((view) => view.list("task").length >= 4);
  const still = next.store.tasksOfService("service-sum");
  assert.deepEqual(still.map(({ id }) => id).toSorted(), before.toSorted());
  const service = next.store.get("service", "service-sum");
  assert.ok(service);
  await next.put("service", withRun(service, { nowMs: 1 }));
  await next.until((view) => {
    const tasks = view.tasksOfService("service-sum");
    return tasks.length === 2 && tasks.every(({ id }) => !before.includes(id));
  });
});

test("A global job runs once on each node, also on one that joins later", async () => {
  await using cluster = await openCluster();
  const { manager, complete } = cluster;
  const value = create(GlobalJobSchema);
  await manager.put(
    "service",
    withMode(testService({ name: "scan" }), { case: "globalJob", value }),
  );
  await manager.until((view) => running(view, "scan").length === 2);
  await complete("scan");
  await complete("scan");
  await manager.until((view) => completed(view, "scan") === 2);
  await manager.put("node", testNode(3));
  using third = new TestAgent({ nodeId: "node3", address: manager.address, runs: true });
  await third.connect();
  await manager.until((view) => running(view, "scan").join() === "node3");
});

test("A service's tasks get ready and wait, say for what, and go on when it is there", async () => {
  await using cluster = await openCluster();
  const { manager, complete } = cluster;
  const web = testService({ replicas: 2 });
  assert.ok(web.spec);
  const condition = DependencyCondition.COMPLETED;
  web.spec.dependsOn = [create(DependencySchema, { service: "migrate", condition })];
  await manager.put("service", web);
  const says = (message: string) => (view: View) => {
    const tasks = view.tasksOfService("service-web");
    return (
      tasks.length === 2 &&
      tasks.every(({ status }) => status?.state === TaskState.READY && status.message === message)
    );
  };
  await manager.until(says("waiting for service migrate, which does not exist"));
  await manager.put("service", job("migrate", 1n, 1n));
  await manager.until(says("waiting for migrate to complete"));
  await manager.until((view) => running(view, "migrate").length === 1);
  await complete("migrate");
  await manager.until((view) => running(view, "web").length === 2);
  assert.equal(manager.store.get("service", "service-web")?.dependenciesMet, true);
});

test("A node keeps no more dead tasks of a global service than the cluster says", async () => {
  await using cluster = await openCluster();
  const { manager, fail } = cluster;
  const orchestration = { taskHistoryRetentionLimit: 1n };
  await manager.put(
    "cluster",
    testCluster({ spec: { annotations: { name: "default" }, orchestration } }),
  );
  const restart = { condition: RestartCondition.ANY, delay: durationFromMs(0) };
  await manager.put("service", global(testService({ task: { restart } })));
  await manager.until((view) => running(view, "web").length === 2);
  const before = manager.store.tasksOfNode("node2").map(({ id }) => id);
  for (let times = 0; times < 3; times++) {
    await fail("web", "node1");
    await manager.until((view) => running(view, "web").length === 2);
  }
  await manager.until((view) => view.tasksOfNode("node1").length === 2);
  const after = manager.store.tasksOfNode("node2").map(({ id }) => id);
  assert.deepEqual(after, before);
});

test("A node that no longer meets the constraints of its tasks loses them to another one", async () => {
  await using cluster = await openCluster();
  const { manager, label } = cluster;
  await label(1, { disk: "ssd" });
  const placement = { constraints: ["node.labels.disk==ssd"] };
  await manager.put("service", testService({ replicas: 2, task: { placement } }));
  await manager.until((view) => running(view, "web").join() === "node1,node1");
  await label(2, { disk: "ssd" });
  await label(1, {});
  await manager.until((view) => running(view, "web").join() === "node2,node2");
  const isOver = (view: View) =>
    view.tasksOfNode("node1").every((task) => isTerminal(task) && !isWanted(task));
  await manager.until(isOver);
  const [told] = manager.store.tasksOfNode("node1");
  assert.equal(told?.desiredMessage, "its node does not meet node.labels.disk==ssd any more");
});
