/**
 * What the managers want of this host's network, parsed and checked. One network that this host cannot carry is refused
 * by itself; the others go on. Nothing else of this folder looks at a Network or a Peer: texts that end in command
 * lines are canonical addresses from here on.
 */
import { Fault } from "#proto/fault.ts";
import type { NetworkEndpoint, Peer, ServiceEndpoint } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { IpFamily, type Network, type NetworkAttachment } from "#proto/gen/swarm/v1/types_pb.ts";
import { formatAddress, parseAddress } from "#proto/ipv4.ts";
import { contains, overlap, parseSubnet, type Subnet } from "./subnet.ts";

/** Wanted and complete: what is not in it goes away. */
export interface NetworkState {
  readonly self: Peer;
  readonly peers: readonly Peer[];
  readonly networks: readonly Network[];
  readonly endpoints: readonly NetworkEndpoint[];
  readonly services: readonly ServiceEndpoint[];
  /** UDP port of the VXLAN devices; 0: the default, 4789. */
  readonly dataPathPort: number;
}

/** A network as the data plane sees it. */
export interface Overlay {
  readonly id: string;
  readonly subnet: Subnet;
  readonly gateway: string;
  /** No way out of the network, and none to the host's own services. */
  readonly internal: boolean;
}

export interface OverlayNode {
  readonly id: string;
  readonly number: number;
  /** The end of its VXLAN. */
  readonly address: string;
  /** All its addresses, the data path's among them. */
  readonly addresses: readonly string[];
}

/** One address of a task on one network. */
export interface OverlayAttachment {
  readonly overlay: Overlay;
  readonly address: string;
}

export interface ParsedNetworkState {
  readonly self: OverlayNode;
  readonly peers: readonly OverlayNode[];
  readonly overlays: readonly Overlay[];
  /** Address of a task on another host → that host. */
  readonly remotes: ReadonlyMap<string, OverlayNode>;
  readonly refusals: readonly Fault[];
}

/** 14 bits of a conntrack zone are a node's number; the other two say which device it came over. */
export const nodeNumberMax = 0x3fff;

/** Room for the network's, the gateway's and the broadcast address and one task. */
const prefixLengthMax = 30;

export function parseNetworkState(state: NetworkState): ParsedNetworkState {
  const self = parseNode(state.self);
  const { peers, refusals: peerRefusals } = parsePeers(state.peers, self);
  const { overlays, refusals } = parseOverlays(state.networks);
  const overlayOf = new Map(overlays.map((overlay) => [overlay.id, overlay]));
  const peerOf = new Map(peers.map((peer) => [peer.id, peer]));
  const remotes = new Map<string, OverlayNode>();
  for (const endpoint of state.endpoints) {
    const overlay = overlayOf.get(endpoint.networkId);
    const peer = peerOf.get(endpoint.nodeId);
    // An endpoint may arrive before its peer; the state that brings the peer brings the route.
    if (overlay === undefined || peer === undefined) continue;
    if (contains(overlay.subnet, endpoint.address)) remotes.set(endpoint.address, peer);
  }
  return { self, peers, overlays, remotes, refusals: [...peerRefusals, ...refusals] };
}

/** One that makes no sense is left out; the others are reached all the same. */
function parsePeers(peers: readonly Peer[], self: OverlayNode) {
  const parsed: OverlayNode[] = [];
  const refusals: Fault[] = [];
  for (const peer of peers) {
    if (peer.nodeId === self.id) continue;
    try {
      parsed.push(parseNode(peer));
    } catch (thrown) {
      refusals.push(Fault.wrap(`Cannot reach node "${peer.nodeId}"`, thrown));
    }
  }
  return { peers: parsed, refusals };
}

export function parseOverlay(network: Network): Overlay {
  const name = network.spec?.annotations?.name ?? network.id;
  if (network.spec?.ipv6Enabled) throw unsupported(name, "IPv6");
  if (network.spec?.encrypted) throw unsupported(name, "encryption");
  const configs = network.ipam?.configs ?? [];
  const config = configs.find((candidate) => candidate.family !== IpFamily.IPV6);
  if (config === undefined || configs.length !== 1) {
    throw new Fault(
      "failed-precondition",
      `network "${name}" has ${configs.length} subnets; this host carries networks with one IPv4 subnet`,
    );
  }
  const subnet = parseSubnet(config.subnet);
  if (subnet.prefixLength > prefixLengthMax || !contains(subnet, config.gateway)) {
    throw new Fault(
      "invalid-argument",
      `network "${name}" has no gateway address and room for tasks in ${subnet.text}`,
    );
  }
  const internal = network.spec?.internal ?? false;
  return { id: network.id, subnet, gateway: config.gateway, internal };
}

export function parseAttachments(
  attachments: readonly NetworkAttachment[],
): readonly OverlayAttachment[] {
  return attachments.map(({ network, addresses }) => {
    if (network === undefined) {
      throw new Fault("invalid-argument", "an attachment names no network");
    }
    const overlay = parseOverlay(network);
    const [address] = addresses;
    if (address === undefined || addresses.length !== 1) {
      throw new Fault(
        "failed-precondition",
        `an attachment to network "${network.id}" has ${addresses.length} addresses, not one`,
      );
    }
    const text = address.split("/")[0] ?? "";
    if (!contains(overlay.subnet, text) || text === overlay.gateway) {
      throw new Fault(
        "invalid-argument",
        `"${address}" is no task's address in ${overlay.subnet.text}`,
      );
    }
    return { overlay, address: text };
  });
}

function unsupported(name: string, feature: string): Fault {
  return new Fault(
    "unimplemented",
    `network "${name}" wants ${feature}, which this version does not carry; create it without`,
  );
}

function parseOverlays(
  networks: readonly Network[],
): Pick<ParsedNetworkState, "overlays" | "refusals"> {
  const overlays: Overlay[] = [];
  const refusals: Fault[] = [];
  for (const network of networks) {
    try {
      const overlay = parseOverlay(network);
      const other = overlays.find((candidate) => overlap(candidate.subnet, overlay.subnet));
      if (other === undefined) overlays.push(overlay);
      else refusals.push(overlapping(overlay, other));
    } catch (error) {
      refusals.push(Fault.from(error));
    }
  }
  return { overlays, refusals };
}

// One table of routes carries all networks: the second owner of an address would take it from the first.
function overlapping(overlay: Overlay, other: Overlay): Fault {
  return new Fault(
    "failed-precondition",
    `subnet ${overlay.subnet.text} of network "${overlay.id}" overlaps ${other.subnet.text} of network "${other.id}"`,
  );
}

function parseNode(peer: Peer): OverlayNode {
  if (peer.number < 1 || peer.number > nodeNumberMax) {
    throw new Fault(
      "invalid-argument",
      `node "${peer.nodeId}" has number ${peer.number}; numbers go from 1 to ${nodeNumberMax}`,
    );
  }
  const address = formatAddress(parseAddress(peer.dataPathAddress));
  // A node may have IPv6 addresses too: VXLAN's outside is IPv4, so they do not matter here.
  const others = peer.addresses.filter((text) => !text.includes(":"));
  const addresses = [
    ...new Set([address, ...others.map((text) => formatAddress(parseAddress(text)))]),
  ];
  return { id: peer.nodeId, number: peer.number, address, addresses };
}
