/**
 * The names of one network, as an index that changes item by item: one task that comes costs its own names, however
 * many others there are. All names are in lower case.
 *
 * Names of an endpoint: its task, `tasks.SERVICE` and `tasks.ALIAS`, its slot (`2.SERVICE`), and, unless its service has a virtual
 * address here, SERVICE and ALIAS. Names of a service: its own and its aliases, which lead to its virtual addresses.
 * Of several owners of a name all answer. A name whose endpoints do not serve exists all the same, without an address.
 */
import ipaddr from "ipaddr.js";
import type {
  NetworkEndpoint,
  ServiceEndpoint,
  ServiceNetwork,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";
import { isOverlay } from "#proto/main-network.ts";

/** What a name leads to. */
export interface Target {
  /** The name that leads to this target alone: `web.1.x.front` of a task, `web.front` of a virtual address. */
  readonly name: string;
  /** Empty: none of this family. */
  readonly address: string;
  readonly address6: string;
  /** Empty: no service's. */
  readonly serviceId: string;
}

interface ServicePlace {
  readonly service: ServiceEndpoint;
  readonly place: ServiceNetwork;
}

const tasksPrefix = "tasks.";

type Range = [ipaddr.IPv4 | ipaddr.IPv6, number];

export class ZoneNetwork {
  #network: Network | undefined;
  #ranges: readonly Range[] = [];
  /** Names that always mean tasks. */
  readonly #taskNames = new Index<NetworkEndpoint>();
  /** Services' names and aliases, as their tasks bring them. */
  readonly #sharedNames = new Index<NetworkEndpoint>();
  readonly #serviceNames = new Index<ServicePlace>();
  readonly #places = new Map<ServiceEndpoint, ServicePlace>();
  /** Services with a virtual address here. */
  readonly #withVirtualIp = new Set<string>();
  /** Address → endpoint, of both families. */
  readonly #endpoints = new Map<string, NetworkEndpoint>();
  readonly #virtualIps = new Map<string, ServiceEndpoint>();
  /** What was asked for since it last changed. Names that nobody has are not kept: there is no end of them. */
  readonly #found = new Map<string, readonly Target[]>();

  set network(network: Network | undefined) {
    if (network === this.#network) return;
    this.#network = network;
    this.#found.clear();
    this.#ranges = (network?.ipam?.configs ?? []).flatMap(({ subnet }) => rangeOf(subnet));
  }

  /** Only networks that the managers name are seen. */
  get listed(): boolean {
    return this.#network !== undefined;
  }

  /** The ingress network connects ports, not tasks; a node's own networks have no names. */
  get named(): boolean {
    return this.#network !== undefined && isOverlay(this.#network) && !this.#network.spec?.ingress;
  }

  get internal(): boolean {
    return this.#network?.spec?.internal ?? false;
  }

  get name(): string {
    return (this.#network?.spec?.annotations?.name ?? "").toLowerCase();
  }

  get empty(): boolean {
    return !this.listed && this.#endpoints.size === 0 && this.#places.size === 0;
  }

  addEndpoint(endpoint: NetworkEndpoint): void {
    const { names, shared } = namesOf(endpoint);
    for (const name of names) this.#taskNames.add(name, endpoint);
    for (const name of shared) this.#sharedNames.add(name, endpoint);
    for (const name of [...names, ...shared]) this.#found.delete(name);
    for (const address of addressesOf(endpoint)) this.#endpoints.set(address, endpoint);
  }

  removeEndpoint(endpoint: NetworkEndpoint): void {
    const { names, shared } = namesOf(endpoint);
    for (const name of names) this.#taskNames.remove(name, endpoint);
    for (const name of shared) this.#sharedNames.remove(name, endpoint);
    for (const name of [...names, ...shared]) this.#found.delete(name);
    for (const address of addressesOf(endpoint)) {
      // Another task may have been given it already.
      if (this.#endpoints.get(address) === endpoint) this.#endpoints.delete(address);
    }
  }

  addService(service: ServiceEndpoint, place: ServiceNetwork): void {
    const item = { service, place };
    this.#places.set(service, item);
    for (const name of serviceNamesOf(item)) this.#serviceNames.add(name, item);
    const addresses = virtualIpsOf(place);
    for (const address of addresses) this.#virtualIps.set(address, service);
    if (addresses.length > 0) this.#withVirtualIp.add(service.id);
    this.#found.clear();
  }

  removeService(service: ServiceEndpoint): void {
    const item = this.#places.get(service);
    if (item === undefined) return;
    this.#places.delete(service);
    for (const name of serviceNamesOf(item)) this.#serviceNames.remove(name, item);
    for (const address of virtualIpsOf(item.place)) {
      if (this.#virtualIps.get(address) === service) this.#virtualIps.delete(address);
    }
    this.#withVirtualIp.delete(service.id);
    this.#found.clear();
  }

  endpointAt(address: string): NetworkEndpoint | undefined {
    return this.#endpoints.get(address);
  }

  /** Whether the address lies in the network's subnets, so that nobody outside the cluster could know more of it. */
  contains(address: string): boolean {
    const parsed = ipaddr.parse(address);
    return this.#ranges.some((range) => parsed.kind() === range[0].kind() && parsed.match(range));
  }

  /** The name of an address: of a task, or of a service with this virtual address. */
  nameAt(address: string): string | undefined {
    const endpoint = this.#endpoints.get(address);
    if (endpoint !== undefined) return this.#fullName(ownNameOf(endpoint));
    const service = this.#virtualIps.get(address);
    return service === undefined ? undefined : this.#fullName(service.name);
  }

  /** Undefined: nobody here has the name. The same object until that changes: what is derived from it can be kept with it. */
  find(name: string): readonly Target[] | undefined {
    const known = this.#found.get(name);
    if (known !== undefined) return known;
    const found = this.#find(name);
    if (found !== undefined) this.#found.set(name, found);
    return found;
  }

  #find(name: string): readonly Target[] | undefined {
    const tasks = this.#taskNames.get(name);
    const shared = this.#sharedNames.get(name);
    const services = this.#serviceNames.get(name);
    if (!tasks && !shared && !services && !this.#isTasksOfService(name)) return undefined;
    const endpoints = new Set(tasks);
    for (const endpoint of shared ?? []) {
      if (!this.#withVirtualIp.has(endpoint.serviceId)) endpoints.add(endpoint);
    }
    const serving = [...endpoints].filter((endpoint) => endpoint.serving);
    const virtual = [...(services ?? [])].filter(({ place }) => virtualIpsOf(place).length > 0);
    return [
      ...virtual.map((item) => this.#virtualTarget(item)),
      ...serving.map((endpoint) => this.#taskTarget(endpoint)),
    ];
  }

  /** Known also before the first task is. */
  #isTasksOfService(name: string): boolean {
    return name.startsWith(tasksPrefix) && this.#serviceNames.has(name.slice(tasksPrefix.length));
  }

  #virtualTarget({ service, place }: ServicePlace): Target {
    return {
      name: this.#fullName(service.name),
      address: place.virtualIp,
      address6: place.virtualIp6,
      serviceId: service.id,
    };
  }

  #taskTarget(endpoint: NetworkEndpoint): Target {
    const { address, address6, serviceId } = endpoint;
    return { name: this.#fullName(ownNameOf(endpoint)), address, address6, serviceId };
  }

  #fullName(name: string): string {
    const network = this.#network?.spec?.annotations?.name ?? "";
    return network === "" ? name : `${name}.${network}`;
  }
}

/** Name → its owners, in the order in which they came. */
class Index<Owner> {
  readonly #owners = new Map<string, Set<Owner>>();

  get(name: string): ReadonlySet<Owner> | undefined {
    return this.#owners.get(name);
  }

  has(name: string): boolean {
    return this.#owners.has(name);
  }

  add(name: string, owner: Owner): void {
    const owners = this.#owners.get(name);
    if (owners === undefined) this.#owners.set(name, new Set([owner]));
    else owners.add(owner);
  }

  remove(name: string, owner: Owner): void {
    const owners = this.#owners.get(name);
    owners?.delete(owner);
    if (owners?.size === 0) this.#owners.delete(name);
  }
}

function namesOf(endpoint: NetworkEndpoint): { names: Set<string>; shared: Set<string> } {
  const { serviceName, taskName, aliases, slot } = endpoint;
  const shared = lowerCase([serviceName, ...aliases]);
  const names = lowerCase([taskName]);
  if (serviceName !== "") {
    for (const name of shared) names.add(`${tasksPrefix}${name}`);
    if (slot !== 0n) names.add(`${slot}.${serviceName.toLowerCase()}`);
  }
  return { names, shared };
}

function serviceNamesOf({ service, place }: ServicePlace): ReadonlySet<string> {
  return lowerCase([service.name, ...place.aliases]);
}

function lowerCase(names: readonly string[]): Set<string> {
  return new Set(names.filter((name) => name !== "").map((name) => name.toLowerCase()));
}

function ownNameOf({ taskName, serviceName, taskId }: NetworkEndpoint): string {
  return taskName || serviceName || taskId;
}

function addressesOf({ address, address6 }: NetworkEndpoint): readonly string[] {
  return [address, address6].filter((text) => text !== "");
}

function virtualIpsOf({ virtualIp, virtualIp6 }: ServiceNetwork): readonly string[] {
  return [virtualIp, virtualIp6].filter((text) => text !== "");
}

/** A network with a subnet that is none does not keep the others from having names. */
function rangeOf(subnet: string): readonly Range[] {
  return ipaddr.isValidCIDR(subnet) ? [ipaddr.parseCIDR(subnet)] : [];
}
