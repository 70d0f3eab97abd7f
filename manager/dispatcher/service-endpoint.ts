/**
 * A service as nodes must know it: its addresses and names on its networks, and where its published ports lead. Pure. The
 * index and the tests share it, as they do items.ts.
 */
import { create } from "@bufbuild/protobuf";
import {
  type ServiceEndpoint,
  ServiceEndpointSchema,
  type ServiceNetwork,
  ServiceNetworkSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  EndpointMode,
  type Network,
  type NetworkAttachmentConfig,
  PublishMode,
  type VirtualIp,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { publishedNetwork } from "#proto/main-network.ts";
import type { View } from "../store/store.ts";
import { addressesOf } from "./items.ts";

/** One of the service's networks, with the user's words about it. */
interface Place {
  readonly network: Network;
  readonly config: NetworkAttachmentConfig;
}

/**
 * Undefined before the allocator has given the service its endpoint, and where no node has a use for it. `ingress`: the
 * network of published services that have none of their own.
 */
export function serviceEndpointOf(
  service: Service,
  view: Pick<View, "get" | "byName">,
  ingress: Network | undefined,
): ServiceEndpoint | undefined {
  const { id, spec, endpoint } = service;
  if (endpoint === undefined) return undefined;
  const places = placesOf(service, view);
  const networks = places.flatMap((place) => serviceNetwork(place, endpoint) ?? []);
  const published = publishedNetwork(places.map(({ network }) => network)) ?? ingress;
  const ports = endpoint.ports.filter(
    ({ publishMode, publishedPort }) => publishMode === PublishMode.INGRESS && publishedPort > 0,
  );
  const isPublished = published !== undefined && ports.length > 0;
  if (networks.length === 0 && !isPublished) return undefined;
  const made = create(ServiceEndpointSchema, { id, name: spec?.annotations?.name ?? "" });
  made.networks = networks;
  if (endpoint.spec !== undefined) made.affinity = endpoint.spec.affinity;
  if (isPublished) {
    made.ports = ports;
    made.publishedNetworkId = published.id;
  }
  return made;
}

/** What names the service's networks: a network that comes or goes under such a name changes where the service is. */
export function networkTargetsOf({ spec }: Service): readonly string[] {
  return spec?.task?.networks.map(({ target }) => target) ?? [];
}

/** The node's part of it: only networks that the node is on. Undefined: nothing of it is the node's. */
export function narrowed(
  service: ServiceEndpoint,
  isOn: (networkId: string) => boolean,
): ServiceEndpoint | undefined {
  const networks = service.networks.filter(({ networkId }) => isOn(networkId));
  if (networks.length === service.networks.length) return service;
  if (networks.length === 0 && service.ports.length === 0) return undefined;
  return { ...service, networks };
}

/** Users name networks; stacks and the API may use IDs. A node's own networks are none of the store's. */
function placesOf({ spec }: Service, view: Pick<View, "get" | "byName">): readonly Place[] {
  return (spec?.task?.networks ?? []).flatMap((config) => {
    const network = view.get("network", config.target) ?? view.byName("network", config.target);
    return network === undefined ? [] : [{ network, config }];
  });
}

/** Undefined while the service has no address there that it shall have. */
function serviceNetwork(
  { network, config }: Place,
  { spec, virtualIps }: NonNullable<Service["endpoint"]>,
): ServiceNetwork | undefined {
  const here = virtualIps.filter(({ networkId }: VirtualIp) => networkId === network.id);
  if (here.length === 0 && spec?.mode !== EndpointMode.DNSRR) return undefined;
  const { ipv4 = "", ipv6 = "" } = addressesOf(here.map(({ address }) => address));
  return create(ServiceNetworkSchema, {
    networkId: network.id,
    virtualIp: ipv4,
    virtualIp6: ipv6,
    aliases: config.aliases,
  });
}
