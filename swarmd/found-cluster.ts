/**
 * Making a cluster: this host gets an identity, its manager begins the cluster with it, and only when the manager serves
 * is the identity worth remembering. Going wrong half-way leaves nothing, so that the next attempt starts afresh.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, toJson } from "@bufbuild/protobuf";
import { describeNode } from "#agent/node-description.ts";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { type ClusterSpec, ClusterSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeDescriptionSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { Connection } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import type { Ports, Random } from "#proto/ports.ts";
import type { Config } from "./config.ts";
import type { Identity } from "./identity.ts";
import { ManagerProcess } from "./manager-process.ts";

export interface Foundation {
  readonly config: Config;
  /** host:port at which others reach the manager. */
  readonly advertised: string;
  /** host:port on which it listens. */
  readonly listen: string;
  readonly dataPathAddress: string;
  readonly spec: ClusterSpec | undefined;
  /** The manager's program; tests give their own. */
  readonly managerMain?: string;
}

export interface Founded {
  readonly identity: Identity;
  readonly manager: ManagerProcess;
  readonly joinTokens: { readonly worker: string; readonly manager: string };
  /** Ends the manager and removes its cluster; for a founder who cannot go on. */
  readonly undo: AsyncDisposableStack;
}

export function managerArgs(
  config: Config,
  addresses: Pick<Identity, "listenAddress" | "advertiseAddress">,
): readonly string[] {
  return [
    `--data-root=${config.dataRoot}`,
    `--run-root=${config.runRoot}`,
    `--listen-address=${addresses.listenAddress}`,
    `--advertise-address=${addresses.advertiseAddress}`,
    `--log-level=${config.logLevel}`,
  ];
}

export async function foundCluster(foundation: Foundation, ports: Ports): Promise<Founded> {
  const { config } = foundation;
  const managerRoot = join(config.dataRoot, "manager");
  if (existsSync(join(managerRoot, "log.db"))) {
    throw new Fault(
      "failed-precondition",
      `"${managerRoot}" holds the log of a cluster that this host does not know: move it away`,
    );
  }
  const identity = newIdentity(foundation, ports.random);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(managerRoot, { recursive: true, force: true }));
  await mkdir(managerRoot, { recursive: true, mode: 0o700 });
  const bootstrapPath = join(managerRoot, "bootstrap.json");
  await writeFile(bootstrapPath, bootstrapJson(foundation, identity), { mode: 0o600 });
  const manager = undo.use(
    new ManagerProcess(
      {
        args: [...managerArgs(config, identity), "--bootstrap", bootstrapPath],
        ...(foundation.managerMain !== undefined && { main: foundation.managerMain }),
      },
      { clock: ports.clock, log: ports.log.child({ part: "manager" }) },
    ),
  );
  await manager.ready;
  const { clusterId, joinTokens } = await readCluster(config);
  return { identity: { ...identity, clusterId }, manager, joinTokens, undo: undo.move() };
}

function newIdentity(foundation: Foundation, random: Random): Identity {
  return {
    nodeId: newId(random),
    nodeSecret: newId(random) + newId(random),
    clusterId: "",
    // The first node of a cluster has the first number.
    number: 1,
    role: "manager",
    managers: [foundation.advertised],
    dataPathAddress: foundation.dataPathAddress,
    listenAddress: foundation.listen,
    advertiseAddress: foundation.advertised,
  };
}

function bootstrapJson(foundation: Foundation, identity: Identity): string {
  const description = describeNode({ dataPathAddress: foundation.dataPathAddress });
  return JSON.stringify({
    nodeId: identity.nodeId,
    nodeSecretDigest: createHash("sha256").update(identity.nodeSecret).digest("hex"),
    advertiseAddress: foundation.advertised,
    description: toJson(NodeDescriptionSchema, description),
    spec: toJson(ClusterSpecSchema, foundation.spec ?? create(ClusterSpecSchema)),
  });
}

async function readCluster(config: Config) {
  using connection = new Connection(`unix:${join(config.runRoot, "manager.sock")}`);
  const { cluster } = await connection.service(ControlService).getCluster({});
  const joinTokens = cluster?.rootCa?.joinTokens;
  if (cluster === undefined || joinTokens === undefined) {
    throw new Fault("internal", "the new manager knows of no cluster");
  }
  return { clusterId: cluster.id, joinTokens };
}
