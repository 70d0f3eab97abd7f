import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type {
  AwaitNodeRequest,
  RemoveNodeRequest,
  UpdateNodeRequest,
} from "#proto/gen/swarm/v1/control_pb.ts";
import type { MemberStatus } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  ManagerStatusSchema,
  NodeRole,
  NodeState,
  Reachability,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { CallContext } from "#proto/grpc.ts";
import { msFromDuration, timestampFromMs } from "#proto/time.ts";
import { patienceMsMax, publicNode } from "../node.ts";
import { validateNodeSpec } from "../spec/validate-node.ts";
import { resolve } from "../store/resolve.ts";
import type { Action } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { takesStale } from "./freshness.ts";
import { oneAtATime, refuseQuorumLoss } from "./manager-guard.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";
import { refuseStale } from "./version.ts";

type Modules = Pick<ControlModules, "store" | "replication" | "clock">;

export function nodeHandlers(
  modules: Modules,
): Pick<ControlHandlers, "getNode" | "listNodes" | "updateNode" | "removeNode" | "awaitNode"> {
  const { store } = modules;
  return {
    getNode: async ({ ref }, context) => {
      const node = resolve(store, "node", ref);
      return { node: shown(node, await membersFor(modules, context)) };
    },
    listNodes: async (_, context) => {
      const members = await membersFor(modules, context);
      return { nodes: store.list("node").map((node) => shown(node, members)) };
    },
    updateNode: async (request) => ({ node: await updateNode(modules, request) }),
    removeNode: async (request) => ({ nodeId: await removeNode(modules, request) }),
    awaitNode: async (request) => {
      await awaitNode(modules, request);
      return {};
    },
  };
}

async function awaitNode({ store, clock }: Modules, request: AwaitNodeRequest): Promise<void> {
  const patienceMs = msFromDuration(request.patience, 0);
  if (patienceMs < 0 || patienceMs > patienceMsMax) {
    const message = "patience: nodes are waited for up to an hour, and no shorter than 0 s";
    throw new Fault("invalid-argument", message);
  }
  await store.write((view) => {
    const { awaitedUntil: _, ...node } = resolve(view, "node", request.ref);
    const awaitedUntil = timestampFromMs(clock.now() + patienceMs);
    const object: Node = patienceMs === 0 ? node : { ...node, awaitedUntil };
    return [{ action: "update", kind: "node", object }];
  });
}

/** None where nobody can say now how the managers are. */
async function membersFor(
  { replication }: Modules,
  context: CallContext,
): Promise<readonly MemberStatus[]> {
  if (takesStale(context)) return [];
  try {
    return await replication.members();
  } catch (thrown) {
    if (Fault.from(thrown).retryable) return [];
    throw thrown;
  }
}

function shown(node: Node, members: readonly MemberStatus[]): Node {
  const { managerStatus } = node;
  if (managerStatus === undefined) return publicNode(node);
  const seen = members.find(({ member }) => member?.nodeId === node.id);
  return {
    ...publicNode(node),
    managerStatus: create(ManagerStatusSchema, {
      ...managerStatus,
      leader: seen?.leader ?? false,
      reachability: seen?.reachability ?? Reachability.UNKNOWN,
    }),
  };
}

async function updateNode({ store, replication }: Modules, request: UpdateNodeRequest) {
  const spec = validateNodeSpec(request.spec);
  const demotes =
    spec.desiredRole === NodeRole.WORKER && isManager(resolve(store, "node", request.ref));
  const members = demotes ? await replication.members() : [];
  let id = "";
  await store.write((view) => {
    const node = resolve(view, "node", request.ref);
    id = node.id;
    refuseStale(`node "${nameOf(node)}"`, node, request.version);
    const update: Action = { action: "update", kind: "node", object: { ...node, spec } };
    if (!demotes || node.spec?.desiredRole !== NodeRole.MANAGER) return [update];
    const refusal = `Cannot demote node "${nameOf(node)}"`;
    refuseQuorumLoss(node, { view, members, refusal });
    return [update, ...oneAtATime(view)];
  });
  const node = store.get("node", id);
  if (node === undefined) throw new Fault("not-found", `node ${id} was removed meanwhile`);
  return shown(node, members);
}

/** Its server, where it had one, is taken out of the log by the role manager, its tasks are replaced by the orchestrator. */
async function removeNode({ store, replication }: Modules, request: RemoveNodeRequest) {
  const { ref, force } = request;
  const members = isManager(resolve(store, "node", ref)) ? await replication.members() : [];
  let id = "";
  await store.write((view) => {
    const object = resolve(view, "node", ref);
    id = object.id;
    const removal: Action = { action: "remove", kind: "node", object };
    if (isManager(object) && !hasNeverBegun(object, members)) {
      refuseLiveManager(object, { view, members, force });
      return [removal, ...oneAtATime(view)];
    }
    if (object.status?.state === NodeState.READY && !force) {
      const message = `node "${nameOf(object)}" is not down: run "swarmctl cluster leave" on it, or remove it by force`;
      throw new Fault("failed-precondition", message);
    }
    return [removal];
  });
  return id;
}

function refuseLiveManager(
  node: Node,
  options: { view: View; members: readonly MemberStatus[]; force: boolean },
): void {
  const { view, members, force } = options;
  const refusal = `Cannot remove node "${nameOf(node)}"`;
  const isDemoted = node.spec?.desiredRole === NodeRole.WORKER;
  if (!force) {
    const advice = isDemoted
      ? "it is being demoted; try again in a moment"
      : "it is a manager: demote it first, or remove it by force where it is lost for good";
    throw new Fault("failed-precondition", `${refusal}: ${advice}`);
  }
  const seen = members.find(({ member }) => member?.nodeId === node.id);
  if (seen?.reachability === Reachability.REACHABLE) {
    const advice = "it is a manager that can be reached: demote it first";
    throw new Fault("failed-precondition", `${refusal}: ${advice}`);
  }
  refuseQuorumLoss(node, { view, members, refusal });
}

function isManager({ role, spec }: Node): boolean {
  return role === NodeRole.MANAGER || spec?.desiredRole === NodeRole.MANAGER;
}

/** Let in as a manager, and neither it nor a server of it has been seen since: its join has failed. */
function hasNeverBegun({ id, role, status }: Node, members: readonly MemberStatus[]): boolean {
  const state = status?.state ?? NodeState.UNKNOWN;
  const hasServer = members.some(({ member }) => member?.nodeId === id);
  return role !== NodeRole.MANAGER && state === NodeState.UNKNOWN && !hasServer;
}

function nameOf(node: Node): string {
  return node.spec?.annotations?.name || node.description?.hostname || node.id;
}
