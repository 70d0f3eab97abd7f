/**
 * A manager's parts that run the whole time, whether or not it leads, and what they offer: to nodes, users and managers on
 * TCP with TLS, to root of this host on a unix socket.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { serveEndpoint } from "#proto/endpoint.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { DispatcherService, LogBrokerService } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { PeerService, RaftService } from "#proto/gen/swarm/v1/manager_pb.ts";
import { NodeCaService } from "#proto/gen/swarm/v1/node_pb.ts";
import { addService, type CallContext, type Connection } from "#proto/grpc.ts";
import type { GrpcServer } from "#proto/grpc-server.ts";
import type { Ports } from "#proto/ports.ts";
import type { ServerTls } from "#proto/tls/tls-listener.ts";
import { ScheduledBackups } from "./backup/scheduled-backups.ts";
import { authorizer, nodeOf } from "./ca/authorize.ts";
import { nodeCaHandlers } from "./ca/node-ca.ts";
import { RootRotator } from "./ca/root-rotator.ts";
import type { Config } from "./config.ts";
import { controlHandlers } from "./control/control-service.ts";
import { Dispatcher, dispatcherHandlers } from "./dispatcher/dispatcher.ts";
import { ImageResolver } from "./image-resolver.ts";
import { startLeader } from "./leader.ts";
import { Leading } from "./leading.ts";
import { LogBroker } from "./logbroker/log-broker.ts";
import { logBrokerHandlers } from "./logbroker/log-broker-service.ts";
import { peerHandlers } from "./peer/peer-service.ts";
import { Peers } from "./peer/peers.ts";
import type { RaftLog } from "./replication/raft-log.ts";
import { raftHandlers } from "./replication/raft-service.ts";
import { Relay } from "./relay/relay.ts";
import { RoleManager } from "./role-manager/role-manager.ts";
import type { Store } from "./store/store.ts";
import type { RegistrySettings } from "#registry/endpoints.ts";

export interface ServeOptions {
  readonly config: Config;
  readonly nodeId: string;
  readonly tls: ServerTls;
}

export interface ServeModules extends Ports {
  readonly store: Store;
  readonly replication: RaftLog;
  readonly connect: (address: string) => Connection;
}

export interface Serving extends AsyncDisposable {
  /** Rejects when a part cannot go on; never resolves. */
  readonly failed: Promise<never>;
  /** Other settings of registries from now on. */
  configure(settings: RegistrySettings): void;
}

export async function serveManager(
  { config, nodeId, tls }: ServeOptions,
  modules: ServeModules,
): Promise<Serving> {
  await using parts = new AsyncDisposableStack();
  const { store, replication } = modules;
  const authenticate = (context: CallContext) => nodeOf(store, context);
  const peers = parts.use(new Peers(modules));
  const logBroker = parts.use(
    new LogBroker({ nodeId }, { ...modules, manager: (id) => peers.manager(id) }),
  );
  const others = [() => new RoleManager(modules), () => new RootRotator(modules)];
  const leading = parts.use(
    new Leading({ ...modules, startLeader: () => startLeader({ nodeId, others }, modules) }),
  );
  const nodeLiveness = () => (replication.leading ? leading.scope?.nodeLiveness : undefined);
  const usageBook = () => (replication.leading ? leading.scope?.usageBook : undefined);
  const leader = () => peers.leader();
  const dispatcher = new Dispatcher(
    { nodeId },
    { ...modules, authenticate, logSubscriptions: logBroker, nodeLiveness, usageBook, leader },
  );
  const authorize = authorizer(modules);
  const relay = parts.use(new Relay({ store, tls, authorize, clock: modules.clock }));
  const images = parts.use(new ImageResolver(config, modules));
  parts.use(new ScheduledBackups({ nodeId }, modules));
  const control = controlHandlers({ ...modules, logBroker, images });
  const addControl = (server: GrpcServer) => {
    addService(server, ControlService, control, authorize);
    relay.addServices(server);
  };
  const addServices = (server: GrpcServer) => {
    addControl(server);
    addService(server, NodeCaService, nodeCaHandlers(modules), authorize);
    addService(server, DispatcherService, dispatcherHandlers(dispatcher), authorize);
    addService(server, LogBrokerService, logBrokerHandlers({ logBroker, authenticate }), authorize);
    const peer = peerHandlers({ authenticate, nodeLiveness, usageBook, logBroker });
    addService(server, PeerService, peer, authorize);
    addService(
      server,
      RaftService,
      raftHandlers(() => replication),
      authorize,
    );
  };
  const owner = "manager";
  parts.use(await serveEndpoint(config.listenAddress, { addServices, tls, owner }, modules));
  await mkdir(config.runRoot, { recursive: true, mode: 0o711 });
  const socket = `unix:${join(config.runRoot, "manager.sock")}`;
  parts.use(await serveEndpoint(socket, { addServices: addControl, owner }, modules));
  // The first to end: agents hear of it while they can still be answered, and go to another manager.
  parts.use(dispatcher);
  const failed = Promise.race([leading.failed, dispatcher.failed]);
  failed.catch(() => undefined);
  const held = parts.move();
  return {
    failed,
    configure: (settings) => images.configure(settings),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** What a manager shows before it is one: that its address leads to it. */
export async function serveJoiner(
  { config, tls }: Pick<ServeOptions, "config" | "tls">,
  ports: Ports,
): Promise<AsyncDisposable> {
  const addServices = (server: GrpcServer) => {
    addService(
      server,
      RaftService,
      raftHandlers(() => undefined),
    );
  };
  return serveEndpoint(config.listenAddress, { addServices, tls, owner: "manager" }, ports);
}
