import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import type { LogFields } from "#proto/ports.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { openTestStore, testNode, type TestStore } from "../testing/fixtures.ts";
import { MemoryGroup } from "../testing/memory-log.ts";
import { untilStore } from "../testing/until.ts";
import { RoleManager } from "./role-manager.ts";

const { MANAGER, WORKER } = NodeRole;

async function openGroup(count: number): Promise<{ first: TestStore; all: readonly TestStore[] }> {
  const group = new MemoryGroup();
  const all = Array.from({ length: count }, (_, index) => {
    const address = `192.0.2.${index + 1}:2377`;
    return openTestStore(systemClock, { group, nodeId: `node${index + 1}`, address });
  });
  const [first] = all;
  assert.ok(first);
  group.lead(first.log);
  await first.put("node", ...all.map((_, index) => nodeOf(index + 1, MANAGER)));
  return { first, all };
}

function nodeOf(number: number, desiredRole: NodeRole) {
  return testNode(number, { spec: { desiredRole } });
}

function start({ store, log: replication }: TestStore, log = silentLog): RoleManager {
  return new RoleManager({ store, replication, clock: systemClock, random: systemRandom, log });
}

function roles({ store }: TestStore): readonly NodeRole[] {
  return store.list("node").map(({ role }) => role);
}

test("role manager, voters become managers, and workers when they shall be", async () => {
  const { first } = await openGroup(3);
  await using _manager = start(first);
  await untilStore(first.store, () => roles(first).every((role) => role === MANAGER));
  await first.put("node", { ...nodeOf(2, WORKER), role: MANAGER });
  await untilStore(first.store, (view) => view.get("node", "node2")?.role === WORKER);
  const members = await first.log.members();
  assert.deepEqual(
    members.map(({ member }) => member?.nodeId),
    ["node1", "node3"],
  );
});

test("role manager, the servers of removed nodes are taken out", { timeout: 5_000 }, async () => {
  const { first, all } = await openGroup(3);
  await using _manager = start(first);
  const third = all[2];
  assert.ok(third);
  third.log.reachable = false;
  await first.remove("node", nodeOf(3, MANAGER));
  // Nothing tells of it but the membership.
  const gone = async () => (await first.log.members()).length === 2;
  while (!(await gone())) await new Promise((turn) => setImmediate(turn));
});

test("role manager, a server stays whose loss would cost the quorum, and the log says so once", async () => {
  const { first, all } = await openGroup(3);
  const third = all[2];
  assert.ok(third);
  third.log.reachable = false;
  const told: LogFields[] = [];
  const log = { ...silentLog, warn: (_: string, fields: LogFields = {}) => void told.push(fields) };
  await using _manager = start(first, log);
  await untilStore(first.store, () => roles(first).every((role) => role === MANAGER));
  await first.put("node", { ...nodeOf(2, WORKER), role: MANAGER });
  await first.put("node", { ...nodeOf(9, WORKER) });
  await first.put("node", { ...nodeOf(8, WORKER) });
  third.log.reachable = true;
  await first.put("node", { ...nodeOf(7, WORKER) });
  await untilStore(first.store, (view) => view.get("node", "node2")?.role === WORKER);
  assert.deepEqual(told, [{ nodeId: "node2" }]);
});

test("role manager, the last manager is never taken out", async () => {
  const { first } = await openGroup(1);
  await first.put("node", { ...nodeOf(1, WORKER), role: MANAGER });
  const refused = Promise.withResolvers<void>();
  await using manager = start(first, { ...silentLog, warn: () => refused.resolve() });
  await Promise.race([manager.failed, refused.promise]);
  assert.equal((await first.log.members()).length, 1);
});
