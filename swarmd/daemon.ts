/**
 * The daemon of one host. Belongs to no cluster until told to make or join one; from then on it is a member of it, and is
 * so again by itself after every start, until told to leave.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { create, type MessageShape } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  type GetInfoResponse,
  GetInfoResponseSchema,
  type InitClusterRequest,
  type InitClusterResponse,
  InitClusterResponseSchema,
  type JoinClusterRequest,
  type JoinClusterResponse,
  JoinClusterResponseSchema,
  type LeaveClusterRequest,
  LeaveClusterResponseSchema,
  type RestoreClusterRequest,
  type RestoreClusterResponse,
  RestoreClusterResponseSchema,
  type UnlockClusterRequest,
  UnlockClusterResponseSchema,
} from "#proto/gen/swarm/v1/node_pb.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { timestampFromMs } from "#proto/time.ts";
import { parseCertificate, validityOf } from "#proto/tls/certificate.ts";
import { version } from "#proto/version.ts";
import { hostOf, joinAddresses, managerAddresses, withPort } from "./addresses.ts";
import type { Config } from "./config.ts";
import { type Foundation, foundCluster } from "./found-cluster.ts";
import { readIdentity } from "./identity.ts";
import { type Admission, type JoinAttempt, joinCluster, newJoinAttempt } from "./join-cluster.ts";
import { refusalToLeave } from "./leave-cluster.ts";
import { connectToManager, hasManagerData, managerRoot } from "./manager-files.ts";
import { identityPath, Member } from "./member.ts";
import { receiveBackup } from "./receive-backup.ts";
import { planReload } from "./reload.ts";
import { type WithdrawOptions, withdrawNode } from "./withdraw-node.ts";

/** Several times what news take through a cluster; a shutdown is not noticeably longer. */
const heardMs = 2_000;

/** With what comes before and after it stays within what systemd gives this process. */
const endMsMax = 10_000;

export class Daemon implements AsyncDisposable {
  #config: Config;
  readonly #ports: Ports;
  #member: Member | undefined;
  /** What changes the host's membership excludes everything else that does. */
  #busyWith: string | undefined;
  #joinAttempt: JoinAttempt | undefined;

  /** For `start`. */
  constructor(config: Config, ports: Ports) {
    this.#config = config;
    this.#ports = ports;
  }

  static async start(config: Config, ports: Ports): Promise<Daemon> {
    const daemon = new Daemon(config, ports);
    // It holds the cluster's keys: a restore that was cut short must not leave it here.
    await rm(restorePath(config), { force: true });
    const identity = await readIdentity(identityPath(config));
    if (identity !== undefined) daemon.#member = await Member.resume(identity, config, ports);
    return daemon;
  }

