/**
 * The daemon of one host. Belongs to no cluster until told to make or join one; from then on it runs the node's engine
 * and, on a manager, the manager process, and does so again by itself after every start.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { describeNode } from "#agent/node-description.ts";
import { Fault } from "#proto/fault.ts";
import {
  type GetInfoResponse,
  GetInfoResponseSchema,
  type InitClusterRequest,
  type InitClusterResponse,
  InitClusterResponseSchema,
  type IssueNodeIdentityResponse,
  type JoinClusterRequest,
  type JoinClusterResponse,
  JoinClusterResponseSchema,
  NodeCaService,
} from "#proto/gen/swarm/v1/node_pb.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { Connection } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import type { Ports } from "#proto/ports.ts";
import { version } from "#proto/version.ts";
import {
  addressTowards,
  defaultAddress,
  hostOf,
  managerPort,
  requireOwnAddress,
  withPort,
} from "./addresses.ts";
import { foundCluster, managerArgs } from "./found-cluster.ts";
import type { Config } from "./config.ts";
import { Engine } from "./engine.ts";
import { type Identity, readIdentity, writeIdentity } from "./identity.ts";
import { ManagerProcess } from "./manager-process.ts";

/** How long one manager may take to answer a join. */
const joinMs = 5_000;

export class Daemon implements AsyncDisposable {
  readonly #config: Config;
  readonly #ports: Ports;
  readonly #identityPath: string;
  #identity: Identity | undefined;
  #manager: ManagerProcess | undefined;
  #engine: Engine | undefined;
  #remembered: Promise<void> = Promise.resolve();
  /** Init and join exclude each other. */
  #joining = false;
  #joinRequest: { readonly token: string; readonly id: string } | undefined;

  /** For `start`. */
  constructor(config: Config, ports: Ports) {
    this.#config = config;
    this.#ports = ports;
    this.#identityPath = join(config.dataRoot, "node.json");
  }

  static async start(config: Config, ports: Ports): Promise<Daemon> {
    const daemon = new Daemon(config, ports);
    const identity = await readIdentity(daemon.#identityPath);
    if (identity !== undefined) await daemon.#run(identity);
    return daemon;
  }

  async initCluster(request: InitClusterRequest): Promise<InitClusterResponse> {
    return await this.#once("make a cluster", async () => {
      const advertised = withPort(request.advertiseAddress || defaultAddress(), "--advertise-addr");
      requireOwnAddress(hostOf(advertised), "--advertise-addr");
      const dataPathAddress = request.dataPathAddress || hostOf(advertised);
      requireOwnAddress(dataPathAddress, "--data-path-addr");
      const listen = withPort(request.listenAddress || `0.0.0.0:${managerPort}`, "--listen-addr");
      const founded = await foundCluster(
        { config: this.#config, advertised, listen, dataPathAddress, spec: request.spec },
        this.#ports,
      );
      this.#manager = founded.manager;
      try {
        await this.#settle(founded.identity);
      } catch (thrown) {
        this.#manager = undefined;
        await founded.undo.disposeAsync();
        throw thrown;
      }
      return create(InitClusterResponseSchema, {
        nodeId: founded.identity.nodeId,
        clusterId: founded.identity.clusterId,
        workerJoinToken: founded.joinTokens.worker,
        managerJoinToken: founded.joinTokens.manager,
        managerAddress: advertised,
      });
    });
  }

