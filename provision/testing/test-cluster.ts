/**
 * A cluster whose hosts are played: each is a Remote that takes packages, and whose manager answers as far as an upgrade asks it.
 * What a package does when it is installed is a test's to say.
 */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { NodeService } from "#proto/gen/swarm/v1/node_pb.ts";
import { type Node, NodeSchema, TaskSchema, type Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeRole, NodeState, Reachability, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { addService, type Handlers } from "#proto/grpc.ts";
import { msFromDuration } from "#proto/time.ts";
import { TestServer } from "#proto/testing/test-server.ts";
import type { Remote, RemoteSocket, RunResult } from "../remote.ts";

export interface TestHostOptions {
  readonly name: string;
  readonly manager?: boolean;
  readonly version: string;
}

/** What is true of a host now. Tests change it. */
export interface HostState {
  version: string;
  ready: boolean;
  reachable: boolean;
  locked: boolean;
  containerId: string;
  awaitedMs: number;
}

export class TestHost implements Remote {
  readonly name: string;
  readonly isManager: boolean;
  readonly state: HostState;
  /** What installing a package does beyond the new version. */
  onInstall: (version: string) => RunResult | undefined = () => undefined;
  readonly #cluster: PlayedCluster;
  #copied = "";

  constructor({ name, manager = false, version }: TestHostOptions, cluster: PlayedCluster) {
    this.name = name;
    this.isManager = manager;
    const containerId = `container-${name}`;
    this.state = {
      version,
      ready: true,
      reachable: true,
      locked: false,
      containerId,
      awaitedMs: 0,
    };
    this.#cluster = cluster;
  }

  get nodeId(): string {
    return `id-${this.name}`;
  }

  async run(command: readonly string[]): Promise<RunResult> {
    if (command.some((word) => word.includes("install.sh"))) return this.#install();
    if (command[0] !== "swarmctl") return said("");
    const { version, locked } = this.state;
    const role = this.isManager ? "MANAGER" : "WORKER";
    return said(
      JSON.stringify({
        version,
        nodeId: this.nodeId,
        clusterId: "c",
        role: `NODE_ROLE_${role}`,
        locked,
      }),
    );
  }

  async copy(file: string): Promise<void> {
    this.#copied = file;
  }

  async socket(which: RemoteSocket): Promise<string> {
    if (which === "manager" && !this.isManager)
      throw new Fault("failed-precondition", "no manager");
    return await this.#cluster.socketOf(this, which);
  }

  node(): Node {
    const { ready, version, reachable } = this.state;
    const reachability = reachable ? Reachability.REACHABLE : Reachability.UNREACHABLE;
    return create(NodeSchema, {
      id: this.nodeId,
      role: this.isManager ? NodeRole.MANAGER : NodeRole.WORKER,
      description: { hostname: this.name, engine: { engineVersion: version } },
      status: { state: ready ? NodeState.READY : NodeState.DOWN },
      ...(this.isManager && { managerStatus: { raftId: 1n, reachability } }),
    });
  }

  task(): Task {
    return create(TaskSchema, {
      id: `task-${this.name}`,
      nodeId: this.nodeId,
      serviceAnnotations: { name: "web" },
      desiredState: TaskState.RUNNING,
      status: {
        state: TaskState.RUNNING,
        container: { containerId: this.state.containerId, pid: 7 },
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #install(): RunResult {
    const version = /swarm-(.+)-linux/.exec(this.#copied)?.[1] ?? "";
    this.#cluster.installed.push(this.name);
    this.#cluster.awaited.push(this.state.awaitedMs);
    const result = this.onInstall(version);
    if (result !== undefined) return result;
    this.state.version = version;
    return said("");
  }
}

function said(stdout: string): RunResult {
  return { status: 0, stdout, stderr: "" };
}

export class PlayedCluster implements Disposable {
  readonly hosts: readonly TestHost[];
  /** Names of hosts in the order in which packages were installed, and how long each was awaited then. */
  readonly installed: string[] = [];
  readonly awaited: number[] = [];
  unlockKey = "";
  readonly #servers = new Map<string, Promise<TestServer>>();
  readonly #started: TestServer[] = [];

  constructor(hosts: readonly TestHostOptions[]) {
    this.hosts = hosts.map((options) => new TestHost(options, this));
  }

  host(name: string): TestHost {
    const host = this.hosts.find((one) => one.name === name);
    if (host === undefined) throw new Fault("not-found", `no host ${name}`);
    return host;
  }

  async socketOf(host: TestHost, which: RemoteSocket): Promise<string> {
    const key = `${host.name} ${which}`;
    const server = this.#servers.get(key) ?? this.#serve(host, which);
    this.#servers.set(key, server);
    return (await server).address.replace("unix:", "");
  }

  [Symbol.dispose](): void {
    for (const server of this.#started) server[Symbol.dispose]();
  }

  async #serve(host: TestHost, which: RemoteSocket): Promise<TestServer> {
    const server = await TestServer.serve((grpc) => {
      // The rest is asked by nobody.
      if (which === "manager")
        addService(grpc, ControlService, this.#control() as Handlers<typeof ControlService>);
      else addService(grpc, NodeService, this.#swarmd(host) as Handlers<typeof NodeService>);
    });
    this.#started.push(server);
    return server;
  }

  #control(): Partial<Handlers<typeof ControlService>> {
    const byId = (id: string) => this.hosts.find(({ nodeId }) => nodeId === id);
    return {
      getCluster: async () => ({}),
      listNodes: async () => ({ nodes: this.hosts.map((host) => host.node()) }),
      getNode: async ({ ref }) => {
        const node = byId(ref)?.node();
        return node === undefined ? {} : { node };
      },
      listTasks: async ({ nodeRef }) => ({
        tasks: [byId(nodeRef)?.task()].filter((task) => task !== undefined),
      }),
      getUnlockKey: async () => ({ unlockKey: this.unlockKey }),
      awaitNode: async ({ ref, patience }) => {
        const host = byId(ref);
        if (host !== undefined) host.state.awaitedMs = msFromDuration(patience, 0);
        return {};
      },
    };
  }

  #swarmd(host: TestHost): Partial<Handlers<typeof NodeService>> {
    return {
      unlockCluster: async ({ unlockKey }) => {
        if (unlockKey === this.unlockKey) host.state.locked = false;
        return {};
      },
    };
  }
}
