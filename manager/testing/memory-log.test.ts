import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "#proto/system-ports.ts";
import { openTestStore, testNode } from "./fixtures.ts";
import { MemoryGroup } from "./memory-log.ts";

function openPair() {
  const group = new MemoryGroup();
  const [one, two] = ["m1", "m2"].map((nodeId) =>
    openTestStore(systemClock, { group, nodeId, address: `${nodeId}:2377` }),
  );
  assert.ok(one && two);
  return { group, one, two };
}

test("memory log, managers of a group have one order, and a held one is behind until it is released", async () => {
  const { group, one, two } = openPair();
  await assert.rejects(one.put("node", testNode(1)), { code: "unavailable" });
  group.lead(one.log);
  {
    using _held = two.log.hold();
    await one.put("node", testNode(1));
    await one.put("node", testNode(2));
    assert.deepEqual([one.store.index, two.store.index], [2n, 0n]);
  }
  await two.log.barrier();
  assert.equal(two.store.index, 2n);
  await two.put("node", testNode(3));
  await one.log.barrier();
  assert.deepEqual(one.store.list("node"), two.store.list("node"));
});

test("memory log, a manager leads when it has applied what there was", async () => {
  const { group, one, two } = openPair();
  group.lead(one.log);
  const told = Promise.withResolvers<void>();
  using _watch = two.log.watch(() => two.log.leading && told.resolve());
  {
    using _held = two.log.hold();
    await one.put("node", testNode(1));
    group.lead(two.log);
    assert.deepEqual([one.log.leading, two.log.leading], [false, false]);
  }
  await told.promise;
  assert.deepEqual(one.log.leader, { nodeId: "m2", address: "m2:2377" });
});
