/**
 * Who may do what. The transport has found out who calls, and that the certificate is of this cluster; here stands whether
 * the node is still what its certificate says, and whether such a caller may call the method.
 *
 * A manager that does not lead may be behind: what only its store speaks against is "unavailable" there, so that a node
 * which has just joined asks another manager instead of taking itself for removed. Nobody is let in by that.
 */
import type { DescMethod } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeMembership, NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Authorize, CallContext } from "#proto/grpc.ts";
import type { Replication } from "../replication/replication.ts";
import type { View } from "../store/store.ts";
import { type Rule, rules } from "./rules.ts";

export interface AuthorizeModules {
  readonly store: View;
  readonly replication: Pick<Replication, "leading" | "leader">;
}

type NodeCaller = Extract<CallContext["caller"], { readonly kind: "node" }>;

/** For `addService`. */
export function authorizer(modules: AuthorizeModules): Authorize {
  return (method, context) => authorize(modules, method, context);
}

export function ruleOf(method: DescMethod): Rule | undefined {
  return rules.get(method.parent.typeName)?.[method.localName];
}

function authorize(modules: AuthorizeModules, method: DescMethod, { caller }: CallContext): void {
  const rule = ruleOf(method);
  if (rule === undefined) {
    throw new Fault("permission-denied", `${method.name} is for nobody: it has no rule`);
  }
  if (rule === "anyone") return;
  if (caller.kind === "anonymous") {
    const message = `${method.name} needs a certificate of this cluster: ${caller.problem}`;
    throw new Fault("unauthenticated", message);
  }
  if (rule === "user") {
    if (caller.kind !== "node") return;
    throw denied(method, "users", "the certificate is a node's");
  }
  // On the host's own socket nobody is a node: an agent there shows its certificate as everywhere.
  if (caller.kind !== "node") {
    const what = caller.kind === "user" ? "the certificate is a user's" : "no certificate is shown";
    throw denied(method, rule === "node" ? "nodes" : "managers", what);
  }
  if (rule === "node") checkMember(modules, caller);
  else checkManager(modules, { method, rule, caller });
}

function checkMember({ store, replication }: AuthorizeModules, caller: NodeCaller): Node {
  try {
    return memberOf(store, caller);
  } catch (thrown) {
    throw certain(replication, Fault.from(thrown));
  }
}

function checkManager(
  modules: AuthorizeModules,
  call: { readonly method: DescMethod; readonly rule: Rule; readonly caller: NodeCaller },
): void {
  const { method, rule, caller } = call;
  if (caller.role !== "manager") throw denied(method, "managers", "the certificate is a worker's");
  const { leader, leading } = modules.replication;
  const mayLead = !leading && (leader === undefined || leader.nodeId === caller.nodeId);
  if (rule === "raft-member" && mayLead) return;
  const { role, spec } = checkMember(modules, caller);
  if (role === NodeRole.MANAGER || spec?.desiredRole === NodeRole.MANAGER) return;
  const what = `node "${caller.nodeId}" is not a manager any more`;
  throw certain(modules.replication, denied(method, "managers", what));
}

function denied(method: DescMethod, whom: string, what: string): Fault {
  return new Fault("permission-denied", `${method.name} is for ${whom}: ${what}`);
}

/** The leader alone knows for certain. */
function certain({ leading }: AuthorizeModules["replication"], fault: Fault): Fault {
  if (leading) return fault;
  const message = `${fault.message}, or this manager does not know it yet`;
  return new Fault("unavailable", message, { cause: fault });
}

/** The node that makes the call. */
export function nodeOf(view: View, { caller }: CallContext): Node {
  if (caller.kind === "node") return memberOf(view, caller);
  throw new Fault(
    "unauthenticated",
    "only a node may do this: the caller shows no node's certificate",
  );
}

function memberOf(view: View, { nodeId }: NodeCaller): Node {
  const node = view.get("node", nodeId);
  if (node === undefined) {
    const advice = 'clear it with "swarmctl cluster leave --force" on it, then join it anew';
    const message = `node "${nodeId}" was removed from the cluster (${advice})`;
    throw new Fault("permission-denied", message);
  }
  if (node.spec?.membership !== NodeMembership.ACCEPTED) {
    throw new Fault("permission-denied", `node "${nodeId}" is not accepted yet`);
  }
  return node;
}
