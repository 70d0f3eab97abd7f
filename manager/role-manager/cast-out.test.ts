import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { test } from "node:test";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { openTestStore, testNode } from "../testing/fixtures.ts";
import { castOutManagers } from "./cast-out.ts";

test("cast out, all other managers become workers, also those that the store learns of from its log", async () => {
  const { store, log: replication, put } = openTestStore();
  const role = NodeRole.MANAGER;
  const held = replication.hold();
  const nodes = [1, 2, 3].map((number) => testNode(number, { role, spec: { desiredRole: role } }));
  const written = put("node", ...nodes);
  await turn();
  const [own] = nodes;
  assert.ok(own !== undefined);
  const castOut = castOutManagers(own.id, { store, replication });
  held[Symbol.dispose]();
  await Promise.all([written, castOut]);
  const managers = store
    .list("node")
    .filter(({ role, spec }) => [role, spec?.desiredRole].includes(NodeRole.MANAGER));
  assert.deepEqual(
    managers.map(({ id }) => id),
    [own.id],
  );
});
