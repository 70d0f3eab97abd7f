/** What an address is to the cluster, by what managers last said. Pure. */
import type { NetworkEndpoint, Peer, ServiceEndpoint } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";
import type { NetworkState } from "../network-state.ts";
import { holds, parseSubnet } from "../subnet.ts";

export type Place =
  | { readonly kind: "task"; readonly endpoint: NetworkEndpoint }
  | { readonly kind: "service"; readonly service: ServiceEndpoint; readonly networkId: string }
  /** An address of a network that nobody has. */
  | { readonly kind: "nobody"; readonly network: Network }
  | { readonly kind: "node"; readonly node: Peer }
  | { readonly kind: "outside" };

export function placeOf(state: NetworkState, address: string): Place {
  const endpoint = state.endpoints.find((one) => addressesOf(one).includes(address));
  if (endpoint !== undefined) return { kind: "task", endpoint };
  for (const service of state.services) {
    const place = service.networks.find(
      ({ virtualIp, virtualIp6 }) => virtualIp === address || virtualIp6 === address,
    );
    if (place !== undefined) return { kind: "service", service, networkId: place.networkId };
  }
  const network = state.networks.find((one) =>
    (one.ipam?.configs ?? []).some(({ subnet }) => holds(parseSubnet(subnet), address)),
  );
  if (network !== undefined) return { kind: "nobody", network };
  const node = [state.self, ...state.peers].find((one) => one.addresses.includes(address));
  return node === undefined ? { kind: "outside" } : { kind: "node", node };
}

export function addressesOf({ address, address6 }: NetworkEndpoint): readonly string[] {
  return [address, address6].filter((text) => text !== "");
}

/** Those of a service that take new connections on a network. */
export function backendsOf(
  { endpoints }: NetworkState,
  serviceId: string,
  networkId: string,
): readonly NetworkEndpoint[] {
  return endpoints.filter(
    (endpoint) =>
      endpoint.serviceId === serviceId && endpoint.networkId === networkId && endpoint.serving,
  );
}

export function networkName({ networks }: NetworkState, networkId: string): string {
  const network = networks.find(({ id }) => id === networkId);
  return `network "${network?.spec?.annotations?.name ?? networkId}"`;
}
