import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  type MemberStatus,
  MemberStatusSchema,
  RaftMemberSchema,
} from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { BackupStatusSchema, NodeRole, Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import { openTestStore, testNode } from "../testing/fixtures.ts";
import { planRoles } from "./plan-roles.ts";

const { MANAGER, WORKER } = NodeRole;

type MemberInit = Partial<Pick<MemberStatus, "leader" | "reachability">>;

function member(number: number, init: MemberInit & { readonly voter?: boolean } = {}) {
  const { voter = true, ...rest } = init;
  const address = `192.0.2.${number}:2377`;
  return create(MemberStatusSchema, {
    member: create(RaftMemberSchema, {
      id: BigInt(100 + number),
      voter,
      address,
      nodeId: `node${number}`,
    }),
    reachability: Reachability.REACHABLE,
    ...rest,
  });
}

function node(number: number, role: NodeRole, desiredRole = role): Node {
  const managerStatus = { raftId: BigInt(100 + number), address: `192.0.2.${number}:2377` };
  return testNode(number, {
    role,
    spec: { desiredRole },
    ...(role === MANAGER && { managerStatus }),
  });
}

async function plan(nodes: readonly Node[], members: readonly MemberStatus[]) {
  const { store, put } = openTestStore();
  await put("node", ...nodes);
  const { actions, removals } = planRoles(store, members);
  const written = actions.map(({ action, object }) => [action, object] as const);
  return {
    removals,
    written: written.map(([action, object]) => [action, object as Node] as const),
  };
}

test("roles, where everything is as it shall be nothing is done", async () => {
  const nodes = [node(1, MANAGER), node(2, MANAGER), node(3, WORKER)];
  const outcome = await plan(nodes, [member(1, { leader: true }), member(2)]);
  assert.deepEqual(outcome, { removals: [], written: [] });
});

test("promotion, a node is a manager once its server is a voter, with its ID and address", async () => {
  const nodes = [node(1, MANAGER), node(2, WORKER, MANAGER)];
  assert.deepEqual(await plan(nodes, [member(1)]), { removals: [], written: [] });
  const learning = [member(1), member(2, { voter: false })];
  assert.deepEqual(await plan(nodes, learning), { removals: [], written: [] });
  const { written } = await plan(nodes, [member(1), member(2)]);
  const [action, promoted] = written[0] ?? [];
  assert.deepEqual(
    [action, promoted?.id, promoted?.role, promoted?.managerStatus?.raftId],
    ["update", "node2", MANAGER, 102n],
  );
  assert.equal(promoted?.managerStatus?.address, "192.0.2.2:2377");
});

test("manager, its address is kept as the log has it", async () => {
  const moved = member(1);
  if (moved.member !== undefined) moved.member.address = "198.51.100.1:2377";
  const { written } = await plan([node(1, MANAGER)], [moved]);
  assert.equal(written[0]?.[1].managerStatus?.address, "198.51.100.1:2377");
});

test("manager, what it says of its backups outlives a change of its address", async () => {
  const manager = node(1, MANAGER);
  const backup = create(BackupStatusSchema, { path: "/b" });
  if (manager.managerStatus !== undefined) manager.managerStatus.backup = backup;
  assert.deepEqual((await plan([manager], [member(1)])).written, []);
  if (manager.managerStatus !== undefined) manager.managerStatus.address = "192.0.2.99:2377";
  const { written } = await plan([manager], [member(1)]);
  assert.equal(written[0]?.[1].managerStatus?.address, "192.0.2.1:2377");
  assert.equal(written[0]?.[1].managerStatus?.backup?.path, "/b");
});

test("demotion, the server goes first, then the role", async () => {
  const nodes = [node(1, MANAGER), node(2, MANAGER, WORKER)];
  const before = await plan(nodes, [member(1), member(2)]);
  assert.deepEqual(before, { removals: ["node2"], written: [] });
  const after = await plan(nodes, [member(1)]);
  const [, demoted] = after.written[0] ?? [];
  assert.deepEqual(
    [demoted?.id, demoted?.role, demoted?.managerStatus],
    ["node2", WORKER, undefined],
  );
});

test("removal, the servers of nodes that are gone go too; first what costs least", async () => {
  const nodes = [1, 2, 3].map((number) => node(number, MANAGER, WORKER));
  const members = [
    member(1, { leader: true }),
    member(2),
    member(3, { reachability: Reachability.UNREACHABLE }),
    member(4),
    member(5, { voter: false }),
  ];
  const { removals } = await plan(nodes, members);
  assert.deepEqual(removals, ["node5", "node3", "node2", "node4", "node1"]);
});

test("manager, one whose server is gone is none until it has another", async () => {
  const nodes = [node(1, MANAGER), node(2, MANAGER)];
  const { written, removals } = await plan(nodes, [member(1)]);
  assert.deepEqual(removals, []);
  const [, gone] = written[0] ?? [];
  assert.deepEqual(
    [gone?.id, gone?.role, gone?.spec?.desiredRole, gone?.managerStatus],
    ["node2", WORKER, MANAGER, undefined],
  );
});
