/**
 * Keeps the managers able to work: refuses to take one away where those left could not make a majority. What is asked for
 * already counts as done: a manager that is to become a worker does not stay.
 */
import { Fault } from "#proto/fault.ts";
import type { MemberStatus } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeRole, Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Action } from "../store/objects.ts";
import type { View } from "../store/store.ts";

export interface ManagerGuard {
  readonly view: View;
  /** As the leader sees them. */
  readonly members: readonly MemberStatus[];
  /** What is refused, as a sentence begins: `Cannot demote node "a"`. */
  readonly refusal: string;
}

export function refuseQuorumLoss(node: Node, { view, members, refusal }: ManagerGuard): void {
  const voters = members.filter(({ member }) => member?.voter);
  if (!voters.some(({ member }) => member?.nodeId === node.id)) return;
  const left = voters.filter(({ member }) => {
    const other = view.get("node", member?.nodeId ?? "");
    return other?.spec?.desiredRole === NodeRole.MANAGER && other.id !== node.id;
  });
  if (left.length === 0) {
    const advice = "promote another node first";
    throw new Fault("failed-precondition", `${refusal}: it is the last manager; ${advice}`);
  }
  const reachable = left.filter((one) => one.reachability === Reachability.REACHABLE).length;
  const needed = Math.floor(left.length / 2) + 1;
  if (reachable >= needed) return;
  const numbers = `of the ${left.length} that would be left ${needed} must be reachable, and ${reachable} ${reachable === 1 ? "is" : "are"}`;
  const message = `${refusal}: the managers would lose their quorum: ${numbers}`;
  throw new Fault("failed-precondition", message);
}

/**
 * Makes a transaction fail that was planned while another took a manager away, so that it is planned anew: each alone may
 * be right and both together wrong.
 */
export function oneAtATime(view: View): readonly Action[] {
  return view.list("cluster").map((object) => ({ action: "update", kind: "cluster", object }));
}
