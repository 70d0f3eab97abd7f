import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  CreateServiceRequestSchema,
  PromoteServiceRequestSchema,
  RebalanceServiceRequestSchema,
  UpdateServiceRequestSchema,
} from "#proto/gen/swarm/v1/control_pb.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  SchedulingStrategy,
  TaskState,
  UpdateState,
  type UpdateStatus,
  UpdateStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { testCluster, testTask, testTaskSpec } from "../testing/fixtures.ts";
import { type ControlGround, openControl } from "./testing/control-ground.ts";

function spec(replicas: bigint, image = "nginx"): ServiceSpec {
  return create(ServiceSpecSchema, {
    annotations: { name: "web" },
    task: testTaskSpec({ runtime: { case: "container", value: { image } } }),
    mode: { case: "replicated", value: { replicas } },
    update: { parallelism: 1n, canary: 1n },
  });
}

async function update(ground: ControlGround, wanted: ServiceSpec, dryRun = false) {
  const stored = serviceOf(ground);
  const request = create(UpdateServiceRequestSchema, { ref: "web", spec: wanted, dryRun });
  if (stored.meta?.version !== undefined) request.version = stored.meta.version;
  return ground.api.updateService(request, ground.context);
}

function serviceOf({ store }: ControlGround): Service {
  const service = store.byName("service", "web");
  assert.ok(service);
  return service;
}

async function withService(replicas: bigint): Promise<ControlGround> {
  const ground = openControl();
  const request = create(CreateServiceRequestSchema, { spec: spec(replicas) });
  await ground.api.createService(request, ground.context);
  return ground;
}

async function setStatus(ground: ControlGround, status: Partial<UpdateStatus>): Promise<void> {
  const updateStatus = { ...create(UpdateStatusSchema), ...status };
  await ground.put("service", { ...serviceOf(ground), updateStatus });
}

test("service, a dry run says what would be and writes nothing", async () => {
  const ground = openControl();
  const request = create(CreateServiceRequestSchema, { spec: spec(2n), dryRun: true });
  const created = await ground.api.createService(request, ground.context);
  assert.equal(created.service?.spec?.annotations?.name, "web");
  assert.deepEqual(ground.store.list("service"), []);

  await ground.api.createService({ ...request, dryRun: false }, ground.context);
  const { id, meta } = serviceOf(ground);
  const init = { serviceId: id, nodeId: "node1", status: { state: TaskState.RUNNING } };
  const made = serviceOf(ground).spec?.task;
  assert.ok(made !== undefined);
  const tasks = [1n, 2n].map((slot) => testTask(`t${slot}`, { ...init, slot, spec: made }));
  await ground.put("task", ...tasks);
  for (const [wanted, replaced] of [
    [spec(2n), []],
    [spec(1n), ["t2"]],
    [spec(2n, "nginx:2"), ["t1", "t2"]],
  ] as const) {
    const answer = await update(ground, wanted, true);
    assert.deepEqual(answer.replacedTaskIds, replaced);
    assert.deepEqual(answer.service?.spec?.mode, wanted.mode);
  }
  assert.deepEqual(serviceOf(ground).meta, meta);
  await assert.rejects(ground.api.createService(request, ground.context), {
    code: "already-exists",
  });
});

test("service, scaled while an update is unfinished the update goes on, and its old container is kept to go back to", async () => {
  const ground = await withService(2n);
  await update(ground, spec(2n, "nginx:2"));
  await setStatus(ground, { state: UpdateState.CANARY });
  const before = serviceOf(ground);
  await update(ground, spec(5n, "nginx:2"));
  const { updateStatus, specVersion, previousSpec } = serviceOf(ground);
  assert.equal(updateStatus?.state, UpdateState.CANARY);
  assert.deepEqual(specVersion, before.specVersion);
  assert.deepEqual(previousSpec, { ...spec(5n), task: before.previousSpec?.task });

  await setStatus(ground, { state: UpdateState.PAUSED });
  await update(ground, spec(6n, "nginx:2"));
  assert.equal(serviceOf(ground).updateStatus, undefined, "it goes on");
  assert.deepEqual(serviceOf(ground).previousSpec?.task, before.previousSpec?.task);

  await update(ground, spec(7n, "nginx:2"));
  assert.deepEqual(serviceOf(ground).previousSpec, spec(6n, "nginx:2"));
});

test("service, promoted where canaries wait, and refused with the reason where none do", async () => {
  const ground = await withService(2n);
  const request = create(PromoteServiceRequestSchema, { ref: "web" });
  const promote = async () => ground.api.promoteService(request, ground.context);
  const refusal = (why: string) => ({
    code: "failed-precondition",
    message: `Cannot promote service "web": ${why}`,
  });
  await assert.rejects(promote(), refusal("no update of it waits for a promotion"));
  await setStatus(ground, { state: UpdateState.UPDATING });
  const early = "its canaries do not all run yet: try again when they do";
  await assert.rejects(promote(), refusal(early));
  await setStatus(ground, { state: UpdateState.PAUSED, message: "update paused due to that" });
  await assert.rejects(promote(), refusal("update paused due to that"));
  await setStatus(ground, { state: UpdateState.CANARY });
  const { service } = await promote();
  assert.deepEqual(
    [service?.updateStatus?.state, service?.updateStatus?.promoted],
    [UpdateState.UPDATING, true],
  );
  await update(ground, { ...spec(2n, "nginx:3"), update: undefined });
  await assert.rejects(promote(), refusal("its updates have no canaries (--update-canary)"));
});

test("service, asked to be rebalanced it says so to the rebalancer, where there is something to even out", async () => {
  const ground = await withService(2n);
  const request = create(RebalanceServiceRequestSchema, { ref: "web" });
  const rebalance = async () => ground.api.rebalanceService(request, ground.context);
  const before = await rebalance();
  assert.equal(before.service?.rebalances, 1n);
  await setStatus(ground, { state: UpdateState.PAUSED, message: "update paused due to that" });
  const paused = /what moves would be updated: update paused due to that$/;
  await assert.rejects(rebalance(), { code: "failed-precondition", message: paused });
  await setStatus(ground, { state: UpdateState.COMPLETED });
  const scheduling = { strategy: SchedulingStrategy.BINPACK };
  await ground.put("cluster", testCluster({ spec: { scheduling } }));
  await assert.rejects(rebalance(), { code: "failed-precondition", message: /packs tasks/ });
  const stored = serviceOf(ground);
  assert.ok(stored.spec);
  const mode = create(ServiceSpecSchema, { mode: { case: "global", value: {} } }).mode;
  await ground.put("service", { ...stored, spec: { ...stored.spec, mode } });
  await assert.rejects(rebalance(), { code: "failed-precondition", message: /not replicated/ });
});
