/** Docker Swarm as a side of a benchmark: a manager on each of its hosts. */
import type { Host } from "#lab/host.ts";
import { waitFor } from "#lab/wait.ts";
import { Fault } from "#proto/fault.ts";
import {
  type RunningTask,
  type Side,
  type StartWatch,
  stopGraceMs,
  type Workload,
} from "../side.ts";
import type { DockerApi } from "./docker-api.ts";
import { DockerHost, type DockerHostOptions } from "./docker-host.ts";

const readyTimeoutMs = 60_000;
const listenAddress = "0.0.0.0:2377";

/** The API counts time in nanoseconds. */
const nsPerMs = 1_000_000;

export class DockerSwarm implements Side {
  readonly name = "peer";
  readonly hosts: readonly Host[];
  readonly #engines: readonly DockerHost[];
  /** Of the host that is never lost. */
  readonly #api: DockerApi;
  #hostNames: ReadonlyMap<string, string> = new Map();

  /** Starts dockerd on the hosts and makes them a cluster of managers. */
  static async up(
    hosts: readonly Host[],
    options: DockerHostOptions & { readonly signal: AbortSignal },
  ): Promise<DockerSwarm> {
    const engines = hosts.map((host) => new DockerHost(host, options));
    const [first, ...others] = engines;
    if (first === undefined) throw new Fault("invalid-argument", "there is no host");
    await Promise.all(engines.map((engine) => engine.start(options.signal)));
    const swarm = new DockerSwarm(first, engines);
    await swarm.#form(first, others, options.signal);
    return swarm;
  }

  /** For `up`. */
  constructor(first: DockerHost, engines: readonly DockerHost[]) {
    this.hosts = engines.map((engine) => engine.host);
    this.#engines = engines;
    this.#api = first.api;
  }

  async createNetwork(name: string, signal: AbortSignal): Promise<void> {
    const body = { Name: name, Driver: "overlay" };
    await this.#api.call("POST", "/networks/create", { body, signal });
  }

  async createService(workload: Workload, signal: AbortSignal): Promise<void> {
    await this.#api.call("POST", "/services/create", { body: serviceSpec(workload), signal });
  }

  async removeService(name: string, signal: AbortSignal): Promise<void> {
    await this.#api.call("DELETE", `/services/${name}`, { signal });
  }

  async countRunning(service: string, signal: AbortSignal): Promise<number> {
    const query = { status: "true", filters: { name: [service] } };
    const reply = await this.#api.call("GET", "/services", { query, signal });
    const [found] = reply as readonly ServiceReply[];
    return found?.ServiceStatus?.RunningTasks ?? 0;
  }

