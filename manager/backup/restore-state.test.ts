import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  NodeAvailability,
  NodeDescriptionSchema,
  NodeRole,
  NodeState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import { Store } from "../store/store.ts";
import {
  openTestStore,
  testCluster,
  testNode,
  testService,
  testTask,
} from "../testing/fixtures.ts";
import type { Backup } from "./backup-file.ts";
import { restoreState } from "./restore-state.ts";

const clusterId = "c".repeat(25);

async function takeBackup(unlockKey = ""): Promise<Backup> {
  const { store, put } = openTestStore();
  const rootCa = { joinTokens: { worker: "w", manager: "m" } };
  await put("cluster", testCluster({ id: clusterId, unlockKey, rootCa }));
  const manager = {
    role: NodeRole.MANAGER,
    spec: { desiredRole: NodeRole.MANAGER },
    managerStatus: { raftId: 7n, address: "192.0.2.1:2377" },
    sessionId: "session",
  };
  await put("node", testNode(1, manager), testNode(3));
  await put("service", testService());
  await put("task", testTask("t1", { nodeId: "node3" }));
  const pieces = [...store.snapshot()];
  return { clusterId, index: store.index, takenAtMs: 0, pieces };
}

const options = {
  nodeId: "new",
  description: create(NodeDescriptionSchema, { hostname: "h9" }),
  availability: NodeAvailability.DRAIN,
  unlockKey: "",
  nowMs: 1_767_323_045_000,
};

async function restore(backup: Backup, given: Partial<typeof options> = {}): Promise<Store> {
  const store = new Store({ clock: systemClock });
  await store.restore(backup.index, restoreState(backup, { ...options, ...given }));
  return store;
}

test("restored state, what users made is as it was", async () => {
  const backup = await takeBackup();
  const store = await restore(backup);
  const before = new Store({ clock: systemClock });
  await before.restore(backup.index, backup.pieces);
  for (const kind of ["cluster", "service", "task"] as const) {
    assert.deepEqual(store.list(kind), before.list(kind));
  }
});

test("restored state, the new host is the one manager, and a new node", async () => {
  const store = await restore(await takeBackup());
  const node = store.get("node", "new");
  assert.deepEqual(
    [node?.role, node?.spec?.desiredRole, node?.spec?.availability, node?.description?.hostname],
    [NodeRole.MANAGER, NodeRole.MANAGER, NodeAvailability.DRAIN, "h9"],
  );
  assert.equal(node?.number, 2);
  assert.equal(node?.meta?.version?.index, store.index);
  const managers = store.list("node").filter(({ role }) => role === NodeRole.MANAGER);
  assert.deepEqual(managers, [node]);
});

test("restored state, all other nodes are workers and down until they come back", async () => {
  const store = await restore(await takeBackup());
  for (const id of ["node1", "node3"]) {
    const node = store.get("node", id);
    assert.deepEqual(
      [node?.role, node?.spec?.desiredRole, node?.managerStatus, node?.sessionId],
      [NodeRole.WORKER, NodeRole.WORKER, undefined, ""],
    );
    assert.equal(node?.status?.state, NodeState.DOWN);
  }
});

test("restored state, managers that lock themselves need their unlock key", async () => {
  const backup = await takeBackup("SWMKEY-1-a");
  await assert.rejects(restore(backup), {
    code: "failed-precondition",
    message: "the managers of this cluster lock themselves: give their unlock key, with --unlock",
  });
  await assert.rejects(restore(backup, { unlockKey: "SWMKEY-1-b" }), {
    message: "the unlock key is not the one that the cluster had when the backup was made",
  });
  const store = await restore(backup, { unlockKey: "SWMKEY-1-a" });
  assert.equal(store.list("cluster")[0]?.unlockKey, "SWMKEY-1-a");
});

test("restored state, what cannot be read is named", async () => {
  const backup = await takeBackup();
  const garbage = { ...backup, pieces: [...backup.pieces, Buffer.from([0xff])] };
  await assert.rejects(restore(garbage), /^Fault: the backup holds an object that cannot be read/);
  const unknown = { ...backup, pieces: [...backup.pieces, Buffer.from([0xfa, 0x01, 0x00])] };
  await assert.rejects(restore(unknown), /a kind that this program does not know/);
  const other = { ...backup, clusterId: "d".repeat(25) };
  await assert.rejects(restore(other), { code: "data-loss" });
});
