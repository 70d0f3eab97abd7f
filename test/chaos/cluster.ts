/** The cluster of the chaos test: managers on hosts of their own, workers that run a small service, a host for clients. */
import { setTimeout as sleep } from "node:timers/promises";
import { formCluster } from "#lab/cluster.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState, Reachability, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { Connection } from "#proto/grpc.ts";
import { createCertificateRequest } from "#proto/tls/certificate-request.ts";
import type { Target } from "./managers.ts";
import type { Control } from "./registers.ts";

const managerCount = 5;
const workerCount = 2;
const image = "registry:5000/busybox:1";
const webName = "web";
const replicas = 4;
const callMs = 1_000;
/** Looking costs what is looked at, so it is not done all the time. */
const stateIntervalMs = 200;
const readyMs = 60_000;

export interface ClusterState {
  readonly leader: Host | undefined;
  /** Whose nodes are ready and, as managers, take part. */
  readonly well: ReadonlySet<Host | undefined>;
}

export class ChaosCluster implements AsyncDisposable {
  readonly lab: Lab;
  readonly managers: readonly Host[];
  readonly workers: readonly Host[];
  /** Where the clients are; no node. */
  readonly client: Host;
  /** The manager that answered last. */
  #asked: Host;

  static async up(): Promise<ChaosCluster> {
    const lab = await Lab.up({
      name: `chaos-${process.pid}`,
      managers: managerCount,
      workers: workerCount + 1,
      cluster: false,
      ownedByThisProcess: true,
    });
    try {
      const cluster = new ChaosCluster(lab);
      await formCluster([...cluster.managers, ...cluster.workers]);
      return cluster;
    } catch (thrown) {
      await lab.down();
      throw thrown;
    }
  }

  /** For `up`. */
  constructor(lab: Lab) {
    const client = lab.hosts.at(-1);
    if (client === undefined) throw new Fault("internal", "the lab has no host");
    this.lab = lab;
    this.client = client;
    this.#asked = lab.host("h1");
    this.managers = lab.hosts.slice(0, managerCount);
    this.workers = lab.hosts.slice(managerCount, -1);
  }

  /** Of the manager on this host. Stale: from what it has at the moment. */
  async ask<T>(
    host: Host,
    call: (control: Control) => Promise<T>,
    options: { readonly stale: boolean } = { stale: false },
  ): Promise<T> {
    const address = `unix:${host.box.path("/run/swarm/manager.sock")}`;
    const metadata = options.stale ? { "swarm-read": "stale" } : {};
    using connection = new Connection(address, { metadata });
    return await call(connection.service(ControlService));
  }

  /** Resolves to the condition's first value that is neither undefined nor false. */
  async until<T>(
    what: string,
    condition: (state: ClusterState) => T | undefined | false,
    timeoutMs: number,
  ): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const value = condition(await this.#state());
      if (value !== undefined && value !== false) return value;
      if (performance.now() > deadline) {
        throw new Fault("deadline-exceeded", `waited ${timeoutMs / 1000} s for ${what}`);
      }
      await sleep(stateIntervalMs);
    }
  }

  async allWell(): Promise<void> {
    const hosts = [...this.managers, ...this.workers];
    await this.until(
      "all nodes to be well",
      ({ well }) => hosts.every((h) => well.has(h)),
      readyMs,
    );
  }

  /** The managers run no tasks; the workers run the service. Resolves when all of its tasks run. */
  async startService(): Promise<void> {
    for (const { name } of this.managers) {
      await this.#first.run("swarmctl", ["node", "update", "--availability", "drain", name]);
    }
    await this.createService(webName, replicas);
    const running = async () =>
      (await this.webTasks()).filter(({ status }) => status?.state === TaskState.RUNNING).length;
    const all = async () => (await running()) === replicas;
    await waitFor("the service to run", all, { timeoutMs: readyMs });
  }

  async createService(name: string, replicas: number): Promise<void> {
    const container = { image, args: ["sleep", "100000"] };
    const spec = {
      annotations: { name },
      task: { runtime: { case: "container", value: container } },
      mode: { case: "replicated", value: { replicas: BigInt(replicas) } },
    } as const;
    await this.ask(this.#first, (control) => control.createService({ spec }));
  }

  /** Every task that the service has had, in order of their IDs. */
  async webTasks(): Promise<readonly Task[]> {
    const ofService = { serviceRef: webName };
    const { tasks } = await this.ask(this.#first, (control) => control.listTasks(ofService));
    return tasks.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** How clients on the LAN come to the managers. */
  async target(): Promise<Target> {
    const { key, csr } = await createCertificateRequest();
    const issued = await this.ask(this.#first, (control) =>
      control.issueUserCertificate({ name: "chaos", csr }),
    );
    const { certificate, caCertificates, clusterId } = issued;
    const addresses = this.managers.map(({ address }) => `${address}:2377`);
    return { addresses, identity: { certificate, key, caCertificates }, clusterId };
  }

  /** As the first manager that answers says, beginning with the one that did last. */
  async #state(): Promise<ClusterState> {
    for (const host of [this.#asked, ...this.managers]) {
      const list = (control: Control) => control.listNodes({}, { deadlineMs: callMs });
      const answer = await this.#tryAsk(host, list);
      if (answer === undefined) continue;
      this.#asked = host;
      const hostOf = ({ description }: Node) =>
        this.lab.hosts.find(({ name }) => name === description?.hostname);
      const leader = answer.nodes.find(({ managerStatus }) => managerStatus?.leader === true);
      const well = answer.nodes.filter(isWell).map(hostOf);
      return { leader: leader && hostOf(leader), well: new Set(well) };
    }
    return { leader: undefined, well: new Set() };
  }

  async #tryAsk<T>(host: Host, call: (control: Control) => Promise<T>): Promise<T | undefined> {
    try {
      return await this.ask(host, call);
    } catch {
      // Managers come and go.
      return undefined;
    }
  }

  get #first(): Host {
    return this.lab.host("h1");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.down();
  }
}

function isWell({ status, managerStatus }: Node): boolean {
  if (status?.state !== NodeState.READY) return false;
  return managerStatus === undefined || managerStatus.reachability === Reachability.REACHABLE;
}
