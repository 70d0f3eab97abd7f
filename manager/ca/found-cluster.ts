/**
 * A cluster's first moment: its authority, the Cluster object, the Node object of the first manager's own host, and the
 * ingress network.
 */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { NodeCertificate } from "#proto/gen/swarm/v1/node_pb.ts";
import {
  type Cluster,
  ClusterSchema,
  type Node,
  NodeSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ClusterSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  IpFamily,
  type Network,
  NetworkSchema,
  type NodeAvailability,
  type NodeDescription,
  NodeMembership,
  NodeRole,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import type { Clock, Random } from "#proto/ports.ts";
import { certificateDigest } from "#proto/tls/certificate.ts";
import { newUnlockKey } from "#proto/unlock-key.ts";
import { familyOf, formatSubnet } from "../allocator/subnet.ts";
import { validateClusterSpec } from "../spec/validate-cluster.ts";
import type { Store } from "../store/store.ts";
import { type Authority, checkRoot, createRoot } from "./authority.ts";
import { requestedKey } from "./certificate-request.ts";
import { issueCertificate } from "./issuer.ts";
import { newJoinTokens } from "./join-token.ts";

export interface Foundation {
  readonly nodeId: string;
  /** Of the first node, PEM. */
  readonly csr: string;
  readonly spec: ClusterSpec | undefined;
  readonly description: NodeDescription | undefined;
  readonly availability: NodeAvailability;
  /** HOST:PORT at which other hosts reach this manager. */
  readonly address: string;
  readonly raftId: bigint;
}

export interface Founded extends Pick<NodeCertificate, "certificate" | "caCertificates"> {
  readonly clusterId: string;
}

/** Writes the cluster and what it begins with in one transaction, and gives the first node's certificate. */
export async function foundCluster(
  foundation: Foundation,
  { store, clock, random }: { store: Store; clock: Clock; random: Random },
): Promise<Founded> {
  const given = validateClusterSpec(foundation.spec ?? create(ClusterSchema, { spec: {} }).spec);
  const spec = withUniqueLocalPool(given, random);
  const nowMs = clock.now();
  const key = await requestedKey(foundation.csr);
  const cluster = newCluster(spec, await firstRoot(spec, nowMs), random);
  const { nodeId } = foundation;
  const subject = { kind: "node", nodeId, role: "manager" } as const;
  const issued = await issueCertificate(cluster, { key, subject, nowMs });
  await store.write((view) => {
    if (view.list("cluster").length > 0) {
      throw new Fault("failed-precondition", "Cannot found a cluster: the log holds one already");
    }
    return [
      { action: "create", kind: "cluster", object: cluster },
      { action: "create", kind: "node", object: firstNode(foundation) },
      { action: "create", kind: "network", object: newIngressNetwork(spec, random) },
    ];
  });
  return { clusterId: cluster.id, ...issued };
}

async function firstRoot({ ca }: ClusterSpec, nowMs: number): Promise<Authority> {
  if (ca === undefined || ca.signingCaCert.length === 0) return createRoot(nowMs);
  const given = {
    certificate: Buffer.from(ca.signingCaCert).toString(),
    key: Buffer.from(ca.signingCaKey).toString(),
  };
  checkRoot(given, nowMs);
  return given;
}

/** IPv6 addresses that are most likely nobody else's: RFC 4193 has 40 bits made at random, once. */
function withUniqueLocalPool(spec: ClusterSpec, random: Random): ClusterSpec {
  const { network } = spec;
  if (network === undefined) return spec;
  const pools = network.defaultAddressPools;
  if (pools.some((pool) => familyOf(pool) === IpFamily.IPV6)) return spec;
  const prefix = [0xfd, ...random.bytes(5)].reduce((bits, byte) => (bits << 8n) | BigInt(byte), 0n);
  const pool = formatSubnet({ family: IpFamily.IPV6, base: prefix << 80n, prefix: 48 });
  return { ...spec, network: { ...network, defaultAddressPools: [...pools, pool] } };
}

function newIngressNetwork(spec: ClusterSpec, random: Random): Network {
  return create(NetworkSchema, {
    id: newId(random),
    spec: {
      annotations: { name: "ingress" },
      driverConfig: { name: "overlay" },
      ingress: true,
      ipv6Enabled: true,
      encrypted: spec.network?.encrypted ?? false,
    },
  });
}

function newCluster(spec: ClusterSpec, root: Authority, random: Random): Cluster {
  const caCertHash = certificateDigest(root.certificate);
  return create(ClusterSchema, {
    id: newId(random),
    spec,
    rootCa: {
      caCert: Buffer.from(root.certificate),
      caKey: Buffer.from(root.key),
      caCertHash,
      joinTokens: newJoinTokens(caCertHash, random),
      lastForcedRotation: spec.ca?.forceRotate ?? 0n,
    },
    unlockKey: spec.encryption?.autoLockManagers === true ? newUnlockKey(random) : "",
  });
}

function firstNode({ nodeId, description, availability, address, raftId }: Foundation): Node {
  return create(NodeSchema, {
    id: nodeId,
    spec: {
      annotations: { name: "" },
      desiredRole: NodeRole.MANAGER,
      membership: NodeMembership.ACCEPTED,
      availability,
    },
    ...(description === undefined ? {} : { description }),
    role: NodeRole.MANAGER,
    managerStatus: { raftId, address },
    number: 1,
  });
}
