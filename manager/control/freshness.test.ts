import assert from "node:assert/strict";
import { test } from "node:test";
import { testNode } from "../testing/fixtures.ts";
import { managerNode, openManagers } from "./testing/control-ground.ts";

async function openLagging() {
  const [leader, follower] = await openManagers(2);
  assert.ok(leader && follower);
  const held = follower.log.hold();
  await leader.put("node", testNode(9));
  return { leader, follower, held };
}

test("read, at a follower that lags it waits for what was acknowledged before", async () => {
  const { follower, held } = await openLagging();
  const answer = follower.client.getNode({ ref: "node9" });
  const first = await Promise.race([answer, new Promise((done) => setImmediate(done, "waits"))]);
  assert.equal(first, "waits");
  held[Symbol.dispose]();
  assert.equal((await answer).node?.id, "node9");
});

test("read, a stale one takes what is there, also where nobody leads", async () => {
  const { follower, held } = await openLagging();
  using _held = held;
  await assert.rejects(follower.staleClient.getNode({ ref: "node9" }), { code: "not-found" });
  const { nodes } = await follower.staleClient.listNodes({});
  assert.deepEqual(
    nodes.map(({ id }) => id),
    ["node1", "node2"],
  );
});

test("read, without a leader it fails and says so", async () => {
  const [leader, follower] = await openManagers(2);
  assert.ok(leader && follower);
  await leader.log.remove("node1", { force: true });
  await assert.rejects(follower.client.listNodes({}), { code: "unavailable" });
  assert.equal((await follower.staleClient.listNodes({})).nodes.length, 2);
});

test("watch, it begins with what was acknowledged before", async () => {
  const { follower, held } = await openLagging();
  const watch = follower.client.watch({ kinds: ["node"] })[Symbol.asyncIterator]();
  const first = watch.next();
  held[Symbol.dispose]();
  const { value } = await first;
  assert.equal(value?.events.length, 3);
  await watch.return?.();
});

test("write, at a follower it is checked against the newest state; the leader does not wait", async () => {
  const { leader, follower, held } = await openLagging();
  const removal = follower.client.removeNode({ ref: "node9", force: true });
  held[Symbol.dispose]();
  assert.equal((await removal).nodeId, "node9");
  await leader.put("node", managerNode(3));
  using _held = leader.log.hold();
  // It leads, so what it has applied is all that there is: a barrier of its own would wait for the hold.
  await assert.rejects(leader.client.removeNode({ ref: "none" }), { code: "not-found" });
});

test("call, whoever went away while waiting has nothing done any more", async () => {
  const { leader, follower, held } = await openLagging();
  const removal = follower.client.removeNode({ ref: "node9", force: true });
  follower.controller.abort();
  held[Symbol.dispose]();
  await assert.rejects(removal, { name: "AbortError" });
  assert.ok(leader.store.get("node", "node9"));
});
