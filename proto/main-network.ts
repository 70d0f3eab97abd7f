/**
 * The networks that every cluster has without creating them, and which of a task's networks its default route takes.
 * Managers and agents must agree on both: published ports lead to the address that a task answers from.
 */
import { create } from "@bufbuild/protobuf";
import { type Network, NetworkSchema } from "./gen/swarm/v1/types_pb.ts";

/** Each node's own: a bridge with a way out, the host's network itself, and no network but loopback. */
export const localNetworkNames = ["bridge", "host", "none"] as const;

/** UDP, of WireGuard on every node. */
export const encryptionPort = 51_820;

export type LocalNetworkName = (typeof localNetworkNames)[number];

export function isLocalNetworkName(name: string): name is LocalNetworkName {
  return localNetworkNames.some((known) => known === name);
}

/** No object of the store: its ID is its name, and it has no addresses that managers would know of. */
export function localNetwork(name: LocalNetworkName): Network {
  return create(NetworkSchema, {
    id: name,
    spec: { annotations: { name }, driverConfig: { name } },
    driverState: { name },
  });
}

/** Whether managers give its addresses and every node can reach them. */
export function isOverlay(network: Network): boolean {
  return !isLocalNetworkName(network.id);
}

/** Default route and DNS: the first overlay with a way out; else the bridge; else the first, which leads nowhere. */
export function mainNetwork(networks: readonly Network[]): Network | undefined {
  return (
    networks.find((network) => isOverlay(network) && !network.spec?.internal) ??
    networks.find(({ id }) => id === "bridge") ??
    networks[0]
  );
}

/** Where published ports of the whole cluster lead to: an overlay, one with a way out if there is one. */
export function publishedNetwork(networks: readonly Network[]): Network | undefined {
  const overlays = networks.filter(isOverlay);
  return overlays.find((network) => !network.spec?.internal) ?? overlays[0];
}
