/** Subnets for networks. Pure: the view and the address book in, changed objects out. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  DriverSchema,
  type IpamConfig,
  IpamOptionsSchema,
  type Network,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { addressPools, clusterOf } from "../cluster.ts";
import type { Action } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { planIpam, type SubnetContext } from "./ipam.ts";
import {
  contains,
  formatAddress,
  formatSubnet,
  isAnyAddress,
  parseAddress,
  parseSubnet,
} from "./subnet.ts";

export interface NetworksPlan {
  readonly actions: readonly Action[];
  /** IDs of the networks that got nothing, each with why. */
  readonly blocked: ReadonlyMap<string, string>;
}

export function planNetworks(networks: readonly Network[], view: View): NetworksPlan {
  // As with nearly every change of a network: it has its subnets.
  if (networks.length === 0) return { actions: [], blocked: new Map() };
  const { pools, nodeAddresses, taken: others } = subnetContext(view, allocatedSubnets);
  const taken = [...others];
  const actions: Action[] = [];
  const blocked = new Map<string, string>();
  for (const network of askingFirst(networks)) {
    if (network.spec === undefined) continue;
    try {
      const configs = planIpam(network.spec, { pools, nodeAddresses, taken });
      const object = withIpam(network, configs);
      taken.push(...subnetsOf(object, configs));
      actions.push({ action: "update", kind: "network", object });
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      blocked.set(network.id, thrown.message);
    }
  }
  return { actions, blocked };
}

/** Who has asked for a subnet was told that it is free: the others choose from what is left. */
function askingFirst(networks: readonly Network[]): readonly Network[] {
  const asked = ({ spec }: Network) => Math.min(spec?.ipam?.configs.length ?? 0, 1);
  return networks.toSorted((a, b) => asked(b) - asked(a));
}

/** `configsOf`: which of a network's subnets count as taken. */
export function subnetContext(
  view: View,
  configsOf: (network: Network) => readonly IpamConfig[],
  nodes = view.list("node"),
): SubnetContext {
  return {
    pools: addressPools(clusterOf(view)),
    taken: view.list("network").flatMap((network) => subnetsOf(network, configsOf(network))),
    nodeAddresses: nodes.flatMap(({ id, description }) => {
      const node = description?.hostname || id;
      // The node's own words: what is no address there is nobody's obstacle.
      const addresses = (description?.addresses ?? []).filter(isAnyAddress);
      return addresses.map((address) => ({ node, ...parseAddress(address) }));
    }),
  };
}

/** What is wrong with a node's addresses, which may have come after the networks: one sentence for each. */
export function clashesOf(node: Node, view: View): readonly string[] {
  const { taken, nodeAddresses } = subnetContext(view, allocatedSubnets, [node]);
  return nodeAddresses.flatMap((address) => {
    const network = taken.find((subnet) => contains(subnet, address));
    if (network === undefined) return [];
    const where = `subnet ${formatSubnet(network)} of network "${network.network}"`;
    const text = `${where} has ${formatAddress(address)} in it, an address of node "${address.node}"`;
    return [`${text}: make the network anew with another --subnet`];
  });
}

export function allocatedSubnets({ ipam }: Network): readonly IpamConfig[] {
  return ipam?.configs ?? [];
}

function subnetsOf({ id, spec }: Network, configs: readonly IpamConfig[]) {
  const network = spec?.annotations?.name ?? id;
  return configs
    .filter(({ subnet }) => subnet !== "")
    .map(({ subnet }) => ({ ...parseSubnet(subnet), network }));
}

function withIpam(network: Network, configs: readonly IpamConfig[]): Network {
  const driver = network.spec?.driverConfig;
  return {
    ...network,
    ipam: create(IpamOptionsSchema, {
      driver: create(DriverSchema, { name: network.spec?.ipam?.driver?.name || "default" }),
      configs: [...configs],
    }),
    driverState: create(DriverSchema, {
      name: driver?.name || "overlay",
      options: driver?.options ?? {},
    }),
  };
}