  async initCluster(request: InitClusterRequest): Promise<InitClusterResponse> {
    if (request.forceNewCluster) return await this.#forceNewCluster(request);
    return await this.#alone("make a cluster", async () => {
      this.#refuseMember();
      const { spec, availability } = request;
      const member = await this.#found(request, { how: "found", spec, availability });
      return await this.#describeFounded(member);
    });
  }

  async restoreCluster(
    requests: AsyncIterable<RestoreClusterRequest>,
  ): Promise<RestoreClusterResponse> {
    return await this.#alone("restore the cluster", async () => {
      this.#refuseMember();
      const path = restorePath(this.#config);
      try {
        const options = await receiveBackup(requests, path);
        const { unlockKey } = options;
        const { identity } = await this.#found(options, { how: "restore", path, unlockKey });
        const { nodeId, clusterId, advertiseAddress: managerAddress } = identity;
        return create(RestoreClusterResponseSchema, { nodeId, clusterId, managerAddress });
      } finally {
        await rm(path, { force: true });
      }
    });
  }

  async joinCluster(request: JoinClusterRequest): Promise<JoinClusterResponse> {
    return await this.#alone("join a cluster", async () => {
      this.#refuseMember();
      if (hasManagerData(this.#config)) {
        throw new Fault(
          "failed-precondition",
          `"${managerRoot(this.#config)}" holds the log of a cluster that this host does not know: move it away`,
        );
      }
      const managers = request.managers.map((address) => withPort(address, "manager"));
      const addresses = await joinAddresses(request, managers);
      const { dataPathAddress } = addresses;
      const attempt = await this.#attemptFor(request.token);
      // From here on the cluster has one more node.
      const admission = await joinCluster(
        { managers, attempt, dataPathAddress, availability: request.availability },
        this.#ports,
      );
      const { tls, ...node } = admission;
      const identity = { ...node, ...addresses, managers };
      try {
        this.#member = await Member.enter(identity, { tls }, this.#memberModules());
      } catch (thrown) {
        await this.#withdraw({ tls, clusterId: node.clusterId, managers });
        throw thrown;
      }
      this.#joinAttempt = undefined;
      return create(JoinClusterResponseSchema, {
        nodeId: node.nodeId,
        role: roleOfProto(node.role),
      });
    });
  }

  async leaveCluster(
    request: LeaveClusterRequest,
  ): Promise<MessageShape<typeof LeaveClusterResponseSchema>> {
    return await this.#alone("leave the cluster", async () => {
      const member = this.#requireMember();
      const { role, nodeId } = member.identity;
      if (role === "manager" && !request.force) throw await refusalToLeave(this.#config, nodeId);
      await member.leave();
      this.#member = undefined;
      return create(LeaveClusterResponseSchema);
    });
  }

  async unlockCluster(
    request: UnlockClusterRequest,
  ): Promise<MessageShape<typeof UnlockClusterResponseSchema>> {
    return await this.#alone("unlock the manager", async () => {
      await this.#requireMember().unlock(request.unlockKey);
      return create(UnlockClusterResponseSchema);
    });
  }

  /** Takes up what can be taken up of other settings. */
  reload(next: Config): Config {
    const { config, changed, waiting } = planReload(this.#config, next);
    this.#config = config;
    if (changed.length > 0) this.#member?.configure(config);
    this.#ports.log.info("the configuration was read again", { changed });
    if (waiting.length > 0) {
      this.#ports.log.warn("settings wait until swarmd starts the next time", {
        settings: waiting,
      });
    }
    return config;
  }

  /**
   * For a host that shuts down: other hosts shall send nobody here before the containers end, so that waits until they have
   * heard of it. What has not ended after its time is left to systemd.
   */
  async shutDown(): Promise<void> {
    const member = this.#member;
    if (member === undefined) return;
    try {
      await member.farewell();
      await this.#ports.clock.sleep(heardMs);
    } catch (thrown) {
      const error = Fault.from(thrown).message;
      this.#ports.log.warn("No manager knows that this host shuts down", { error });
    }
    await member.endContainers(endMsMax);
  }

  /** In one line. */
  get status(): string {
    return this.#member?.status ?? "belongs to no cluster: swarmctl cluster init or join";
  }

  get standstill(): string | undefined {
    return this.#member?.standstill;
  }

  info(): GetInfoResponse {
    const member = this.#member;
    if (member === undefined) return create(GetInfoResponseSchema, { version });
    const { identity, certificate } = member;
    return create(GetInfoResponseSchema, {
      version,
      nodeId: identity.nodeId,
      clusterId: identity.clusterId,
      role: roleOfProto(identity.role),
      nodeAddress: hostOf(identity.advertiseAddress),
      managers: [...member.managers],
      connected: member.connected,
      error: member.error,
      managerError: member.managerError,
      locked: member.locked,
      ...(certificate !== undefined && {
        certificateExpiresAt: timestampFromMs(validityOf(parseCertificate(certificate)).notAfterMs),
      }),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#member?.[Symbol.asyncDispose]();
  }

  async #forceNewCluster(request: InitClusterRequest): Promise<InitClusterResponse> {
    return await this.#alone("make a new cluster of this manager", async () => {
      const member = this.#requireMember();
      const own = member.identity;
      const { advertiseAddress, listenAddress } = managerAddresses({
        advertiseAddress: request.advertiseAddress || own.advertiseAddress,
        listenAddress: request.listenAddress || own.listenAddress,
        dataPathAddress: own.dataPathAddress,
      });
      await member.forceNewCluster({ advertiseAddress, listenAddress });
      return await this.#describeFounded(member);
    });
  }

  async #found(
    request: Parameters<typeof managerAddresses>[0],
    from: Foundation["from"],
  ): Promise<Member> {
    const { advertiseAddress, listenAddress, dataPathAddress } = managerAddresses(request);
    const { identity, tls, manager, undo } = await foundCluster(
      {
        config: this.#config,
        advertised: advertiseAddress,
        listen: listenAddress,
        dataPathAddress,
        from,
      },
      this.#ports,
    );
    try {
      this.#member = await Member.enter(identity, { tls, manager }, this.#memberModules());
      return this.#member;
    } catch (thrown) {
      await undo.disposeAsync();
      throw thrown;
    }
  }

  async #describeFounded({ identity }: Member): Promise<InitClusterResponse> {
    using connection = connectToManager(this.#config);
    const control = connection.service(ControlService);
    const { tokens } = await control.getJoinTokens({});
    const { unlockKey } = await control.getUnlockKey({});
    return create(InitClusterResponseSchema, {
      nodeId: identity.nodeId,
      clusterId: identity.clusterId,
      workerJoinToken: tokens?.worker ?? "",
      managerJoinToken: tokens?.manager ?? "",
      managerAddress: identity.advertiseAddress,
      unlockKey,
    });
  }

  /** What cannot be withdrawn is left to users: `node ls` shows it as unknown, and `node rm` removes it. */
  async #withdraw(options: WithdrawOptions): Promise<void> {
    try {
      await withdrawNode(options);
    } catch (thrown) {
      const error = Fault.from(thrown).message;
      this.#ports.log.warn("The managers keep a node that could not begin", { error });
    }
  }

  /** The same while one join is tried, also when the user tries it again. */
  async #attemptFor(token: string): Promise<JoinAttempt> {
    const attempt =
      this.#joinAttempt?.token === token
        ? this.#joinAttempt
        : await newJoinAttempt(token, this.#ports.random);
    this.#joinAttempt = attempt;
    return attempt;
  }

  #memberModules() {
    return { config: this.#config, ports: this.#ports };
  }

  #refuseMember(): void {
    if (this.#member === undefined) return;
    throw new Fault(
      "failed-precondition",
      `this host belongs to cluster ${this.#member.identity.clusterId} already: leave that first`,
    );
  }

  #requireMember(): Member {
    if (this.#member !== undefined) return this.#member;
    throw new Fault("failed-precondition", "this host belongs to no cluster");
  }

  async #alone<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (this.#busyWith !== undefined) {
      throw new Fault(
        "failed-precondition",
        `Cannot ${what}: this host is about to ${this.#busyWith}; wait for that`,
      );
    }
    this.#busyWith = what;
    try {
      return await work();
    } catch (thrown) {
      throw Fault.wrap(`Cannot ${what}`, thrown);
    } finally {
      this.#busyWith = undefined;
    }
  }
}

function restorePath(config: Config): string {
  return join(config.dataRoot, "restore.backup");
}

function roleOfProto(role: Admission["role"]): NodeRole {
  return role === "manager" ? NodeRole.MANAGER : NodeRole.WORKER;
}