  async listRunning(service: string, signal: AbortSignal): Promise<readonly RunningTask[]> {
    const query = { filters: { service: [service], "desired-state": ["running"] } };
    const tasks = (await this.#api.call("GET", "/tasks", {
      query,
      signal,
    })) as readonly TaskReply[];
    return tasks
      .filter((task) => task.Status.State === "running")
      .map((task) => ({ id: task.ID, host: this.#hostNames.get(task.NodeID) ?? "" }));
  }

  async isIdle(signal: AbortSignal): Promise<boolean> {
    const lists = await Promise.all([
      this.#api.call("GET", "/tasks", { signal }),
      ...this.#engines.map(({ api }) =>
        api.call("GET", "/containers/json", { query: { all: "true" }, signal }),
      ),
    ]);
    return lists.every((list) => (list as readonly unknown[]).length === 0);
  }

  async watchStart(signal: AbortSignal): Promise<StartWatch> {
    const watching = new AbortController();
    const either = AbortSignal.any([signal, watching.signal]);
    const filters = { type: ["container"], event: ["start"] };
    const streams = await Promise.all(this.#engines.map(({ api }) => api.events(filters, either)));
    const started = Promise.any(streams.map((stream) => firstOf(stream)));
    started.catch(() => {}); // told to who waits for it; a watch may be given up before
    return { started, [Symbol.dispose]: () => watching.abort() };
  }

  async pullImage(host: Host, image: string, signal: AbortSignal): Promise<void> {
    const [, name, tag] = /^(.*):([^:/]+)$/.exec(image) ?? [];
    const query = { fromImage: name, tag };
    await this.#engineOf(host).api.follow("POST", "/images/create", { query, signal });
  }

  async removeImage(host: Host, image: string, signal: AbortSignal): Promise<void> {
    const query = { force: "true" };
    await this.#engineOf(host).api.call("DELETE", `/images/${image}`, { query, signal });
  }

  async expendableHost(signal: AbortSignal): Promise<Host> {
    const nodes = await this.#nodes(signal);
    const leader = nodes.find((node) => node.ManagerStatus?.Leader === true);
    const spare = this.hosts.slice(1).findLast((host) => host.name !== hostnameOf(leader));
    if (spare === undefined) throw new Fault("failed-precondition", "there is no host to spare");
    return spare;
  }

  async revive(host: Host, signal: AbortSignal): Promise<void> {
    await host.boot(signal);
    await this.#engineOf(host).start(signal);
    await this.#allReady(signal);
  }

  async leader(signal: AbortSignal): Promise<Host> {
    const leaders = (await this.#nodes(signal)).filter((node) => node.ManagerStatus?.Leader);
    const host = this.hosts.find(({ name }) => name === hostnameOf(leaders[0]));
    if (host === undefined) throw new Fault("unavailable", "Docker Swarm has no leader");
    return host;
  }

  /** Ends dockerd on the host without a word; resolves with the moment (ms since 1970). */
  async killEngine(host: Host): Promise<number> {
    return await this.#engineOf(host).kill();
  }

  async restartEngine(host: Host, signal: AbortSignal): Promise<void> {
    await this.#engineOf(host).start(signal);
    await this.#allReady(signal);
  }

  /** One small write to the cluster's state, through the manager on this host. */
  async createConfig(host: Host, name: string, signal: AbortSignal): Promise<void> {
    const body = { Name: name, Data: Buffer.from(name).toString("base64") };
    await this.#engineOf(host).api.call("POST", "/configs/create", { body, signal });
  }

  [Symbol.dispose](): void {
    for (const engine of this.#engines) engine[Symbol.dispose]();
  }

  async #form(
    first: DockerHost,
    others: readonly DockerHost[],
    signal: AbortSignal,
  ): Promise<void> {
    const init = { ListenAddr: listenAddress, AdvertiseAddr: first.host.address };
    await this.#api.call("POST", "/swarm/init", { body: init, signal });
    const swarm = (await this.#api.call("GET", "/swarm", { signal })) as SwarmReply;
    for (const { host, api } of others) {
      const body = {
        ListenAddr: listenAddress,
        AdvertiseAddr: host.address,
        RemoteAddrs: [`${first.host.address}:2377`],
        JoinToken: swarm.JoinTokens.Manager,
      };
      await api.call("POST", "/swarm/join", { body, signal });
    }
    await this.#allReady(signal);
  }

  #engineOf(host: Host): DockerHost {
    const engine = this.#engines.find((candidate) => candidate.host === host);
    if (engine === undefined) throw new Fault("not-found", `no engine runs on "${host.name}"`);
    return engine;
  }

  async #allReady(signal: AbortSignal): Promise<void> {
    const ready = async () => {
      const nodes = await this.#nodes(signal);
      this.#hostNames = new Map(nodes.map((node) => [node.ID, hostnameOf(node)]));
      return nodes.filter(isReady).length === this.hosts.length;
    };
    const options = { timeoutMs: readyTimeoutMs, signal };
    await waitFor("all nodes of Docker Swarm to be ready", ready, options);
  }

  async #nodes(signal: AbortSignal): Promise<readonly NodeReply[]> {
    const ask = async ({ api }: DockerHost) => await api.call("GET", "/nodes", { signal });
    return (await Promise.any(this.#engines.map(ask))) as readonly NodeReply[];
  }
}

function serviceSpec(workload: Workload): unknown {
  const { network } = workload;
  return {
    Name: workload.name,
    TaskTemplate: {
      ContainerSpec: {
        Image: workload.image,
        Args: workload.args,
        StopGracePeriod: stopGraceMs * nsPerMs,
      },
      RestartPolicy: { Condition: "any", Delay: 0 },
      ...(network === undefined ? {} : { Networks: [{ Target: network }] }),
    },
    Mode: { Replicated: { Replicas: workload.replicas } },
    EndpointSpec: { Mode: "dnsrr" },
  };
}

async function firstOf(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream) return;
  throw new Fault("unavailable", "dockerd ended its events");
}

function isReady(node: NodeReply): boolean {
  return node.Status.State === "ready" && node.ManagerStatus?.Reachability === "reachable";
}

function hostnameOf(node: NodeReply | undefined): string {
  return node?.Description.Hostname ?? "";
}

// Of the API's replies, the parts that are used.

interface SwarmReply {
  readonly JoinTokens: { readonly Manager: string };
}

interface NodeReply {
  readonly ID: string;
  readonly Description: { readonly Hostname: string };
  readonly Status: { readonly State: string };
  readonly ManagerStatus?: { readonly Leader?: boolean; readonly Reachability: string };
}

interface ServiceReply {
  readonly ServiceStatus?: { readonly RunningTasks: number };
}

interface TaskReply {
  readonly ID: string;
  readonly NodeID: string;
  readonly Status: { readonly State: string };
}
