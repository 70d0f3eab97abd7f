import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { BackupConfigSchema, ClusterSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { ManagerStatusSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import { silentLog, systemRandom } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { msFromTimestamp } from "#proto/time.ts";
import type { View } from "../store/store.ts";
import { openTestStore, testCluster, testNode } from "../testing/fixtures.ts";
import { untilStore } from "../testing/until.ts";
import { parseBackup } from "./backup-file.ts";
import { ScheduledBackups } from "./scheduled-backups.ts";

const clusterId = newId(systemRandom);

function statusIn(view: View) {
  const { backup } = view.get("node", "node1")?.managerStatus ?? {};
  return {
    takenAt: backup?.takenAt && new Date(msFromTimestamp(backup.takenAt)).toISOString(),
    dueAt: backup?.dueAt && new Date(msFromTimestamp(backup.dueAt)).toISOString(),
    error: backup?.error ?? "",
    path: backup?.path ?? "",
    isThere: backup !== undefined,
  };
}

/** A manager at half past two, with a backup every day at three, of which two are kept. */
async function openGround({ folder = "", isManager = true } = {}) {
  const root = await mkdtemp(join(tmpdir(), "scheduled-backups-"));
  const clock = new FakeClock(Date.parse("2026-01-01T02:30:00Z"));
  const { store, put, log: replication } = openTestStore(clock);
  const path = folder || join(root, "backups");
  const schedule = async (
    init: Partial<{ schedule: string; folder: string; keep: number }> | undefined,
  ) => {
    const backup = create(BackupConfigSchema, {
      schedule: "0 3 * * *",
      folder: path,
      keep: 2,
      ...init,
    });
    const spec = create(ClusterSpecSchema, {
      annotations: { name: "prod" },
      ...(init !== undefined && { backup }),
    });
    await put("cluster", testCluster({ id: clusterId, spec }));
  };
  const become = () =>
    put("node", testNode(1, { managerStatus: create(ManagerStatusSchema, { raftId: 1n }) }));
  await schedule({});
  if (isManager) await become();
  else await put("node", testNode(1));
  const start = () =>
    new ScheduledBackups(
      { nodeId: "node1" },
      { store, replication, clock, random: systemRandom, log: silentLog },
    );
  return {
    root,
    path,
    clock,
    store,
    become,
    schedule,
    start,
    until: (condition: (status: ReturnType<typeof statusIn>) => boolean) =>
      untilStore(store, (view) => condition(statusIn(view))),
    stamps: async () =>
      (await readdir(path)).toSorted().map((name) => name.replace(/^.*-(\w+)\.backup$/, "$1")),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  };
}

/** A round says how it was before it says when it wants to run again, which is a few turns later. */
async function alarmSet(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
}

const dayMs = 24 * 3_600_000;

test("scheduled backups, the first is written at once, the others on time, and the newest are kept", async () => {
  await using ground = await openGround();
  await using _backups = ground.start();
  await ground.until(({ dueAt }) => dueAt === "2026-01-01T03:00:00.000Z");
  const first = statusIn(ground.store);
  assert.equal(first.takenAt, "2026-01-01T02:30:00.000Z");
  const { pieces, ...header } = parseBackup(await readFile(first.path), "");
  assert.deepEqual(header, { clusterId, index: 2n, takenAtMs: ground.clock.now() });
  assert.equal(pieces.length, 2);
  for (const [advanceMs, due] of [
    [dayMs / 48, "2026-01-02T03:00:00.000Z"],
    [dayMs, "2026-01-03T03:00:00.000Z"],
  ] as const) {
    await alarmSet();
    ground.clock.advance(advanceMs);
    await ground.until(({ dueAt }) => dueAt === due);
  }
  assert.deepEqual(await ground.stamps(), ["20260101T030000Z", "20260102T030000Z"]);
});

test("scheduled backups, a manager that was away at the time makes up for it", async () => {
  await using ground = await openGround();
  {
    await using _backups = ground.start();
    await ground.until(({ dueAt }) => dueAt === "2026-01-01T03:00:00.000Z");
  }
  ground.clock.advance(dayMs / 2);
  await using _backups = ground.start();
  await ground.until(({ takenAt }) => takenAt === "2026-01-01T14:30:00.000Z");
});

test("scheduled backups, one that fails is said, tried again, and forgotten when it works", async () => {
  await using ground = await openGround();
  await writeFile(ground.path, "a file where the folder shall be");
  await using _backups = ground.start();
  await ground.until(({ error }) => error !== "");
  const { error, takenAt } = statusIn(ground.store);
  assert.match(error, /backups?.* "\/.*\/backups"/);
  assert.equal(takenAt, undefined);
  await rm(ground.path);
  await alarmSet();
  ground.clock.advance(5 * 60_000);
  await ground.until((status) => status.error === "" && status.takenAt !== undefined);
});

test("scheduled backups, another folder is used at once, and the end of the schedule ends what is said of it", async () => {
  await using ground = await openGround();
  await using _backups = ground.start();
  await ground.until(({ takenAt }) => takenAt !== undefined);
  const folder = join(ground.root, "other");
  await ground.schedule({ folder });
  await ground.until(({ path }) => path.startsWith(folder));
  await ground.schedule(undefined);
  await ground.until(({ isThere }) => !isThere);
  assert.equal((await readdir(folder)).length, 1);
});

test("scheduled backups, a node begins when it is a manager", async () => {
  await using ground = await openGround({ isManager: false });
  await using _backups = ground.start();
  await ground.become();
  await ground.until(({ takenAt }) => takenAt !== undefined);
});

test("scheduled backups, a clock that is set back holds up none for ever", async () => {
  await using ground = await openGround();
  await mkdir(ground.path);
  for (const year of [2030, 2031]) {
    await writeFile(join(ground.path, `prod-${clusterId}-node1-${year}0101T000000Z.backup`), "");
  }
  await using _backups = ground.start();
  await ground.until(({ dueAt }) => dueAt === "2026-01-01T03:00:00.000Z");
  assert.equal(statusIn(ground.store).takenAt, "2026-01-01T02:30:00.000Z");
  const wrong = ["20300101T000000Z", "20310101T000000Z"];
  assert.deepEqual(await ground.stamps(), ["20260101T023000Z", ...wrong]);
  await alarmSet();
  ground.clock.advance(dayMs / 48);
  await ground.until(({ takenAt }) => takenAt === "2026-01-01T03:00:00.000Z");
});

test("scheduled backups, where fewer are wanted than there are, the others go at once", async () => {
  await using ground = await openGround();
  await mkdir(ground.path);
  for (const hour of ["01", "02"]) {
    await writeFile(join(ground.path, `prod-${clusterId}-node1-20260101T${hour}0000Z.backup`), "");
  }
  await using _backups = ground.start();
  await ground.until(({ isThere }) => isThere);
  assert.deepEqual(await ground.stamps(), ["20260101T010000Z", "20260101T020000Z"]);
  await ground.schedule({ keep: 1, schedule: "0 4 * * *" });
  await ground.until(({ dueAt }) => dueAt === "2026-01-01T04:00:00.000Z");
  assert.deepEqual(await ground.stamps(), ["20260101T020000Z"]);
});