  async joinCluster(request: JoinClusterRequest): Promise<JoinClusterResponse> {
    return await this.#once("join a cluster", async () => {
      const managers = request.managers.map((address) => withPort(address, "manager"));
      const [first] = managers;
      if (first === undefined) throw new Fault("invalid-argument", "no manager is given to join");
      const own = request.advertiseAddress || (await addressTowards(first));
      const advertiseAddress = withPort(own, "--advertise-addr");
      const dataPathAddress = request.dataPathAddress || hostOf(own);
      requireOwnAddress(dataPathAddress, "--data-path-addr");
      // Last: from here on the cluster has one more node.
      const issued = await this.#askManagers(managers, request, dataPathAddress);
      await this.#settle({
        nodeId: issued.nodeId,
        nodeSecret: issued.nodeSecret,
        clusterId: issued.clusterId,
        number: issued.number,
        role: "worker",
        managers,
        dataPathAddress,
        listenAddress: "",
        advertiseAddress,
      });
      return create(JoinClusterResponseSchema, { nodeId: issued.nodeId, role: issued.role });
    });
  }

  info(): GetInfoResponse {
    const identity = this.#identity;
    const session = this.#engine?.session;
    return create(GetInfoResponseSchema, {
      version,
      ...(identity !== undefined && {
        nodeId: identity.nodeId,
        clusterId: identity.clusterId,
        role: identity.role === "manager" ? NodeRole.MANAGER : NodeRole.WORKER,
        nodeAddress: hostOf(identity.advertiseAddress),
        managers: [...(this.#engine?.managers ?? identity.managers)],
      }),
      connected: session?.state === "connected",
      error: session?.state === "connecting" ? session.error : "",
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine?.[Symbol.asyncDispose]();
    await this.#manager?.[Symbol.asyncDispose]();
  }

  async #once<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (this.#identity !== undefined || this.#joining) {
      throw new Fault(
        "failed-precondition",
        `Cannot ${what}: this host belongs to cluster ${this.#identity?.clusterId ?? "(just now)"} already`,
      );
    }
    this.#joining = true;
    try {
      return await work();
    } catch (thrown) {
      throw Fault.wrap(`Cannot ${what}`, thrown);
    } finally {
      this.#joining = false;
    }
  }

  /** The first manager that lets this host in; a refusal is final, silence sends us to the next. */
  async #askManagers(
    managers: readonly string[],
    request: JoinClusterRequest,
    dataPathAddress: string,
  ): Promise<IssueNodeIdentityResponse> {
    let silence: Fault | undefined;
    for (const manager of managers) {
      using connection = new Connection(manager);
      try {
        return await connection.service(NodeCaService).issueNodeIdentity(
          {
            token: request.token,
            description: describeNode({ dataPathAddress }),
            availability: request.availability,
            requestId: this.#requestId(request.token),
          },
          { deadlineMs: joinMs },
        );
      } catch (thrown) {
        const fault = Fault.from(thrown);
        if (fault.code !== "unavailable" && fault.code !== "deadline-exceeded") throw fault;
        silence = new Fault(
          fault.code,
          `manager ${manager} cannot be reached: check the address, that swarmd runs there, and that no firewall closes the port`,
          { cause: fault },
        );
      }
    }
    throw silence ?? new Fault("unavailable", "no manager answered");
  }

  /** The same while one join is tried, also when the user tries it again: a lost answer makes no second node. */
  #requestId(token: string): string {
    if (this.#joinRequest?.token !== token) {
      this.#joinRequest = { token, id: newId(this.#ports.random) };
    }
    return this.#joinRequest.id;
  }

  /** Remembers who this host is now, and runs as that; who cannot run is nobody again. */
  async #settle(identity: Identity): Promise<void> {
    try {
      await this.#remember(identity);
      await this.#run(identity);
    } catch (thrown) {
      this.#identity = undefined;
      await rm(this.#identityPath, { force: true });
      throw thrown;
    }
  }

  /** One after the other: they share the name of the new file. */
  #remember(identity: Identity): Promise<void> {
    const written = this.#remembered.then(() => writeIdentity(this.#identityPath, identity));
    this.#remembered = written.catch(() => undefined);
    return written;
  }

  async #run(identity: Identity): Promise<void> {
    this.#identity = identity;
    if (identity.role === "manager" && this.#manager === undefined) {
      // Not waited for: what runs here is adopted and supervised whether or not the manager comes up.
      this.#manager = new ManagerProcess(
        { args: managerArgs(this.#config, identity) },
        { clock: this.#ports.clock, log: this.#ports.log.child({ part: "manager" }) },
      );
    }
    this.#engine = await Engine.open(this.#config, identity, {
      ...this.#ports,
      onManagers: (managers) => this.#rememberManagers(managers),
    });
  }

  #rememberManagers(managers: readonly string[]): void {
    const identity = this.#identity;
    if (identity === undefined || identity.managers.join() === managers.join()) return;
    this.#identity = { ...identity, managers };
    this.#remember(this.#identity).catch((thrown: unknown) => {
      this.#ports.log.error("cannot remember the managers' addresses", {
        error: Fault.from(thrown).message,
      });
    });
  }
}
