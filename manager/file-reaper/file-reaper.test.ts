import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { SecretSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { openTestStore, testTask, testTaskSpec } from "../testing/fixtures.ts";
import { untilStore } from "../testing/until.ts";
import { FileReaper } from "./file-reaper.ts";

test("file reaper, what was rotated goes when its last task has ended, also of a rotation before it began", async () => {
  const { store, put } = openTestStore();
  const secret = (id: string) =>
    create(SecretSchema, { id, spec: { annotations: { name: id } }, rotatedFrom: "s" });
  const spec = testTaskSpec({
    runtime: { case: "container", value: { image: "b", secrets: [{ secretId: "used" }] } },
  });
  await put("secret", secret("early"));
  await put("task", testTask("a", { spec, desiredState: TaskState.SHUTDOWN }));
  const ports = { clock: systemClock, random: systemRandom, log: silentLog };
  await using _reaper = new FileReaper({ ...ports, store });
  await put("secret", secret("used"));
  await untilStore(store, (view) => view.get("secret", "early") === undefined);
  assert.ok(store.get("secret", "used"));
  const status = { state: TaskState.SHUTDOWN };
  await put("task", testTask("a", { spec, desiredState: TaskState.SHUTDOWN, status }));
  await untilStore(store, (view) => view.get("secret", "used") === undefined);
});
