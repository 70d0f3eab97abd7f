/**
 * The scene, standing: agents' data planes on three hosts, told what managers would tell them, and a probe in every task,
 * host and client. What a test changes goes through here, as managers would change it: one list of tasks, and a state for
 * each host computed from it as the dispatcher does.
 */
import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import type { NetworkState, TaskNamespace } from "#agent/network/network-driver.ts";
import type { Host } from "#agent/network/testing/ground.ts";
import type { Namespace } from "#agent/network/testing/namespace.ts";
import {
  type NetworkEndpoint,
  NetworkEndpointSchema,
  PeerSchema,
  type ServiceEndpoint,
  ServiceEndpointSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { EndpointAffinity, NetworkAttachmentSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { waitFor } from "#lab/wait.ts";
import { localNetwork } from "#proto/main-network.ts";
import { hostAddress, hostAddress6, type Lan, openLan } from "./lan.ts";
import { Probe, type ProbeOptions } from "./probe-handle.ts";
import {
  type NetworkName,
  networks,
  type Place,
  type ServicePlan,
  services,
  type TaskPlan,
  tasks,
} from "./scene.ts";

const timeoutMs = 20_000;

/** Ports that every task serves. */
const taskPorts = [80, 7070];

/** A service of the host's own, which nobody published. */
export const hostServicePort = 2222;

export class Cluster {
  readonly lan: Lan;
  readonly #stack = new AsyncDisposableStack();
  readonly #tasks = new Map(tasks.map((task) => [task.name, task]));
  readonly #probes = new Map<string, Probe>();
  /** Hosts that nobody hears of. */
  readonly #lost = new Set<number>();
  /** What a task got when it was attached. */
  readonly #addresses = new Map<string, readonly string[]>();

  static async open(): Promise<Cluster> {
    await using building = new AsyncDisposableStack();
    const lan = await openLan(building, 3);
    const cluster = new Cluster(lan);
    await Promise.all([
      ...lan.hosts.map((host) => cluster.#startHost(host)),
      cluster.#startProbe(lan.client, { name: "cl", ports: [80] }),
      cluster.#startProbe(lan.far, { name: "far", ports: [] }),
    ]);
    await cluster.apply();
    await Promise.all(
      lan.hosts.map((host) => cluster.#arrive(tasks.filter((task) => task.host === host.number))),
    );
    await cluster.#meetPeers();
    cluster.#stack.use(building.move());
    return cluster;
  }

  /** The first packets between two hosts wait for their keys to be exchanged, longer than a probe waits for an answer. */
  async #meetPeers(): Promise<void> {
    const ways = [
      { probe: "e1", address: "10.100.4.12", port: 80 },
      { probe: "far", address: hostAddress(3), port: 9095 },
    ];
    for (const { probe, address, port } of ways) {
      const answers = async () => {
        const answer = await this.probe(probe).ask("tcp", address, port);
        return answer.startsWith("e2 ") || undefined;
      };
      await waitFor(`${probe} to reach ${address} over the encrypted link`, answers, { timeoutMs });
    }
  }

  /** For `open`. */
  constructor(lan: Lan) {
    this.lan = lan;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  host(number: number): Host {
    const host = this.lan.hosts[number - 1];
    assert(host !== undefined, `there is no host ${number}`);
    return host;
  }

  /** Of a task, of "h1" to "h3", "cl" or "far". */
  probe(name: string): Probe {
    const probe = this.#probes.get(name);
    assert(probe !== undefined, `there is no probe ${name}`);
    return probe;
  }

  task(name: string): TaskPlan {
    const task = this.#tasks.get(name);
    assert(task !== undefined, `there is no task ${name}`);
    return task;
  }

  addressesOf(name: string): readonly string[] {
    return this.#addresses.get(name) ?? [];
  }

  hostOf(name: string): Host {
    return this.host(this.task(name).host);
  }

  /** Runs a program in a task's namespace. */
  inTask(name: string, command: string, ...args: string[]) {
    return this.hostOf(name).inTask(taskId(name), command, args);
  }

  /** Tells every host what is wanted now. */
  async apply(): Promise<void> {
    const told = this.lan.hosts.filter(({ number }) => !this.#lost.has(number));
    await Promise.all(told.map((host) => host.call({ kind: "apply", state: this.state(host) })));
  }

  /** Which of these tasks services lead to; all of them stand. */
  async serve(wanted: Readonly<Record<string, boolean>>): Promise<void> {
    for (const [name, serving] of Object.entries(wanted)) {
      this.#tasks.set(name, { ...this.task(name), serving });
    }
    await this.apply();
  }

  /** Until it is disposed: its cable is cut, and the others are told that its tasks do not serve. */
  async lose(number: number): Promise<AsyncDisposable> {
    const cable = (state: "up" | "down") =>
      this.lan.router.run("ip", ["link", "set", `h${number}`, state]);
    await cable("down");
    this.#lost.add(number);
    await this.apply();
    return {
      [Symbol.asyncDispose]: async () => {
        await cable("up");
        this.#lost.delete(number);
        await this.apply();
      },
    };
  }

  /** As the managers do with a static address: it leaves the one host and comes up on the other. */
  async move(name: string, to: number): Promise<void> {
    await this.#leave(name);
    await this.add({ ...this.task(name), host: to });
  }

  /** The task is gone, and everybody is told. */
  async end(name: string): Promise<TaskPlan> {
    const task = this.task(name);
    await this.#leave(name);
    this.#tasks.delete(name);
    await this.apply();
    return task;
  }

  async add(task: TaskPlan): Promise<void> {
    this.#tasks.set(task.name, task);
    await this.apply();
    await this.#arrive([task]);
  }

  /** What the dispatcher sends to this host's agent. */
  state(host: Host): NetworkState {
    const all = [...this.#tasks.values()];
    const member = new Set<NetworkName>(
      all
        .filter((task) => task.host === host.number)
        .flatMap((task) => task.places.map(({ network }) => network)),
    );
    const published = services.filter(({ ports }) => ports.length > 0);
    const known = new Set([...member, ...published.flatMap((s) => s.publishedNetwork ?? [])]);
    const leadsTo = new Set(published.map((s) => `${s.name} ${s.publishedNetwork}`));
    const endpoints = all.flatMap((task) =>
      task.places
        .filter(({ network }) => member.has(network) || leadsTo.has(`${task.service} ${network}`))
        .map((place) => endpointOf(task, place, this.#serves(task))),
    );
    const peers = this.lan.hosts.map((each) => this.#peer(each));
    const self = peers[host.number - 1];
    assert(self !== undefined);
    return {
      self,
      peers: peers.filter((peer) => peer !== self),
      networks: [...known].map((name) => networks[name]),
      endpoints,
      services: services.flatMap((service) => serviceOf(service, member)),
      dataPathPort: 0,
    };
  }

  #serves({ host, serving = true }: TaskPlan): boolean {
    return serving && !this.#lost.has(host);
  }

  #peer({ id, number, encryptionKey }: Host) {
    return create(PeerSchema, {
      nodeId: id,
      number,
      dataPathAddress: hostAddress(number),
      addresses: [hostAddress(number), hostAddress6(number)],
      encryptionKey,
    });
  }

  async #startHost(host: Host): Promise<void> {
    await host.startAgent();
    await this.#startProbe(host.namespace, { name: `h${host.number}`, ports: [hostServicePort] });
  }

  async #startProbe(namespace: Namespace, options: ProbeOptions): Promise<void> {
    this.#probes.set(options.name, await Probe.start(namespace, options));
  }

  async #leave(name: string): Promise<void> {
    await this.probe(name).stop();
    this.#probes.delete(name);
    await this.hostOf(name).call({ kind: "detach", taskIds: [taskId(name)] });
  }

  /** Tasks of one host. */
  async #arrive(arriving: readonly TaskPlan[]): Promise<void> {
    const [first] = arriving;
    if (first === undefined) return;
    const host = this.host(first.host);
    const { value } = await host.call({
      kind: "attach",
      tasks: arriving.map((task) => ({
        id: taskId(task.name),
        attachments: attachmentsOf(task),
        hostPorts: task.hostPorts ?? [],
        nameservers: task.nameservers ?? [],
      })),
    });
    for (const [index, { addresses }] of (value as readonly TaskNamespace[]).entries()) {
      this.#addresses.set(arriving[index]?.name ?? "", addresses);
    }
    await Promise.all(
      arriving.map(({ name }) =>
        this.#startProbe(host.namespace, { name, ports: taskPorts, taskId: taskId(name) }),
      ),
    );
  }
}

/** As long as the managers' IDs. */
export function taskId(name: string): string {
  return name.padEnd(25, "0");
}

function attachmentsOf({ places, bridge = false }: TaskPlan) {
  const local = create(NetworkAttachmentSchema, { network: localNetwork("bridge") });
  return [...(bridge ? [local] : []), ...places.map(attachmentOf)];
}

function attachmentOf({ network, address, address6 }: Place) {
  const { configs = [] } = networks[network].ipam ?? {};
  const addresses = [address, ...(address6 === undefined ? [] : [address6])].map(
    (text, index) => `${text}/${configs[index]?.subnet.split("/")[1]}`,
  );
  return create(NetworkAttachmentSchema, { network: networks[network], addresses });
}

function endpointOf(task: TaskPlan, place: Place, serving: boolean): NetworkEndpoint {
  const { network, address, address6 = "" } = place;
  return create(NetworkEndpointSchema, {
    id: `${taskId(task.name)}/${network}`,
    taskId: taskId(task.name),
    networkId: network,
    nodeId: `node${task.host}`,
    address,
    address6,
    serviceId: task.service,
    serviceName: task.service,
    taskName: task.name,
    serving,
  });
}

/** Where the host is on its networks, or where it publishes ports; none: the host need not know it. */
function serviceOf(
  plan: ServicePlan,
  member: ReadonlySet<NetworkName>,
): readonly ServiceEndpoint[] {
  const { name, ports, publishedNetwork = "", affinity = EndpointAffinity.NONE } = plan;
  const known = plan.virtualIps.filter(({ network }) => member.has(network));
  if (known.length === 0 && ports.length === 0) return [];
  const service = create(ServiceEndpointSchema, {
    id: name,
    name,
    affinity,
    networks: known.map(({ network, address, address6 = "" }) => ({
      networkId: network,
      virtualIp: address,
      virtualIp6: address6,
    })),
    ports: [...ports],
    publishedNetworkId: publishedNetwork,
  });
  return [service];
}
