/** Lets hosts in: a host that shows a join token becomes a node and gets a certificate, which it renews from then on. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type IssueNodeCertificateRequest,
  type IssueNodeCertificateResponse,
  IssueNodeCertificateResponseSchema,
  NodeCertificateSchema,
  type NodeCaService,
  type RenewNodeCertificateRequest,
  type RenewNodeCertificateResponse,
  RenewNodeCertificateResponseSchema,
  type WithdrawNodeResponse,
  WithdrawNodeResponseSchema,
} from "#proto/gen/swarm/v1/node_pb.ts";
import { type Cluster, type Node, NodeSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeMembership, NodeRole, NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { CallContext, Handlers } from "#proto/grpc.ts";
import { isId, newId } from "#proto/ids.ts";
import type { Ports } from "#proto/ports.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { secondsText } from "#proto/tls/certificate.ts";
import { clusterOf } from "../cluster.ts";
import { checkDescription } from "../node-input.ts";
import type { Log } from "../store/log.ts";
import type { Store, View } from "../store/store.ts";
import { nodeOf } from "./authorize.ts";
import { requestedKey } from "./certificate-request.ts";
import { issueCertificate, newValidity } from "./issuer.ts";
import { Turns } from "../turns.ts";
import { roleOfToken } from "./join-token.ts";

export interface NodeCaModules extends Ports {
  readonly store: Store;
  /** Tokens and roles count as they are now, on whichever manager. */
  readonly replication: Pick<Log, "barrier">;
}

/** More than there are managers. */
const numbersToSkip = 16;

type Join = IssueNodeCertificateRequest & { readonly role: NodeRole };

interface Modules extends NodeCaModules {
  /** Of those that join: each gets a number of its own. */
  readonly turns: Turns;
}

export function nodeCaHandlers(given: NodeCaModules): Handlers<typeof NodeCaService> {
  const modules = { ...given, turns: new Turns() };
  return {
    getRootCertificate: async () => {
      const { rootCa } = servedCluster(modules.store);
      return { caCertificate: Buffer.from(rootCa?.caCert ?? []).toString() };
    },
    issueNodeCertificate: (request) => issueNodeCertificate(modules, request),
    renewNodeCertificate: (request, context) => renewNodeCertificate(modules, request, context),
    withdrawNode: (_, context) => withdrawNode(modules, context),
  };
}

function servedCluster(view: View): Cluster {
  const cluster = clusterOf(view);
  if (cluster === undefined) throw new Fault("unavailable", "there is no cluster here yet");
  return cluster;
}

async function issueNodeCertificate(
  modules: Modules,
  request: IssueNodeCertificateRequest,
): Promise<IssueNodeCertificateResponse> {
  const { store, log, clock } = modules;
  await modules.replication.barrier();
  const role = roleOfToken(request.token, servedCluster(store));
  if (request.description === undefined) {
    throw new Fault("invalid-argument", "description is missing");
  }
  checkDescription(request.description);
  const { requestId } = request;
  if (!isId(requestId)) throw new Fault("invalid-argument", "request_id is not an ID");
  const key = await requestedKey(request.csr);
  checkClock(servedCluster(store), { hostMs: msFromTimestamp(request.now), nowMs: clock.now() });
  const nodeId = await modules.turns.take(() => ensureNode(modules, { ...request, role }));
  const node = store.get("node", nodeId);
  if (node === undefined) throw new Fault("unavailable", "the node was removed while it joined");
  const { hostname } = request.description;
  // A call that is made again gets no more than its token grants, whatever the node has become meanwhile.
  const granted = role === NodeRole.MANAGER ? certifiedRole(node) : NodeRole.WORKER;
  log.info("A node joins", { nodeId, hostname, role: roleWord(granted) });
  return create(IssueNodeCertificateResponseSchema, {
    nodeId,
    clusterId: servedCluster(store).id,
    number: node.number,
    ...(await certificateFor(modules, { nodeId, role: granted, key })),
  });
}

/** The ID of the node that the host has become, by this call or by an earlier one of the same join. */
async function ensureNode({ store, random }: Modules, request: Join): Promise<string> {
  let nodeId = "";
  let attempts = 0;
  await store.write((view) => {
    const known = view
      .list("node")
      .find(({ joinRequestId }) => joinRequestId === request.requestId);
    nodeId = known?.id ?? newId(random);
    if (known !== undefined) return [];
    // Hosts that join through other managers take the smallest, too: all would take the next one.
    const skip = attempts === 0 ? 0 : random.int(numbersToSkip);
    attempts += 1;
    const object = newNode(nodeId, request, freeNumber(view, skip));
    return [{ action: "create", kind: "node", object }];
  });
  return nodeId;
}

