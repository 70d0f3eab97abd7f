/**
 * A cluster's first moment: the Cluster object, and the Node object of the first manager's own host.
 *
 * `swarmd` makes its host's identity by itself, writes what the manager must know of it into a JSON file, and passes the
 * file with `--bootstrap`. It may do so at every start: once the log holds a cluster, the file only has to name a node of it.
 *
 *     {
 *       "nodeId": "<25 characters of base 36>",
 *       "nodeSecretDigest": "<SHA-256 of the node's secret, 64 hex digits>",
 *       "advertiseAddress": "HOST:PORT",         where other hosts reach this manager
 *       "description": { … },                    NodeDescription in protobuf's JSON form, optional
 *       "spec": { … }                            ClusterSpec in protobuf's JSON form, optional
 *     }
 */
import { readFile } from "node:fs/promises";
import {
  create,
  type DescMessage,
  fromJson,
  type JsonValue,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type Cluster,
  ClusterSchema,
  type Node,
  NodeSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ClusterSpec, ClusterSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  AnnotationsSchema,
  type NodeDescription,
  NodeDescriptionSchema,
  NodeMembership,
  NodeRole,
  Reachability,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { isId, newId } from "#proto/ids.ts";
import type { Random } from "#proto/ports.ts";
import { durationFromMs, msFromDuration } from "#proto/time.ts";
import { parseSubnet } from "#proto/ipv4.ts";
import { clusterDefaults } from "../cluster.ts";
import { invalid } from "../spec/field.ts";
import { refuseUnsupported } from "../spec/supported.ts";
import type { Store } from "../store/store.ts";
import { newClusterPart, newJoinToken } from "./join-token.ts";
import { smallestFreeNumber } from "./node-ca.ts";

const heartbeatPeriodMsMin = 100;

export interface Bootstrap {
  readonly nodeId: string;
  readonly nodeSecretDigest: string;
  readonly advertiseAddress: string;
  readonly description: NodeDescription | undefined;
  readonly spec: ClusterSpec;
}

export async function readBootstrap(path: string): Promise<Bootstrap> {
  try {
    return parseBootstrap(await readFile(path, "utf8"));
  } catch (thrown) {
    throw Fault.wrap(`Cannot read the bootstrap file "${path}"`, thrown);
  }
}

export function parseBootstrap(text: string): Bootstrap {
  const fields = parseObject(text);
  const known = ["nodeId", "nodeSecretDigest", "advertiseAddress", "description", "spec"];
  for (const key of Object.keys(fields)) {
    if (!known.includes(key)) throw invalid(key, `is not known: there are ${known.join(", ")}`);
  }
  const { nodeId, nodeSecretDigest, advertiseAddress, description, spec } = fields;
  if (typeof nodeId !== "string" || !isId(nodeId)) throw invalid("nodeId", "is not an ID");
  if (typeof nodeSecretDigest !== "string" || !/^[0-9a-f]{64}$/.test(nodeSecretDigest)) {
    throw invalid("nodeSecretDigest", "is not a SHA-256 in hex");
  }
  if (typeof advertiseAddress !== "string" || !/^.+:[0-9]{1,5}$/.test(advertiseAddress)) {
    throw invalid("advertiseAddress", "is not of the form HOST:PORT");
  }
  return {
    nodeId,
    nodeSecretDigest,
    advertiseAddress,
    description:
      description === undefined
        ? undefined
        : parseMessage("description", NodeDescriptionSchema, description),
    spec: parseMessage("spec", ClusterSpecSchema, spec ?? {}),
  };
}

function parseObject(text: string): Readonly<Record<string, JsonValue | undefined>> {
  let value: JsonValue;
  try {
    value = JSON.parse(text) as JsonValue;
  } catch (thrown) {
    const said = Fault.from(thrown).message;
    throw new Fault("invalid-argument", `it is not JSON: ${said}`, { cause: thrown });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new Fault("invalid-argument", "it is not a JSON object");
}

function parseMessage<D extends DescMessage>(
  field: string,
  schema: D,
  json: JsonValue,
): MessageShape<D> {
  try {
    return fromJson(schema, json);
  } catch (thrown) {
    const said = Fault.from(thrown).message;
    throw new Fault("invalid-argument", `${field} is not valid: ${said}`, { cause: thrown });
  }
}

/** Writes the cluster and its first node in one transaction, unless they are there. */
export async function applyBootstrap(
  bootstrap: Bootstrap,
  { store, random }: { store: Store; random: Random },
): Promise<void> {
  if (store.list("cluster").length > 0) {
    if (store.get("node", bootstrap.nodeId) !== undefined) return;
    const message = `node ${bootstrap.nodeId} is not a member of the cluster in this log: remove the manager's data, or restore the node's identity`;
    throw new Fault("failed-precondition", message);
  }
  const cluster = clusterOf(bootstrap, random);
  await store.write((view) => [
    { action: "create", kind: "cluster", object: cluster },
    { action: "create", kind: "node", object: nodeOf(bootstrap, smallestFreeNumber(view)) },
  ]);
}

function clusterOf({ spec }: Bootstrap, random: Random): Cluster {
  refuseUnsupported(ClusterSpecSchema, spec);
  const part = newClusterPart(random);
  return create(ClusterSchema, {
    id: newId(random),
    spec: withDefaults(spec),
    rootCa: {
      joinTokens: { worker: newJoinToken(part, random), manager: newJoinToken(part, random) },
    },
  });
}

/** The spec as it holds: what the user left out is filled in once, so that a later default does not change a cluster. */
function withDefaults(spec: ClusterSpec): ClusterSpec {
  const heartbeatPeriod =
    spec.dispatcher?.heartbeatPeriod ?? durationFromMs(clusterDefaults.heartbeatPeriodMs);
  if (msFromDuration(heartbeatPeriod, 0) < heartbeatPeriodMsMin) {
    throw invalid("spec.dispatcher.heartbeat_period", `is under ${heartbeatPeriodMsMin} ms`);
  }
  const pools = spec.network?.defaultAddressPools ?? [];
  const defaultAddressPools = pools.length === 0 ? [...clusterDefaults.addressPools] : pools;
  const subnetSize = spec.network?.subnetSize || clusterDefaults.subnetSize;
  for (const pool of defaultAddressPools) checkPool(pool, subnetSize);
  return create(ClusterSpecSchema, {
    annotations: create(AnnotationsSchema, {
      name: spec.annotations?.name || clusterDefaults.name,
      labels: spec.annotations?.labels ?? {},
    }),
    orchestration: {
      taskHistoryRetentionLimit:
        spec.orchestration?.taskHistoryRetentionLimit ?? BigInt(clusterDefaults.historyLimit),
    },
    dispatcher: { heartbeatPeriod },
    network: { defaultAddressPools, subnetSize },
  });
}

function checkPool(text: string, subnetSize: number): void {
  const { prefix } = parseSubnet(text);
  if (subnetSize < prefix || subnetSize > 29) {
    const problem = `is /${subnetSize}: use a size from that of the pool, /${prefix}, to /29`;
    throw invalid("spec.network.subnet_size", problem);
  }
}

function nodeOf(bootstrap: Bootstrap, number: number): Node {
  const { nodeId, nodeSecretDigest, advertiseAddress, description } = bootstrap;
  return create(NodeSchema, {
    id: nodeId,
    spec: {
      annotations: {},
      desiredRole: NodeRole.MANAGER,
      membership: NodeMembership.ACCEPTED,
    },
    ...(description === undefined ? {} : { description }),
    role: NodeRole.MANAGER,
    managerStatus: {
      raftId: 1n,
      address: advertiseAddress,
      leader: true,
      reachability: Reachability.REACHABLE,
    },
    number,
    secretDigest: nodeSecretDigest,
  });
}
