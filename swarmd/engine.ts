/**
 * The container engine of a node that belongs to a cluster: images, networks, DNS, tasks, and the agent that drives them
 * by what managers say. Opening it adopts what runs; disposing of it lets go, and containers go on running.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Agent, type SessionState } from "#agent/agent.ts";
import { ContainerApi } from "#agent/api/container-api.ts";
import { type EngineHandlers, serveEngineApi } from "#agent/api/engine-api.ts";
import { KnownManagers } from "#agent/api/known-managers.ts";
import { AssignedFile } from "#agent/assigned-file.ts";
import { type ContainerCgroups, prepareCgroups } from "#agent/container/cgroup-layout.ts";
import { DnsServer } from "#agent/dns/dns-server.ts";
import { systemExec } from "#agent/exec.ts";
import { hostHandlers } from "#agent/host/host-api.ts";
import { networkHandlers } from "#agent/network/diagnosis/network-api.ts";
import { FastPath } from "#agent/network/fastpath/fast-path.ts";
import { NetworkDriver } from "#agent/network/network-driver.ts";
import type { EncryptionNews } from "#agent/network/wireguard/key-rotation.ts";
import { WireGuard } from "#agent/network/wireguard/wireguard.ts";
import { describeNode } from "#agent/node-description.ts";
import { ownAddresses, watchOwnAddresses } from "#agent/own-addresses.ts";
import { Reporter } from "#agent/reporter.ts";
import { statsHandlers } from "#agent/stats/stats-api.ts";
import { UsageMeter } from "#agent/stats/usage-meter.ts";
import { volumeHandlers } from "#agent/volume/volume-api.ts";
import { Worker, type WorkerModules } from "#agent/worker.ts";
import { Fault } from "#proto/fault.ts";
import { PeerSchema, type SessionResponse } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Clock, Ports } from "#proto/ports.ts";
import { msFromDuration } from "#proto/time.ts";
import type { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import type { Config } from "./config.ts";
import { EngineImages, openImages, openPeers } from "./engine-images.ts";
import { openMetrics } from "./engine-metrics.ts";
import { HostFacts } from "./host-facts.ts";
import type { Identity } from "./identity.ts";

export interface EngineModules extends Ports {
  /** Resolves when the node's certificate can be used; there is no session before. */
  readonly identity: Promise<TlsIdentityHolder>;
  readonly onNews: (news: SessionResponse) => void;
}

interface EngineParts {
  readonly agent: Agent;
  readonly worker: Worker;
  readonly network: NetworkDriver;
  readonly images: EngineImages;
  readonly facts: HostFacts;
  readonly opened: AsyncDisposableStack;
}

/** How long the containers of a host that leaves may take to stop. */
const clearMs = 60_000;

export class Engine implements AsyncDisposable {
  readonly #config: Config;
  readonly #clock: Clock;
  readonly #parts: EngineParts;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;

  /** For `open`. */
  constructor(config: Config, parts: EngineParts, { clock }: Pick<Ports, "clock">) {
    this.#config = config;
    this.#clock = clock;
    this.#parts = parts;
    this.#running = parts.agent.run(this.#stopping.signal);
  }

  static async open(config: Config, identity: Identity, modules: EngineModules): Promise<Engine> {
    await using opened = new AsyncDisposableStack();
    const { log } = modules;
    const peers = opened.use(openPeers(config, identity, modules));
    const images = opened.use(await openImages(config, { ...modules, peers }));
    const cgroups = await prepareCgroups(config.cgroupParent);
    const { encryption, network } = await openNetwork({ ...config, cgroups }, modules, opened);
    const dns = opened.use(newDnsServer(network, modules));
    const memory = opened.use(
      new AssignedFile({ path: join(config.dataRoot, "agent/assigned.bin") }, modules),
    );
    const reporter = new Reporter();
    const ofWorker = { ...modules, exec: systemExec, images, network, reporter };
    const worker = opened.use(await openWorker({ ...config, cgroups }, ofWorker));
    const imageApi = opened.use(
      new EngineImages(config, { ...modules, images, volumes: worker.volumes }),
    );
    const { clusterId } = identity;
    const containers = opened.use(new ContainerApi(config, { ...modules, exec: systemExec }));
    const managers = new KnownManagers();
    opened.use(
      serveEngineApi(
        {
          managers,
          address: config.engineAddress,
          clusterId,
          identity: modules.identity,
          handlers: {
            ...imageApi.handlers,
            ...(peers && { layers: peers.handlers(images.content) }),
            ...taskHandlers(config, { worker, network, containers }, modules),
          },
        },
        { ...modules, log: log.child({ part: "api" }) },
      ),
    );
    const facts = new HostFacts(config, identity);
    const agent = new Agent(agentOptions(identity, modules.identity), {
      ...modules,
      describe: (tls) =>
        describeNode({
          ...facts.current,
          identity: tls,
          encryptionKey: encryption.publicKey,
        }),
      watchDescription: (listener) => watchNode(listener, { ...modules, facts, encryption }),
      network,
      dns,
      memory,
      worker,
      reporter,
      usage: opened.use(new UsageMeter({ list: () => worker.running(), clock: modules.clock })),
      onNews: (news) => {
        managers.update(news.managerIds);
        encryption.onNews(encryptionNews(news));
        modules.onNews(news);
      },
      onSession: (session) => peers?.useSession(session),
      log: log.child({ part: "agent" }),
    });
    const counted = {
      network: () => network.status(),
      running: () => worker.running().length,
      connected: () => agent.session.state === "connected",
    };
    opened.use(await openMetrics(config.metricsAddress, counted, modules));
    const parts = { agent, worker, network, images: imageApi, facts, opened: opened.move() };
    return new Engine(config, parts, modules);
  }

