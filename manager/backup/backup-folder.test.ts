import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BackupFolder } from "./backup-folder.ts";

const owner = { clusterName: "prod", clusterId: "cluster1", nodeId: "node1" };
const atMs = Date.parse("2026-11-21T03:00:00Z");
const hourMs = 3_600_000;
const laterMs = atMs + 24 * hourMs;
const parts = [Buffer.from("one"), Buffer.from("two")];

async function openGround() {
  const root = await mkdtemp(join(tmpdir(), "backup-folder-"));
  const path = join(root, "deep/backups");
  return {
    path,
    folder: new BackupFolder(path, owner),
    names: async () => (await readdir(path)).toSorted(),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

test("backup folder, a backup is for its owner alone, with a name that says whose it is and when it was taken", async () => {
  await using ground = await openGround();
  assert.equal(await ground.folder.newest(laterMs), undefined);
  const path = join(ground.path, "prod-cluster1-node1-20261121T030000Z.backup");
  const written = await ground.folder.write(atMs, parts);
  assert.deepEqual(written, { path, takenAtMs: atMs, sizeBytes: 6 });
  assert.equal(await readFile(path, "utf8"), "onetwo");
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal((await stat(ground.path)).mode & 0o777, 0o700);
  assert.deepEqual(await ground.folder.newest(laterMs), written);
});

test("backup folder, of its own files the newest are kept, and nothing else is touched", async () => {
  await using ground = await openGround();
  for (let hour = 0; hour < 4; hour++) await ground.folder.write(atMs + hour * hourMs, parts);
  const others = [
    "notes.txt",
    "prod-cluster1-node2-20261121T030000Z.backup",
    "prod-cluster2-node1-20261121T030000Z.backup",
    "prod-cluster1-node1-20261121T030000Z.backup.old",
    "prod-cluster1-node1-20261121T0300Z.backup",
    "prod-cluster1-node2-20261121T030000Z.backup.partial",
  ];
  for (const name of others) await writeFile(join(ground.path, name), "x");
  const draft = "prod-cluster1-node1-20261121T020000Z.backup.partial";
  await writeFile(join(ground.path, draft), "cut off by a power loss");
  await ground.folder.retain(2, laterMs);
  const kept = ["050000", "060000"].map((at) => `prod-cluster1-node1-20261121T${at}Z.backup`);
  assert.deepEqual(await ground.names(), [...others, ...kept].toSorted());
});

test("backup folder, one that cannot be written whole is not there", async () => {
  await using ground = await openGround();
  await ground.folder.write(atMs, parts);
  function* failing() {
    yield Buffer.from("half");
    throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  }
  await assert.rejects(ground.folder.write(atMs + hourMs, failing()), {
    message: /^Cannot write a backup to ".*": the disk is full/,
  });
  assert.deepEqual(await ground.names(), ["prod-cluster1-node1-20261121T030000Z.backup"]);
});

test("backup folder, what others could read before is for its owner alone afterwards", async () => {
  await using ground = await openGround();
  await ground.folder.write(atMs, parts);
  const draft = join(ground.path, "prod-cluster1-node1-20261121T040000Z.backup.partial");
  await writeFile(draft, "");
  await chmod(draft, 0o644);
  const { path } = await ground.folder.write(atMs + hourMs, parts);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
});
