/** Who may call each method of the services that managers serve. A method without a rule does not compile. */
import type { DescService } from "@bufbuild/protobuf";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { DispatcherService, LogBrokerService } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import {
  ContainerService,
  EngineService,
  HostService,
  ImageService,
  NetworkService,
  VolumeService,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { PeerService, RaftService } from "#proto/gen/swarm/v1/manager_pb.ts";
import { NodeCaService } from "#proto/gen/swarm/v1/node_pb.ts";

export type Rule =
  /** Also strangers: the method itself looks at what the request proves. */
  | "anyone"
  /** Any node of the cluster. */
  | "node"
  /** A node whose certificate says manager, and which the store knows as one or as one to be. */
  | "manager"
  /**
   * As "manager", but for one that this manager does not know, or not as a manager, while it has no leader, or where it
   * is the leader: a server that is behind must take the log from whoever leads now, and learns there who that is (§4.1).
   * Who is no member of the group any more is refused by Raft.
   */
  | "raft-member"
  /** A person: on the manager's own host, or with a user's certificate. */
  | "user";

type Rules<S extends DescService> = { readonly [M in keyof S["method"]]: Rule };

const control: Rules<typeof ControlService> = {
  getCluster: "user",
  updateCluster: "user",
  getJoinTokens: "user",
  getUnlockKey: "user",
  issueUserCertificate: "user",
  backupCluster: "user",
  getNode: "user",
  listNodes: "user",
  updateNode: "user",
  removeNode: "user",
  awaitNode: "user",
  createService: "user",
  getService: "user",
  listServices: "user",
  updateService: "user",
  removeService: "user",
  promoteService: "user",
  runService: "user",
  rebalanceService: "user",
  getTask: "user",
  listTasks: "user",
  createNetwork: "user",
  getNetwork: "user",
  listNetworks: "user",
  removeNetwork: "user",
  createConfig: "user",
  getConfig: "user",
  listConfigs: "user",
  updateConfig: "user",
  removeConfig: "user",
  rotateConfig: "user",
  createSecret: "user",
  getSecret: "user",
  listSecrets: "user",
  updateSecret: "user",
  removeSecret: "user",
  rotateSecret: "user",
  subscribeLogs: "user",
  watch: "user",
};

const dispatcher: Rules<typeof DispatcherService> = {
  session: "node",
  heartbeat: "node",
  farewell: "node",
  updateTaskStatus: "node",
  assignments: "node",
  findImagePeers: "node",
};

const logBroker: Rules<typeof LogBrokerService> = { publishLogs: "node" };

const nodeCa: Rules<typeof NodeCaService> = {
  getRootCertificate: "anyone",
  // Proven by the join token.
  issueNodeCertificate: "anyone",
  renewNodeCertificate: "node",
  withdrawNode: "node",
};

const raft: Rules<typeof RaftService> = {
  sendMessages: "raft-member",
  propose: "manager",
  readIndex: "manager",
  listMembers: "manager",
  joinRaft: "manager",
};

const peer: Rules<typeof PeerService> = { reportBeats: "manager", relayLogs: "manager" };

/** What managers pass on to the node that the call names. */
const images: Rules<typeof ImageService> = {
  listImages: "user",
  getImage: "user",
  pullImage: "user",
  removeImage: "user",
  pruneImages: "user",
  loadImages: "user",
  saveImages: "user",
};

const volumes: Rules<typeof VolumeService> = {
  createVolume: "user",
  listVolumes: "user",
  getVolume: "user",
  removeVolume: "user",
  pruneVolumes: "user",
};

const containers: Rules<typeof ContainerService> = {
  exec: "user",
  attach: "user",
  forwardPort: "user",
  readArchive: "user",
  writeArchive: "user",
  watchStats: "user",
};

const engine: Rules<typeof EngineService> = { getDiskUsage: "user", getHostState: "user" };

const networks: Rules<typeof NetworkService> = {
  inspectHostNetwork: "user",
  traceFromTask: "user",
  traceToTask: "user",
  probeNode: "user",
  countArrivals: "user",
};

const host: Rules<typeof HostService> = { checkHost: "user", collectSupport: "user" };

/** By service and method, as their descriptors name them. */
export const rules: ReadonlyMap<string, Readonly<Record<string, Rule>>> = new Map<
  string,
  Readonly<Record<string, Rule>>
>([
  [ControlService.typeName, control],
  [DispatcherService.typeName, dispatcher],
  [LogBrokerService.typeName, logBroker],
  [NodeCaService.typeName, nodeCa],
  [RaftService.typeName, raft],
  [PeerService.typeName, peer],
  [ImageService.typeName, images],
  [VolumeService.typeName, volumes],
  [ContainerService.typeName, containers],
  [EngineService.typeName, engine],
  [NetworkService.typeName, networks],
  [HostService.typeName, host],
]);
