import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { newId } from "#proto/ids.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { timestampFromMs } from "#proto/time.ts";
import { initialState } from "../task/state.ts";
import { TaskFiles } from "../task/task-files.ts";
import { layersInUse, readTaskUses } from "./task-uses.ts";

const taskOf = (image: string) =>
  create(TaskSchema, {
    id: newId(systemRandom),
    serviceId: "service",
    meta: { createdAt: timestampFromMs(1_000) },
    spec: { runtime: { case: "container", value: { image } } },
  });

test("uses of images, are read from the tasks' folders, whatever else is in them", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "task-uses-"));
  t.after(() => rm(folder, { recursive: true }));
  const files = new TaskFiles(folder);
  const [live, ended, wrong] = [taskOf("nginx"), taskOf("app:1"), taskOf("NO NAME")];
  const state = initialState("running", 1_000);
  const outcome = { kind: "ended", outcome: "complete" } as const;
  for (const task of [live, ended, wrong]) {
    await files.saveTask(task);
    await files.saveState(task.id, task === ended ? { ...state, phase: outcome } : state);
  }
  const layers = Array.from({ length: 11 }, (_, index) => `/layers/${index}/tree`);
  for (const task of [live, ended]) {
    await mkdir(join(folder, task.id, "l"));
    for (const [index, layer] of layers.entries()) {
      const name = task === ended ? `${layer}-old` : layer;
      await symlink(name, join(folder, task.id, "l", `${index}`));
    }
  }
  await mkdir(join(folder, newId(systemRandom)));
  await writeFile(join(folder, "stray"), "");
  const uses = await readTaskUses(folder);
  assert.deepEqual(
    uses
      .map(({ reference, isLive, createdAtMs }) => [reference, isLive, createdAtMs])
      .toSorted((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1)),
    [
      ["docker.io/library/app:1", false, 1_000],
      ["docker.io/library/nginx:latest", true, 1_000],
    ],
  );
  assert.deepEqual([...layersInUse(uses)], layers);
});

test("uses of images, of a node that never had a task are none", async () => {
  assert.deepEqual(await readTaskUses("/nonexistent/tasks"), []);
});
