import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { newUnlockKey } from "#proto/unlock-key.ts";
import { parseBackup } from "../backup/backup-file.ts";
import { Store } from "../store/store.ts";
import { testCluster, testTask } from "../testing/fixtures.ts";
import { openControl } from "./testing/control-ground.ts";

test("backup, holds everything that there is, as it was when it began", async () => {
  const { client, put, store } = openControl();
  const clusterId = "c".repeat(25);
  const unlockKey = newUnlockKey(systemRandom);
  await put("cluster", testCluster({ id: clusterId, unlockKey }));
  await put("task", ...Array.from({ length: 5_000 }, (_, index) => testTask(`t${index}`)));
  const { index } = store;
  const chunks: Uint8Array[] = [];
  for await (const { data } of client.backupCluster({})) {
    if (chunks.length === 0) await put("task", testTask("later"));
    chunks.push(data);
  }
  assert.ok(chunks.length > 1);
  const backup = parseBackup(Buffer.concat(chunks), unlockKey);
  assert.deepEqual([backup.clusterId, backup.index], [clusterId, index]);
  const restored = new Store({ clock: systemClock });
  await restored.restore(backup.index, backup.pieces);
  assert.equal(restored.list("cluster")[0]?.unlockKey, unlockKey);
  assert.equal(restored.list("task").length, 5_000);
});

test("backup, of no cluster there is none", async () => {
  const backup = openControl().client.backupCluster({});
  await assert.rejects(Array.fromAsync(backup), { code: "failed-precondition" });
});