async function renewNodeCertificate(
  modules: NodeCaModules,
  request: RenewNodeCertificateRequest,
  context: CallContext,
): Promise<RenewNodeCertificateResponse> {
  await modules.replication.barrier();
  const key = await requestedKey(request.csr);
  const node = nodeOf(modules.store, context);
  const role = certifiedRole(node);
  const renewed = await certificateFor(modules, { nodeId: node.id, role, key });
  modules.log.info("A node's certificate is renewed", { nodeId: node.id, role: roleWord(role) });
  return create(RenewNodeCertificateResponseSchema, renewed);
}

/** Who joins as a manager may have got as far as a server in the managers' group: the role manager takes that out. */
async function withdrawNode(
  { store, replication, log }: NodeCaModules,
  context: CallContext,
): Promise<WithdrawNodeResponse> {
  await replication.barrier();
  const { id } = nodeOf(store, context);
  await store.write((view) => {
    const object = view.get("node", id);
    if (object === undefined) return [];
    if (object.role === NodeRole.MANAGER || object.status?.state === NodeState.READY) {
      throw new Fault("failed-precondition", `node "${id}" has begun: it leaves, or is removed`);
    }
    return [{ action: "remove", kind: "node", object }];
  });
  log.info("A node that could not begin is forgotten", { nodeId: id });
  return create(WithdrawNodeResponseSchema);
}

/**
 * What stands in the certificate: what the node shall be, before it is that. But who leaves the managers is one of them
 * until its server is out of their group, which may need its vote.
 */
function certifiedRole({ spec, role }: Node): NodeRole {
  const isManager = role === NodeRole.MANAGER || spec?.desiredRole === NodeRole.MANAGER;
  return isManager ? NodeRole.MANAGER : NodeRole.WORKER;
}

function roleWord(role: NodeRole): "manager" | "worker" {
  return role === NodeRole.MANAGER ? "manager" : "worker";
}

async function certificateFor(
  { store, clock }: NodeCaModules,
  { nodeId, role, key }: { nodeId: string; role: NodeRole; key: Buffer },
) {
  const subject = { kind: "node", nodeId, role: roleWord(role) } as const;
  const order = { key, subject, nowMs: clock.now() };
  const issued = await issueCertificate(servedCluster(store), order);
  return { role, certificate: create(NodeCertificateSchema, issued) };
}

/** A certificate that does not hold by the host's own clock would let it in and then fail at once, without a word why. */
function checkClock(cluster: Cluster, { hostMs, nowMs }: { hostMs: number; nowMs: number }): void {
  if (hostMs === 0) throw new Fault("invalid-argument", "now is missing");
  const { notBeforeMs, notAfterMs } = newValidity(cluster, nowMs);
  if (hostMs >= notBeforeMs && hostMs <= notAfterMs) return;
  const where = hostMs < nowMs ? "behind" : "ahead of";
  const clocks = `${secondsText(hostMs)} there, ${secondsText(nowMs)} here`;
  const message = `the host's clock is ${roughly(Math.abs(hostMs - nowMs))} ${where} the manager's (${clocks}): set it, and join again`;
  throw new Fault("failed-precondition", message);
}

function roughly(ms: number): string {
  const hours = ms / 3_600_000;
  return hours < 48 ? `${Math.round(hours)} h` : `${Math.round(hours / 24)} days`;
}

function newNode(id: string, request: Join, number: number): Node {
  const { availability, description, requestId, role } = request;
  return create(NodeSchema, {
    id,
    spec: {
      annotations: { name: "" },
      desiredRole: role,
      membership: NodeMembership.ACCEPTED,
      availability,
    },
    ...(description === undefined ? {} : { description }),
    // A manager is one when it is a member of the managers' group, as the role manager finds.
    role: NodeRole.WORKER,
    number,
    joinRequestId: requestId,
  });
}

/** The smallest number that no node has, but for so many of them. */
function freeNumber(view: View, skip: number): number {
  const taken = new Set(view.list("node").map(({ number }) => number));
  let left = skip;
  for (let number = 1; ; number += 1) {
    if (taken.has(number)) continue;
    if (left === 0) return number;
    left -= 1;
  }
}
