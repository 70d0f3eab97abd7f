import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  AnnotationsSchema,
  NodeAvailability,
  NodeRole,
  NodeState,
  Reachability,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs, msFromTimestamp } from "#proto/time.ts";
import { testCluster, testNode } from "../testing/fixtures.ts";
import {
  type ControlGround,
  openControl,
  openManagers,
  workerNode,
} from "./testing/control-ground.ts";

async function openThree(): Promise<[ControlGround, ControlGround, ControlGround]> {
  const [one, two, three] = await openManagers(3);
  assert.ok(one && two && three);
  await one.put("cluster", testCluster());
  return [one, two, three];
}

/** As `swarmctl node update` does it. */
async function change({ client }: ControlGround, ref: string, spec: Partial<Node["spec"]>) {
  const { node } = await client.getNode({ ref });
  assert.ok(node?.spec && node.meta?.version);
  const update = { ref, version: node.meta.version, spec: { ...node.spec, ...spec } };
  return (await client.updateNode(update)).node;
}

const demotion = { desiredRole: NodeRole.WORKER };

test("node, what its host keeps to itself is not shown", async () => {
  const { client, put } = openControl();
  await put("node", testNode(1, { joinRequestId: "x" }));
  const { nodes } = await client.listNodes({});
  assert.deepEqual(nodes[0]?.joinRequestId, "");
  assert.equal((await client.getNode({ ref: "h1" })).node?.joinRequestId, "");
});

test("node, who leads and who is reachable is what the leader says now, or unknown", async () => {
  const [one, two, three] = await openThree();
  three.log.reachable = false;
  const { nodes } = await two.client.listNodes({});
  assert.deepEqual(
    nodes.map(({ managerStatus }) => [managerStatus?.leader, managerStatus?.reachability]),
    [
      [true, Reachability.REACHABLE],
      [false, Reachability.REACHABLE],
      [false, Reachability.UNREACHABLE],
    ],
  );
  const stale = await two.staleClient.getNode({ ref: "node1" });
  assert.equal(stale.node?.managerStatus?.reachability, Reachability.UNKNOWN);
  await one.put("node", workerNode(4));
  assert.equal((await two.client.getNode({ ref: "node4" })).node?.managerStatus, undefined);
});

test("node update, availability, labels and role change by the version that was read", async () => {
  const ground = openControl();
  await ground.put("node", workerNode(1));
  const before = (await ground.client.getNode({ ref: "h1" })).node;
  const after = await change(ground, "h1", {
    availability: NodeAvailability.DRAIN,
    desiredRole: NodeRole.MANAGER,
  });
  assert.equal(after?.spec?.availability, NodeAvailability.DRAIN);
  assert.equal(after?.spec?.desiredRole, NodeRole.MANAGER);
  // What it is, it is told by the role manager.
  assert.equal(after?.role, NodeRole.WORKER);
  assert.ok(before?.spec && before.meta?.version);
  const update = { ref: "h1", version: before.meta.version, spec: before.spec };
  await assert.rejects(ground.client.updateNode(update), {
    code: "conflict",
    message: /update out of sequence: node "h1" is at version 2, not 1/,
  });
});

test("node update, what makes no sense is refused by its field", async () => {
  const ground = openControl();
  await ground.put("node", workerNode(1));
  const annotations = create(AnnotationsSchema, { labels: { "": "x" } });
  await assert.rejects(change(ground, "h1", { annotations }), /labels has an empty key/);
  const availability = 7 as NodeAvailability;
  await assert.rejects(change(ground, "h1", { availability }), /availability is 7/);
  const atOnce = change(ground, "h1", { drainAtOnce: true });
  await assert.rejects(atOnce, /drain_at_once is set, but the node is not drained: leave it out/);
  await assert.rejects(change(ground, "h1", { membership: 0 }), /membership is not ACCEPTED/);
});

test("demotion, the last manager stays", async () => {
  const [only] = await openManagers(1);
  assert.ok(only);
  await assert.rejects(change(only, "node1", demotion), {
    code: "failed-precondition",
    message: 'Cannot demote node "h1": it is the last manager; promote another node first',
  });
});

test("demotion, refused with the numbers where those left would lose the quorum", async () => {
  const [one, , three] = await openThree();
  three.log.reachable = false;
  await assert.rejects(change(one, "h2", demotion), {
    code: "failed-precondition",
    message:
      'Cannot demote node "h2": the managers would lose their quorum: of the 2 that would be left 2 must be reachable, and 1 is',
  });
  const lost = await change(one, "h3", demotion);
  assert.equal(lost?.spec?.desiredRole, NodeRole.WORKER);
});

test("demotion, of all at once the last one asked for is refused", async () => {
  const grounds = await openThree();
  const outcomes = await Promise.allSettled(
    grounds.map((ground, index) => change(ground, `h${index + 1}`, demotion)),
  );
  const refused = outcomes.filter(({ status }) => status === "rejected");
  assert.equal(refused.length, 1);
  assert.match(String((refused[0] as PromiseRejectedResult).reason), /it is the last manager/);
});

test("node removal, a ready one needs force, a manager is demoted first", async () => {
  const [one] = await openThree();
  await one.put("node", workerNode(4), testNode(5, { status: { state: NodeState.DOWN } }));
  await assert.rejects(one.client.removeNode({ ref: "h4" }), {
    code: "failed-precondition",
    message: 'node "h4" is not down: run "swarmctl cluster leave" on it, or remove it by force',
  });
  await one.client.removeNode({ ref: "h5" });
  await one.client.removeNode({ ref: "h4", force: true });
  await assert.rejects(one.client.removeNode({ ref: "h2" }), {
    message:
      'Cannot remove node "h2": it is a manager: demote it first, or remove it by force where it is lost for good',
  });
  await change(one, "h2", demotion);
  await assert.rejects(one.client.removeNode({ ref: "h2" }), /it is being demoted; try again/);
  assert.equal(one.store.list("node").length, 3);
});

test("node removal, one that was let in as a manager and never began goes at once", async () => {
  const [one] = await openThree();
  const spec = { desiredRole: NodeRole.MANAGER };
  await one.put("node", testNode(4, { spec, status: { state: NodeState.UNKNOWN } }));
  await one.client.removeNode({ ref: "h4" });
  assert.equal(one.store.get("node", "node4"), undefined);
});

test("node removal, by force a manager goes that cannot be reached, while the rest has a quorum", async () => {
  const [one, two, three] = await openThree();
  const removal = { ref: "h3", force: true };
  await assert.rejects(one.client.removeNode(removal), /can be reached: demote it first/);
  three.log.reachable = false;
  two.log.reachable = false;
  await assert.rejects(one.client.removeNode(removal), /2 must be reachable, and 1 is/);
  two.log.reachable = true;
  await one.client.removeNode(removal);
  assert.equal(one.store.get("node", "node3"), undefined);
});

test("node, one that is about to be restarted is awaited, for an hour at most, until it is not any more", async () => {
  const { client, put, store } = openControl();
  await put("node", testNode(1));
  const awaitedMs = () => {
    const at = store.get("node", "node1")?.awaitedUntil;
    return at === undefined ? undefined : Math.round((msFromTimestamp(at) - Date.now()) / 10_000);
  };
  await client.awaitNode({ ref: "h1", patience: durationFromMs(300_000) });
  assert.equal(awaitedMs(), 30);
  await client.awaitNode({ ref: "h1" });
  assert.equal(awaitedMs(), undefined);
  const tooLong = client.awaitNode({ ref: "h1", patience: durationFromMs(3_600_001) });
  await assert.rejects(tooLong, { code: "invalid-argument" });
});
