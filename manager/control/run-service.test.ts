import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { RunState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { testNode, testTask, testTaskSpec } from "../testing/fixtures.ts";
import { type ControlGround, openControl } from "./testing/control-ground.ts";

type Mode = MessageInitShape<typeof ServiceSpecSchema>["mode"];

function specOf(mode: Mode, init: Partial<ServiceSpec> = {}): ServiceSpec {
  const spec = create(ServiceSpecSchema, { mode: mode as never, task: testTaskSpec() });
  const annotations = { $typeName: "swarm.v1.Annotations", name: "job", labels: {} } as const;
  return { ...spec, annotations, ...init };
}

const replicatedJob = {
  case: "replicatedJob",
  value: { totalCompletions: 4n, maxConcurrent: 2n },
} as const;

async function change(ground: ControlGround, spec: ServiceSpec): Promise<bigint> {
  const { client } = ground;
  const { service } = await client.getService({ ref: "job" });
  const version = service?.meta?.version;
  const updated = await client.updateService({ ref: "job", spec, ...(version && { version }) });
  return updated.service?.jobStatus?.jobIteration?.index ?? 0n;
}

test("control, a job begins when it is made, and again when what it runs is changed", async () => {
  const ground = openControl();
  const { service } = await ground.client.createService({ spec: specOf(replicatedJob) });
  assert.equal(service?.jobStatus?.jobIteration?.index, 1n);
  assert.ok(service?.jobStatus?.lastExecution);
  const labels = { $typeName: "swarm.v1.Annotations", name: "job", labels: { a: "b" } } as const;
  assert.equal(await change(ground, specOf(replicatedJob, { annotations: labels })), 1n);
  const task = testTaskSpec({ forceUpdate: 1n });
  assert.equal(await change(ground, specOf(replicatedJob, { task })), 2n);
  const { service: again } = await ground.client.runService({ ref: "job" });
  assert.equal(again?.jobStatus?.jobIteration?.index, 3n);
});

test("control, a job with a schedule runs by hand, but not beside a run where that is forbidden", async () => {
  const ground = openControl();
  const spec = specOf(replicatedJob);
  spec.schedule = create(ServiceSpecSchema, { schedule: { cron: "@daily" } }).schedule as never;
  const { service } = await ground.client.createService({ spec });
  assert.equal(service?.jobStatus, undefined);
  const { service: run } = await ground.client.runService({ ref: "job" });
  const [first] = run?.scheduleStatus?.runs ?? [];
  assert.equal(first?.state, RunState.RUNNING);
  assert.equal(first?.scheduledAt, undefined);
  await assert.rejects(ground.client.runService({ ref: "job" }), {
    code: "failed-precondition",
    message:
      'Cannot run service "job" now: a run of it goes on, and its schedule forbids two at a time: wait for its end',
  });
});

test("control, what is no job is not run", async () => {
  const ground = openControl();
  await ground.client.createService({ spec: specOf({ case: "global", value: {} } as never) });
  await assert.rejects(ground.client.runService({ ref: "job" }), {
    code: "failed-precondition",
    message: 'Cannot run service "job" now: it is not a job',
  });
});

test("control, lists count a job's newest run, and a global service's nodes", async () => {
  const ground = openControl();
  const { service } = await ground.client.createService({ spec: specOf(replicatedJob) });
  assert.ok(service);
  const states = [TaskState.COMPLETE, TaskState.RUNNING, TaskState.COMPLETE];
  const tasks = states.map((state, index) =>
    testTask(`t${index}`, {
      serviceId: service.id,
      nodeId: "node1",
      slot: BigInt(index + 1),
      desiredState: TaskState.COMPLETE,
      status: { state },
      jobIteration: { index: index === 2 ? 0n : 1n },
    }),
  );
  await ground.put("task", ...tasks);
  const { statuses } = await ground.client.listServices({});
  const { runningTasks, desiredTasks, completedTasks } = statuses[0] ?? {};
  assert.deepEqual([runningTasks, desiredTasks, completedTasks], [1n, 2n, 1n]);
  const annotations = { $typeName: "swarm.v1.Annotations", name: "all", labels: {} } as const;
  await ground.put("node", testNode(1), testNode(2), testNode(3, { status: {} }));
  const mode = { case: "global", value: {} } as never;
  await ground.client.createService({ spec: specOf(mode, { annotations }) });
  const { status } = await ground.client.getService({ ref: "all" });
  assert.deepEqual([status?.runningTasks, status?.desiredTasks], [0n, 2n]);
});
