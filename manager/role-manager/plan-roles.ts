/**
 * What nodes are, from what they shall be and from who takes part in the log. Pure. A node is a manager while it is a
 * voter: the log's membership says so first, and the node is told after it.
 *
 * Servers are taken out one at a time, those first whose loss costs nothing: learners, and what cannot be reached.
 */
import { create, equals } from "@bufbuild/protobuf";
import type { MemberStatus } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type ManagerStatus,
  ManagerStatusSchema,
  NodeRole,
  Reachability,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { Action } from "../store/objects.ts";
import type { View } from "../store/store.ts";

interface RolePlan {
  readonly actions: readonly Action[];
  /** IDs of the nodes whose servers are to be taken out of the log, in this order. */
  readonly removals: readonly string[];
}

export function planRoles(
  view: Pick<View, "get" | "list">,
  members: readonly MemberStatus[],
): RolePlan {
  const byNode = new Map(members.map((status) => [status.member?.nodeId ?? "", status]));
  const actions = view.list("node").flatMap((node): readonly Action[] => {
    const object = planNode(node, byNode.get(node.id));
    return object === undefined ? [] : [{ action: "update", kind: "node", object }];
  });
  const unwanted = members.filter(
    ({ member }) => view.get("node", member?.nodeId ?? "")?.spec?.desiredRole !== NodeRole.MANAGER,
  );
  const removals = unwanted
    .toSorted((a, b) => costOf(a) - costOf(b))
    .map(({ member }) => member?.nodeId ?? "");
  return { actions, removals };
}

/** The node as it has become; undefined: as it was. */
function planNode(node: Node, status: MemberStatus | undefined): Node | undefined {
  if (status?.member?.voter) return planManager(node, status);
  if (status !== undefined) return undefined;
  if (node.role === NodeRole.WORKER && node.managerStatus === undefined) return undefined;
  // Where it shall be a manager still, it becomes one again when its server is back under a new ID.
  const { managerStatus: _, ...worker } = node;
  return { ...worker, role: NodeRole.WORKER };
}

function planManager(node: Node, { member }: MemberStatus): Node | undefined {
  // Its server will be taken out first.
  if (node.spec?.desiredRole !== NodeRole.MANAGER) return undefined;
  const managerStatus = create(ManagerStatusSchema, {
    // What the manager itself wrote there.
    ...(node.managerStatus?.backup !== undefined && { backup: node.managerStatus.backup }),
    raftId: member?.id ?? 0n,
    address: member?.address ?? "",
  });
  const same = node.role === NodeRole.MANAGER && sameStatus(node.managerStatus, managerStatus);
  return same ? undefined : { ...node, role: NodeRole.MANAGER, managerStatus };
}

function sameStatus(a: ManagerStatus | undefined, b: ManagerStatus): boolean {
  return a !== undefined && equals(ManagerStatusSchema, a, b);
}

/** The leader goes last: it has to hand over first. */
function costOf({ member, leader, reachability }: MemberStatus): number {
  if (!member?.voter) return 0;
  if (leader) return 3;
  return reachability === Reachability.REACHABLE ? 2 : 1;
}
