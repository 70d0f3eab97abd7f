/**
 * The addresses and ports that services ask for, as keys of the maps with their backends. Pure. What comes out is canonical
 * text, fit for a command line.
 */
import { Fault } from "#proto/fault.ts";
import type { NetworkEndpoint, ServiceEndpoint } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { EndpointAffinity, type PortConfig, PortProtocol } from "#proto/gen/swarm/v1/types_pb.ts";
import { formatAddress, isAddress, parseAddress } from "#proto/ipv4.ts";
import { formatAddress6, parseAddress6 } from "#proto/ipv6.ts";
import type { MapName } from "./maps.ts";

/** What is had as a whole or not at all. */
export interface Claim {
  /** For people. */
  readonly what: string;
  /** Each can be had only once on a host. */
  readonly names: readonly string[];
  /** To be refused where no backend takes it: an element of `ports`. */
  readonly port: string | undefined;
  readonly demands: readonly Demand[];
}

export interface Demand {
  readonly map: MapName;
  readonly key: string;
  readonly affine: boolean;
  readonly backends: readonly string[];
}

const families = [
  { six: "", wildcard: "0.0.0.0" },
  { six: "6", wildcard: "::" },
] as const;

type Family = (typeof families)[number];

export function serviceClaims(
  service: ServiceEndpoint,
  endpoints: readonly NetworkEndpoint[],
  networkIds: ReadonlySet<string>,
): readonly Claim[] {
  const affine = service.affinity === EndpointAffinity.CLIENT_IP;
  const addresses = (networkId: string) => servingAddresses(endpoints, networkId);
  const vips = service.networks
    .filter(({ networkId }) => networkIds.has(networkId))
    .flatMap(({ networkId, virtualIp, virtualIp6 }) =>
      [virtualIp, virtualIp6]
        .filter((text) => text !== "")
        .map((text) => vipClaim(canonical(text), addresses(networkId), affine)),
    );
  const published = networkIds.has(service.publishedNetworkId)
    ? addresses(service.publishedNetworkId)
    : [];
  return [...vips, ...service.ports.map((port) => portClaim(port, published, affine))];
}

export function servingAddresses(
  endpoints: readonly NetworkEndpoint[],
  networkId: string,
): readonly string[] {
  return endpoints
    .filter((endpoint) => endpoint.serving && endpoint.networkId === networkId)
    .flatMap(({ address, address6 }) => [address, address6])
    .filter((address) => address !== "")
    .map(canonical);
}

function vipClaim(vip: string, addresses: readonly string[], affine: boolean): Claim {
  const six = suffixOf(vip);
  const backends = addresses.filter((address) => suffixOf(address) === six);
  const demand = { map: `vip${affine ? "a" : ""}${six}`, key: vip, affine, backends } as const;
  return { what: `address ${vip}`, names: [vip], port: undefined, demands: [demand] };
}

/**
 * A port of one host address is not refused where no backend takes it: on the host's other addresses it may be the
 * host's own.
 */
export function portClaim(port: PortConfig, addresses: readonly string[], affine: boolean): Claim {
  const { hostIp } = port;
  const protocol = protocolName(port.protocol);
  const key = `${protocol} . ${portNumber(port.publishedPort)}`;
  const demands = families
    .filter((family) => isOn(hostIp, family))
    .map(({ six, wildcard }) => {
      const everywhere = hostIp === "" || hostIp === wildcard;
      const map = `${everywhere ? "pub" : "pubip"}${affine ? "a" : ""}${six}` as const;
      const backends = addresses
        .filter((address) => suffixOf(address) === six)
        .map((address) => `${address} . ${portNumber(port.targetPort)}`);
      return { map, key: everywhere ? key : `${canonical(hostIp)} . ${key}`, affine, backends };
    });
  return {
    what: `port ${hostIp === "" ? "" : `${hostIp}:`}${port.publishedPort}/${protocol}`,
    names: demands.map((demand) => `${demand.map.endsWith("6") ? "IPv6" : "IPv4"} ${demand.key}`),
    port: hostIp === "" ? key : undefined,
    demands,
  };
}

function isOn(hostIp: string, { six }: Family): boolean {
  return hostIp === "" || suffixOf(hostIp) === six;
}

function suffixOf(address: string): "" | "6" {
  return address.includes(":") ? "6" : "";
}

function canonical(address: string): string {
  return isAddress(address)
    ? formatAddress(parseAddress(address))
    : formatAddress6(parseAddress6(address));
}

function portNumber(port: number): number {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new Fault("invalid-argument", `${port} is not a port; ports go from 1 to 65535`);
}

function protocolName(protocol: PortProtocol): "tcp" | "udp" | "sctp" {
  if (protocol === PortProtocol.UDP) return "udp";
  return protocol === PortProtocol.SCTP ? "sctp" : "tcp";
}
