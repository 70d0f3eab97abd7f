/**
 * Making a cluster, a new one or one from a backup: the manager begins it, issues this host's first certificate, and only
 * when it serves is the identity worth remembering. Going wrong half-way leaves nothing, so that the next attempt starts
 * afresh.
 */
import { mkdir, rm } from "node:fs/promises";
import { create, toJson } from "@bufbuild/protobuf";
import { describeNode } from "#agent/node-description.ts";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { type ClusterSpec, ClusterSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { type NodeAvailability, NodeDescriptionSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import type { ManagerStart, TlsIdentity } from "#proto/manager-messages.ts";
import type { Ports } from "#proto/ports.ts";
import {
  type CertificateRequest,
  createCertificateRequest,
} from "#proto/tls/certificate-request.ts";
import type { Config } from "./config.ts";
import type { Identity } from "./identity.ts";
import { issuedIdentity } from "./issued-identity.ts";
import {
  compileCache,
  connectToManager,
  hasManagerData,
  managerArgs,
  managerRoot,
} from "./manager-files.ts";
import { ManagerProcess } from "./manager-process.ts";

/** A backup of a large cluster takes a while to read. */
const readyMs = 180_000;

export interface Foundation {
  readonly config: Config;
  /** host:port at which others reach the manager. */
  readonly advertised: string;
  /** host:port on which it listens. */
  readonly listen: string;
  readonly dataPathAddress: string;
  readonly from:
    | {
        readonly how: "found";
        readonly spec: ClusterSpec | undefined;
        readonly availability: NodeAvailability;
      }
    | { readonly how: "restore"; readonly path: string; readonly unlockKey: string };
}

export interface Founded {
  readonly identity: Identity;
  readonly tls: TlsIdentity;
  readonly manager: ManagerProcess;
  /** Ends the manager and removes its cluster; for a founder who cannot go on. */
  readonly undo: AsyncDisposableStack;
}

export async function foundCluster(foundation: Foundation, ports: Ports): Promise<Founded> {
  const { config } = foundation;
  const folder = managerRoot(config);
  if (hasManagerData(config)) {
    throw new Fault(
      "failed-precondition",
      `"${folder}" holds the log of a cluster that this host does not know: move it away`,
    );
  }
  const nodeId = newId(ports.random);
  const request = await createCertificateRequest();
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  let issued: { readonly tls: TlsIdentity; readonly clusterId: string } | undefined;
  const begun = () => issued !== undefined && hasManagerData(config);
  const manager = undo.use(
    new ManagerProcess(
      {
        args: managerArgs(config, {
          listenAddress: foundation.listen,
          advertiseAddress: foundation.advertised,
        }),
        compileCache: compileCache(config),
        start: () => (begun() ? { how: "resume" } : startOf(foundation, nodeId, request)),
        complete: ({ clusterId, ...certificate }) => {
          const tls = issuedIdentity(request.key, certificate, { nodeId, clusterId });
          issued = { tls, clusterId };
          return tls;
        },
        readyMs,
      },
      { clock: ports.clock, log: ports.log.child({ part: "manager" }) },
    ),
  );
  await manager.ready;
  if (issued === undefined) throw new Fault("internal", "the manager issued no certificate");
  const identity = await identityOf(foundation, nodeId, issued.clusterId);
  return { identity, tls: issued.tls, manager, undo: undo.move() };
}

function startOf(
  foundation: Foundation,
  nodeId: string,
  { csr }: CertificateRequest,
): ManagerStart {
  const { from, dataPathAddress } = foundation;
  const description = toJson(NodeDescriptionSchema, describeNode({ dataPathAddress }));
  if (from.how === "restore") return { ...from, nodeId, csr, description };
  const spec = toJson(ClusterSpecSchema, from.spec ?? create(ClusterSpecSchema));
  return { ...from, nodeId, csr, description, spec };
}

async function identityOf(
  { config, advertised, listen, dataPathAddress }: Foundation,
  nodeId: string,
  clusterId: string,
): Promise<Identity> {
  using connection = connectToManager(config);
  const { node } = await connection.service(ControlService).getNode({ ref: nodeId });
  return {
    nodeId,
    clusterId,
    number: node?.number ?? 0,
    role: "manager",
    managers: [advertised],
    dataPathAddress,
    listenAddress: listen,
    advertiseAddress: advertised,
  };
}
