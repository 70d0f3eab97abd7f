/**
 * Which names a task sees. Built from the managers' state; pure. A name belongs to a network and is seen from that
 * network alone: an asker sees the names of the network it asks on, then of the other networks it is attached to.
 *
 * Names of an endpoint: its service, `tasks.SERVICE`, its slot (`2.SERVICE`), its task, and its aliases on that network.
 * A name whose endpoints do not serve exists all the same: the answer is empty, and never comes from elsewhere.
 */
import type { NetworkEndpoint, ServiceEndpoint } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";

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

export type Found =
  | { readonly kind: "name"; readonly addresses: readonly string[] }
  /** Not ours: to be asked elsewhere, or unknown to askers without a way out. */
  | { readonly kind: "unknown"; readonly mayForward: boolean };

export interface Zone {
  readonly networks: ReadonlyMap<string, ZoneNetwork>;
  /** Task → its networks, in a fixed order. */
  readonly networksOfTask: ReadonlyMap<string, readonly string[]>;
}

interface ZoneNetwork {
  readonly internal: boolean;
  /** Lower case name → endpoints. */
  readonly names: ReadonlyMap<string, readonly NetworkEndpoint[]>;
  /** Address → endpoint. */
  readonly endpoints: ReadonlyMap<string, NetworkEndpoint>;
}

export function buildZone({ networks, endpoints }: ZoneState): Zone {
  const ofNetwork = Map.groupBy(endpoints, (endpoint) => endpoint.networkId);
  const ofTask = Map.groupBy(endpoints, (endpoint) => endpoint.taskId);
  return {
    networks: new Map(
      networks.map((network) => [
        network.id,
        buildNetwork(network, ofNetwork.get(network.id) ?? []),
      ]),
    ),
    networksOfTask: new Map(
      [...ofTask].map(([taskId, own]) => [taskId, own.map(({ networkId }) => networkId).sort()]),
    ),
  };
}

export function findName(zone: Zone, asker: Asker, name: string): Found {
  const seen = networksSeenBy(zone, asker);
  for (const network of seen) {
    const endpoints = network.names.get(canonical(name));
    if (endpoints === undefined) continue;
    const serving = endpoints.filter((endpoint) => endpoint.serving);
    return { kind: "name", addresses: [...new Set(serving.map(({ address }) => address))] };
  }
  return { kind: "unknown", mayForward: seen.some((network) => !network.internal) };
}

/** The task's name for `1.0.0.10.in-addr.arpa`, so that a server's look-up of its client stays in the cluster. */
export function findPointer(zone: Zone, asker: Asker, name: string): string | undefined {
  const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\.in-addr\.arpa$/.exec(canonical(name));
  if (match === null) return undefined;
  const address = match.slice(1).reverse().join(".");
  for (const network of networksSeenBy(zone, asker)) {
    const endpoint = network.endpoints.get(address);
    if (endpoint !== undefined) return endpoint.taskName || endpoint.serviceName;
  }
  return undefined;
}

function networksSeenBy(zone: Zone, { networkId, address }: Asker): readonly ZoneNetwork[] {
  const asked = zone.networks.get(networkId);
  const taskId = asked?.endpoints.get(address)?.taskId;
  const others = taskId === undefined ? [] : (zone.networksOfTask.get(taskId) ?? []);
  const ids = new Set([networkId, ...others]);
  return [...ids].flatMap((id) => zone.networks.get(id) ?? []);
}

function buildNetwork(network: Network, endpoints: readonly NetworkEndpoint[]): ZoneNetwork {
  const names = new Map<string, NetworkEndpoint[]>();
  for (const endpoint of endpoints) {
    for (const name of namesOf(endpoint)) {
      const known = names.get(name);
      if (known === undefined) names.set(name, [endpoint]);
      else known.push(endpoint);
    }
  }
  return {
    internal: network.spec?.internal ?? false,
    names,
    endpoints: new Map(endpoints.map((endpoint) => [endpoint.address, endpoint])),
  };
}

function namesOf({ serviceName, taskName, aliases, slot }: NetworkEndpoint): ReadonlySet<string> {
  const ofService = serviceName === "" ? [] : [serviceName, `tasks.${serviceName}`];
  const ofSlot = serviceName === "" || slot === 0n ? [] : [`${slot}.${serviceName}`];
  const all = [...ofService, ...ofSlot, taskName, ...aliases];
  return new Set(all.filter((name) => name !== "").map(canonical));
}

function canonical(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
