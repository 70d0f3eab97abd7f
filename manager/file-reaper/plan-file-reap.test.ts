import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ConfigSchema, SecretSchema, type Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState, UpdateState, UpdateStatusSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { openTestStore, testService, testTask, testTaskSpec } from "../testing/fixtures.ts";
import { planFileReap } from "./plan-file-reap.ts";

const reading = (secretId: string, configId: string) => ({
  runtime: {
    case: "container" as const,
    value: { image: "b", secrets: [{ secretId }], configs: [{ configId }] },
  },
});

const files = [
  create(SecretSchema, { id: "s1", spec: { annotations: { name: "s.7" } }, rotatedFrom: "s" }),
  create(SecretSchema, { id: "s2", spec: { annotations: { name: "s" } } }),
] as const;
const configs = [
  create(ConfigSchema, { id: "c1", spec: { annotations: { name: "c.7" } }, rotatedFrom: "c" }),
  create(ConfigSchema, { id: "c2", spec: { annotations: { name: "c" } } }),
] as const;

async function reaped(
  service: Service,
  ...tasks: readonly ReturnType<typeof testTask>[]
): Promise<readonly string[]> {
  const { store, put } = openTestStore();
  await put("secret", ...files);
  await put("config", ...configs);
  await put("service", service);
  await put("task", ...tasks);
  return planFileReap(store).map(({ action, object }) => `${action} ${object.id}`);
}

const [old, newest] = [reading("s1", "c1"), reading("s2", "c2")];
const updated = (): Service => {
  const service = testService({ version: 2, task: newest });
  const previousSpec = testService({ task: old }).spec;
  return previousSpec === undefined ? service : { ...service, previousSpec };
};
const inState = (state: UpdateState): Service => ({
  ...updated(),
  updateStatus: create(UpdateStatusSchema, { state }),
});
const all = ["remove s1", "remove c1"];

test("rotated files, used by nobody, go; those with the name stay", async () => {
  assert.deepEqual(await reaped(testService({ task: newest })), all);
});

test("rotated files, a spec refers to them, which went back to them: they stay", async () => {
  assert.deepEqual(await reaped(testService({ task: old })), []);
});

for (const state of ["COMPLETED", "ROLLBACK_COMPLETED"] as const) {
  test(`rotated files, the update that replaced them is ${state}: they go`, async () => {
    assert.deepEqual(await reaped(inState(UpdateState[state])), all);
  });
}

for (const state of [
  "UPDATING",
  "PAUSED",
  "CANARY",
  "ROLLBACK_STARTED",
  "ROLLBACK_PAUSED",
] as const) {
  test(`rotated files, the update that replaces them is ${state}: they stay`, async () => {
    assert.deepEqual(await reaped(inState(UpdateState[state])), []);
  });
}

test("rotated files, an update is about to begin: they stay", async () => {
  const before = testTask("a", { specVersion: { index: 1n } });
  assert.deepEqual(await reaped(updated(), before), []);
  const after = testTask("a", { specVersion: { index: 2n } });
  assert.deepEqual(await reaped(updated(), after), all);
});

test("rotated files, a task that still stops has them until it has ended", async () => {
  const service = inState(UpdateState.COMPLETED);
  const stopping = (state: TaskState) =>
    testTask("a", { spec: testTaskSpec(old), desiredState: TaskState.SHUTDOWN, status: { state } });
  assert.deepEqual(await reaped(service, stopping(TaskState.RUNNING)), []);
  assert.deepEqual(await reaped(service, stopping(TaskState.SHUTDOWN)), all);
});