  configure(config: Config): void {
    this.#parts.images.configure(config);
    this.#parts.facts.update(config);
  }

  /** See Agent.farewell. */
  async farewell(): Promise<void> {
    await this.#parts.agent.farewell();
  }

  /** See Worker.endWithHost. */
  async endContainers(mostMs: number): Promise<void> {
    await this.#parts.worker.endWithHost(mostMs);
  }

  get session(): SessionState {
    return this.#parts.agent.session;
  }

  get standstill(): string | undefined {
    return this.#parts.agent.standstill;
  }

  get runningCount(): number {
    return this.#parts.worker.running().length;
  }

  get managers(): readonly string[] {
    return this.#parts.agent.managers;
  }

  /**
   * Stops and removes every container, and all that belongs to them but images, for a host that leaves its cluster. One
   * that fails can be called again; in any case there is no session any more.
   */
  async clear(): Promise<void> {
    await this.#stop();
    const { worker, network, opened } = this.#parts;
    worker.assign([]);
    await this.#idle(worker);
    await network.cleanup();
    await opened.disposeAsync();
    for (const name of ["tasks", "assigned.bin", "encryption"]) {
      await rm(join(this.#config.dataRoot, "agent", name), { recursive: true, force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
    await this.#parts.opened.disposeAsync();
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #idle(worker: Worker): Promise<void> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const fault = new Fault(
      "deadline-exceeded",
      `containers still stop after ${clearMs / 1000} s: try again`,
    );
    using _timer = this.#clock.timer(clearMs, () => reject(fault));
    await Promise.race([worker.idle(), late]);
  }
}

function newDnsServer(network: NetworkDriver, modules: EngineModules): DnsServer {
  const nameserversOf = (address: string) => network.nameserversOf(address);
  return new DnsServer({}, { ...modules, nameserversOf, log: modules.log.child({ part: "dns" }) });
}

function taskHandlers(
  config: Config,
  {
    worker,
    network,
    containers,
  }: Pick<EngineParts, "worker" | "network"> & { readonly containers: ContainerApi },
  { clock }: Pick<Ports, "clock">,
): EngineHandlers {
  return {
    volumes: volumeHandlers(worker.volumes),
    networks: networkHandlers({ network, exec: systemExec, clock }),
    host: hostHandlers(config, { network, exec: systemExec, clock }),
    containers: {
      ...containers.handlers,
      ...statsHandlers({ list: () => worker.running(), clock }),
    },
  };
}

/** What a node says of itself changes with its keys and its addresses. */
function watchNode(
  listener: () => void,
  {
    clock,
    facts,
    encryption,
  }: Pick<Ports, "clock"> & { readonly facts: HostFacts; readonly encryption: WireGuard },
): Disposable {
  const watches = new DisposableStack();
  watches.use(facts.watch(listener));
  watches.use(encryption.watch(listener));
  watches.use(watchOwnAddresses(clock, listener));
  return watches;
}

function encryptionNews(news: SessionResponse): EncryptionNews {
  return {
    announced: news.node?.description?.encryptionKey ?? "",
    // A manager of an earlier version says none: keys are renewed on command alone.
    periodMs: msFromDuration(news.networkKeyPeriod, Infinity),
    rotations: Number(news.networkKeyRotations),
  };
}

interface WithCgroups {
  readonly cgroups: ContainerCgroups;
}

async function openNetwork(
  { cgroups, ...config }: Config & WithCgroups,
  modules: Ports,
  opened: AsyncDisposableStack,
) {
  const of = (part: string) => ({ ...modules, exec: systemExec, log: modules.log.child({ part }) });
  const { dataRoot, runRoot } = config;
  const { supervisors: supervisorCgroups } = cgroups;
  const encryption = opened.use(
    await WireGuard.open({ dataRoot, runRoot, supervisorCgroups }, of("encryption")),
  );
  const fastPath = await FastPath.open({ mode: config.fastPath }, of("network"));
  const network = await NetworkDriver.open(config, { ...of("network"), encryption, fastPath });
  return { encryption, network };
}

async function openWorker(
  config: Config & WithCgroups,
  { reporter, ...modules }: Omit<WorkerModules, "report"> & { readonly reporter: Reporter },
): Promise<Worker> {
  return await Worker.open(workerOptions(config), {
    ...modules,
    report: (taskId, status) => reporter.report(taskId, status),
    log: modules.log.child({ part: "worker" }),
  });
}

function workerOptions({ dataRoot, runRoot, cgroups }: Config & WithCgroups) {
  return {
    stateRoot: join(dataRoot, "agent"),
    runRoot,
    cgroupParent: cgroups.parent,
    supervisorCgroups: cgroups.supervisors,
    runtime: "runc",
  } as const;
}

function agentOptions(node: Identity, identity: Promise<TlsIdentityHolder>) {
  const { nodeId, clusterId, number, dataPathAddress, managers } = node;
  return {
    managers,
    clusterId,
    identity,
    self: () => {
      const addresses = [...new Set([dataPathAddress, ...ownAddresses()])];
      return create(PeerSchema, { nodeId, number, dataPathAddress, addresses });
    },
  };
}
