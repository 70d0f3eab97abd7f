/**
 * Which names a task sees. Follows the managers' state by differences: what is the same object as before costs nothing
 * but being passed over. A name belongs to a network and is seen from that network alone: an asker sees the names of the network
 * it asks on, then of the other networks it is attached to; `NAME.NETWORK` is the name on that one of them.
 */
import type { NetworkEndpoint, ServiceEndpoint } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Network, PortConfig } from "#proto/gen/swarm/v1/types_pb.ts";
import { type Target, ZoneNetwork } from "./zone-network.ts";

export interface ZoneState {
  readonly networks: readonly Network[];
  readonly endpoints: readonly NetworkEndpoint[];
  readonly services: readonly ServiceEndpoint[];
}

export interface Asker {
  /** The network whose gateway was asked. */
  readonly networkId: string;
  readonly address: string;
}

export class Zone {
  readonly #networks = new Map<string, ZoneNetwork>();
  /** Task → its networks. */
  readonly #networksOfTask = new Map<string, Set<string>>();
  readonly #ports = new Map<string, readonly PortConfig[]>();
  #endpoints: readonly NetworkEndpoint[] = [];
  #services: readonly ServiceEndpoint[] = [];
  /** Views that were asked for since the last change: network → task → view. */
  readonly #views = new Map<string, Map<string, View>>();

  /** What goes before what comes: an object that changed does both. */
  update(state: ZoneState): void {
    const endpoints = difference(this.#endpoints, state.endpoints);
    const services = difference(this.#services, state.services);
    for (const gone of endpoints.gone) this.#removeEndpoint(gone);
    for (const gone of services.gone) this.#removeService(gone);
    for (const come of endpoints.come) this.#addEndpoint(come);
    for (const come of services.come) this.#addService(come);
    this.#endpoints = state.endpoints;
    this.#services = state.services;
    const networks = new Map(state.networks.map((network) => [network.id, network]));
    for (const id of networks.keys()) this.#networkOf(id);
    for (const [id, network] of this.#networks) {
      network.network = networks.get(id);
      if (network.empty) this.#networks.delete(id);
    }
    this.#views.clear();
  }

  view({ networkId, address }: Asker): View {
    const taskId = this.#networks.get(networkId)?.endpointAt(address)?.taskId ?? "";
    let views = this.#views.get(networkId);
    if (views === undefined) this.#views.set(networkId, (views = new Map<string, View>()));
    let view = views.get(taskId);
    if (view === undefined) views.set(taskId, (view = this.#newView(networkId, taskId)));
    return view;
  }

  #newView(networkId: string, taskId: string): View {
    const others = [...(this.#networksOfTask.get(taskId) ?? [])].sort();
    const seen = [...new Set([networkId, ...others])]
      .flatMap((id) => this.#networks.get(id) ?? [])
      .filter((network) => network.listed);
    return new View(
      { taskId, networks: seen },
      {
        portsOf: (serviceId) => this.#ports.get(serviceId) ?? [],
        contains: (address) => this.#networks.values().some((network) => network.contains(address)),
      },
    );
  }

  #networkOf(id: string): ZoneNetwork {
    let network = this.#networks.get(id);
    if (network === undefined) this.#networks.set(id, (network = new ZoneNetwork()));
    return network;
  }

  #addEndpoint(endpoint: NetworkEndpoint): void {
    this.#networkOf(endpoint.networkId).addEndpoint(endpoint);
    const networks = this.#networksOfTask.get(endpoint.taskId);
    if (networks !== undefined) networks.add(endpoint.networkId);
    else this.#networksOfTask.set(endpoint.taskId, new Set([endpoint.networkId]));
  }

  #removeEndpoint(endpoint: NetworkEndpoint): void {
    this.#networks.get(endpoint.networkId)?.removeEndpoint(endpoint);
    const networks = this.#networksOfTask.get(endpoint.taskId);
    networks?.delete(endpoint.networkId);
    if (networks?.size === 0) this.#networksOfTask.delete(endpoint.taskId);
  }

  #addService(service: ServiceEndpoint): void {
    for (const place of service.networks) {
      this.#networkOf(place.networkId).addService(service, place);
    }
    this.#ports.set(service.id, service.ports);
  }

  #removeService(service: ServiceEndpoint): void {
    for (const { networkId } of service.networks) {
      this.#networks.get(networkId)?.removeService(service);
    }
    this.#ports.delete(service.id);
  }
}

/** By identity. One change leaves most of both ends as they were, and those are only passed over. */
function difference<Item>(before: readonly Item[], after: readonly Item[]) {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < shorter - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const gone = new Set(before.slice(start, before.length - end));
  const come = new Set(after.slice(start, after.length - end));
  return {
    gone: gone.values().filter((item) => !come.has(item)),
    come: come.values().filter((item) => !gone.has(item)),
  };
}

interface ViewModules {
  readonly portsOf: (serviceId: string) => readonly PortConfig[];
  /** Whether an address lies in any network of the host, seen or not. */
  readonly contains: (address: string) => boolean;
}

interface ViewOptions {
  readonly taskId: string;
  readonly networks: readonly ZoneNetwork[];
}

/** What one asker sees. */
export class View {
  /** Empty: not known to the managers, as on a node's own networks. */
  readonly taskId: string;
  readonly #networks: readonly ZoneNetwork[];
  readonly #named: readonly ZoneNetwork[];
  readonly #modules: ViewModules;
  /** What was asked for lately. */
  readonly #askable = new Map<string, boolean>();

  constructor({ taskId, networks }: ViewOptions, modules: ViewModules) {
    this.taskId = taskId;
    this.#networks = networks;
    this.#named = networks.filter((network) => network.named);
    this.#modules = modules;
  }

  /** A task on internal networks alone has no way out, not through its nameserver either. */
  get mayForward(): boolean {
    return this.#networks.some((network) => !network.internal);
  }

  /**
   * Whether the asker could ask this nameserver itself: on a network of its own; outside, where it has a way out; on other
   * networks never.
   */
  mayAsk(server: string): boolean {
    let may = this.#askable.get(server);
    if (may === undefined) this.#askable.set(server, (may = this.#mayAsk(server)));
    return may;
  }

  #mayAsk(server: string): boolean {
    if (this.#networks.some((network) => network.contains(server))) return true;
    return this.mayForward && !this.#modules.contains(server);
  }

  /**
   * What a name, in lower case, leads to; undefined: the name is not of the cluster. The same object until that changes: what
   * is derived from it can be kept with it.
   */
  find(name: string): readonly Target[] | undefined {
    const named = this.#named;
    for (const network of named) {
      const targets = network.find(name);
      if (targets !== undefined) return targets;
    }
    for (const network of named) {
      const suffix = `.${network.name}`;
      if (suffix.length === 1 || !name.endsWith(suffix)) continue;
      const targets = network.find(name.slice(0, -suffix.length));
      if (targets !== undefined) return targets;
    }
    return undefined;
  }

  /**
   * The name of an address. "nobody": it is the cluster's, and has no name that this asker may know; "elsewhere": it is not the
   * cluster's.
   */
  nameAt(address: string): { readonly name: string } | "nobody" | "elsewhere" {
    for (const network of this.#named) {
      const name = network.nameAt(address);
      if (name !== undefined) return { name };
    }
    return this.#modules.contains(address) ? "nobody" : "elsewhere";
  }

  /** The ports that a service publishes under names. */
  portsOf(serviceId: string): readonly PortConfig[] {
    return this.#modules.portsOf(serviceId);
  }
}
