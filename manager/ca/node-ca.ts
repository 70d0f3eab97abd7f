/** Lets hosts in: a host that shows a join token becomes a node, and is given the ID and secret that it shows from then on. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type {
  IssueNodeIdentityRequest,
  IssueNodeIdentityResponse,
  NodeCaService,
} from "#proto/gen/swarm/v1/node_pb.ts";
import { IssueNodeIdentityResponseSchema } from "#proto/gen/swarm/v1/node_pb.ts";
import { type Cluster, type Node, NodeSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeMembership, NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import { isId, newId } from "#proto/ids.ts";
import type { Ports } from "#proto/ports.ts";
import type { Store, View } from "../store/store.ts";
import { parseJoinToken } from "./join-token.ts";
import { digestOf, sameSecret, secretOfRequest } from "./node-secret.ts";

export interface NodeCaModules extends Ports {
  readonly store: Store;
}

export function nodeCaHandlers(modules: NodeCaModules): Handlers<typeof NodeCaService> {
  return {
    issueNodeIdentity: (request) => issueNodeIdentity(modules, request),
  };
}

async function issueNodeIdentity(
  { store, random, log }: NodeCaModules,
  request: IssueNodeIdentityRequest,
): Promise<IssueNodeIdentityResponse> {
  const [cluster] = store.list("cluster");
  if (cluster === undefined) throw new Fault("unavailable", "there is no cluster here yet");
  const role = roleOf(request.token, cluster);
  if (role === NodeRole.MANAGER) {
    const message =
      "Cannot join as a manager: replicated managers come later; join with the worker token";
    throw new Fault("unimplemented", message);
  }
  if (request.description === undefined) {
    throw new Fault("invalid-argument", "description is missing");
  }
  const { requestId } = request;
  if (!isId(requestId)) throw new Fault("invalid-argument", "request_id is not an ID");
  const nodeSecret = secretOfRequest(requestId);
  const secretDigest = digestOf(nodeSecret);
  let nodeId = "";
  await store.write((view) => {
    const known = view.list("node").find((node) => node.secretDigest === secretDigest);
    nodeId = known?.id ?? newId(random);
    if (known !== undefined) return [];
    const object = nodeOf(view, nodeId, { request, secretDigest, role });
    return [{ action: "create", kind: "node", object }];
  });
  const { hostname } = request.description;
  log.info("A node joined", { nodeId, hostname });
  const clusterId = cluster.id;
  const number = store.get("node", nodeId)?.number ?? 0;
  return create(IssueNodeIdentityResponseSchema, { nodeId, nodeSecret, clusterId, role, number });
}

interface Admission {
  readonly request: IssueNodeIdentityRequest;
  readonly secretDigest: string;
  readonly role: NodeRole;
}

function nodeOf(view: View, id: string, { request, secretDigest, role }: Admission): Node {
  return create(NodeSchema, {
    id,
    spec: {
      annotations: {},
      desiredRole: role,
      membership: NodeMembership.ACCEPTED,
      availability: request.availability,
    },
    ...(request.description === undefined ? {} : { description: request.description }),
    role,
    number: smallestFreeNumber(view),
    secretDigest,
  });
}

export function smallestFreeNumber(view: View): number {
  const taken = new Set(view.list("node").map(({ number }) => number));
  let number = 1;
  while (taken.has(number)) number += 1;
  return number;
}

/** The role that a token grants. */
function roleOf(token: string, cluster: Cluster): NodeRole {
  const shown = parseJoinToken(token);
  const tokens = cluster.rootCa?.joinTokens;
  if (tokens === undefined) throw new Fault("internal", "the cluster has no join tokens");
  const worker = parseJoinToken(tokens.worker);
  const manager = parseJoinToken(tokens.manager);
  if (!sameSecret(shown.cluster, worker.cluster)) {
    const message = "the join token is of another cluster: copy it from a manager of this one";
    throw new Fault("permission-denied", message);
  }
  if (sameSecret(shown.secret, worker.secret)) return NodeRole.WORKER;
  if (sameSecret(shown.secret, manager.secret)) return NodeRole.MANAGER;
  const message =
    "the join token is not valid any more, or mistyped: copy it anew from a manager of the cluster";
  throw new Fault("permission-denied", message);
}
