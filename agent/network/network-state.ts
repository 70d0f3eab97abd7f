/**
 * What the managers want of this host's network, parsed and checked. One network that this host cannot carry is refused
 * by itself; the others go on. Nothing else of this folder looks at a Network or a Peer: texts that end in command
 * lines are canonical addresses from here on.
 */
import { isDeepStrictEqual } from "node:util";
import { Fault } from "#proto/fault.ts";
import type { NetworkEndpoint, Peer, ServiceEndpoint } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { IpFamily, type Network, type NetworkAttachment } from "#proto/gen/swarm/v1/types_pb.ts";
import { formatAddress, isAddress, parseAddress } from "#proto/ipv4.ts";
import { formatAddress6, isAddress6, parseAddress6 } from "#proto/ipv6.ts";
import { isOverlay } from "#proto/main-network.ts";
import { addressPart } from "#proto/cidr.ts";
import { mtuOf } from "#proto/network-options.ts";
import { type Device, encryptedDevice, nodeNumberMax, plainDevice } from "./devices.ts";
import { Last, listChanges } from "./list-changes.ts";
import { PartedMap } from "./parted-map.ts";
import { contains, hostSubnet, isText6, overlap, parseSubnet, type Subnet } from "./subnet.ts";

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

/** A network's place in one family. */
export interface Range {
  readonly subnet: Subnet;
  readonly gateway: string;
}

/** A network as the data plane sees it. */
export interface Overlay {
  readonly id: string;
  readonly name: string;
  /** IPv4, and IPv6 where the network has it. */
  readonly ranges: readonly Range[];
  /** No way out of the network, and none to the host's own services. */
  readonly internal: boolean;
  readonly encrypted: boolean;
  /** For published ports alone: its tasks do not reach each other through it. */
  readonly ingress: boolean;
  /** Of this host alone: a task here has an address here, and no other host a way to it. */
  readonly local: boolean;
  /** As asked for; undefined: the most that passes. */
  readonly mtu: number | undefined;
}

export interface OverlayNode {
  readonly id: string;
  readonly number: number;
  /** The end of its VXLAN. */
  readonly address: string;
  /** All its addresses, the data path's among them. */
  readonly addresses: readonly string[];
  readonly addresses6: readonly string[];
  /** Empty: it takes part in no encrypted network. */
  readonly encryptionKey: string;
}

/** One task on one network: an address per family of the network, or fewer. */
export interface OverlayAttachment {
  readonly overlay: Overlay;
  readonly addresses: readonly string[];
}

/** Where the address of a task on another host is. */
export interface Remote {
  readonly node: OverlayNode;
  readonly device: Device;
}

export interface ParsedNetworkState {
  readonly self: OverlayNode;
  readonly peers: readonly OverlayNode[];
  readonly overlays: readonly Overlay[];
  readonly remotes: PartedMap<Remote>;
  readonly refusals: readonly Fault[];
}

/** Room for the network's, the gateway's and the broadcast address and one task. */
const prefixLengthMax = { 4: 30, 6: 126 } as const;

/**
 * What was parsed before. A state of ten thousand endpoints differs from the one before in a few: the others are the same
 * objects, and are not looked into again; and where nothing differs, the result is the same object.
 */
export class ParseMemory {
  self: OverlayNode | undefined;
  readonly nodes = new WeakMap<Peer, OverlayNode>();
  readonly peers = new Last<Pick<ParsedNetworkState, "peers" | "refusals">>();
  readonly overlays = new Last<Pick<ParsedNetworkState, "overlays" | "refusals">>();
  readonly addresses = new WeakMap<NetworkEndpoint, readonly ParsedAddress[]>();
  remotes: ParsedRemotes | undefined;
}

interface ParsedAddress {
  readonly text: string;
  /** By itself. */
  readonly subnet: Subnet;
}

/** The ways to endpoints, and what they were made of. */
interface ParsedRemotes {
  readonly overlays: readonly Overlay[];
  readonly peers: readonly OverlayNode[];
  readonly endpoints: readonly NetworkEndpoint[];
  readonly remotes: PartedMap<Remote>;
  /** Two endpoints have one address: the later one in the list has it. */
  readonly contested: boolean;
}

export function parseNetworkState(
  state: NetworkState,
  memory: ParseMemory = new ParseMemory(),
): ParsedNetworkState {
  const { endpoints } = state;
  const self = parseSelf(state.self, memory);
  const { peers, refusals: peerRefusals } = memory.peers.of([state.peers, [self]], () =>
    parsePeers(state.peers, self, memory),
  );
  const { overlays, refusals } = memory.overlays.of([state.networks], () =>
    parseOverlays(state.networks.filter(isOverlay)),
  );
  const { remotes } = (memory.remotes = parseRemotes({ overlays, peers, endpoints }, memory));
  return { self, peers, overlays, remotes, refusals: [...peerRefusals, ...refusals] };
}

function parseSelf(peer: Peer, memory: ParseMemory): OverlayNode {
  const self = parseNode(peer);
  if (memory.self === undefined || !isDeepStrictEqual(memory.self, self)) memory.self = self;
  return memory.self;
}

/** As before, but for the endpoints that came and went; all anew where something else is different. */
function parseRemotes(
  of: Pick<ParsedRemotes, "overlays" | "peers" | "endpoints">,
  memory: ParseMemory,
): ParsedRemotes {
  const before = memory.remotes;
  const lead = leader(of, memory);
  if (before?.overlays === of.overlays && before.peers === of.peers && !before.contested) {
    const { gone, came } = listChanges(before.endpoints, of.endpoints);
    const leaving = gone.flatMap(lead).map(([address]) => address);
    const arriving = came.flatMap(lead);
    const remotes = before.remotes.with(leaving, arriving);
    const contested = remotes.size !== before.remotes.size - leaving.length + arriving.length;
    if (!contested) return { ...of, remotes, contested };
  }
  const entries = of.endpoints.flatMap(lead);
  const remotes = PartedMap.from(entries);
  return { ...of, remotes, contested: remotes.size !== entries.length };
}

/** Says where an endpoint's addresses are. */
function leader(
  { overlays, peers }: Pick<ParsedRemotes, "overlays" | "peers">,
  memory: ParseMemory,
): (endpoint: NetworkEndpoint) => readonly (readonly [string, Remote])[] {
  const overlayOf = new Map(overlays.map((overlay) => [overlay.id, overlay]));
  const peerOf = new Map(peers.map((peer) => [peer.id, peer]));
  return (endpoint) => {
    const overlay = overlayOf.get(endpoint.networkId);
    const node = peerOf.get(endpoint.nodeId);
    // An endpoint may arrive before its peer; the state that brings the peer brings the route.
    if (overlay === undefined || node === undefined) return [];
    const device = overlay.encrypted ? encryptedDevice : plainDevice;
    return addressesOf(endpoint, memory)
      .filter((address) => isTasks(overlay, address))
      .map(({ text }) => [text, { node, device }] as const);
  };
}

function addressesOf(
  endpoint: NetworkEndpoint,
  { addresses }: ParseMemory,
): readonly ParsedAddress[] {
  const parsed =
    addresses.get(endpoint) ??
    [endpoint.address, endpoint.address6].filter(isAnyAddress).map(parseTaskAddress);
  addresses.set(endpoint, parsed);
  return parsed;
}

function isAnyAddress(text: string): boolean {
  return isAddress(text) || isAddress6(text);
}

function parseTaskAddress(text: string): ParsedAddress {
  const address = canonical(text);
  return { text: address, subnet: hostSubnet(address) };
}

/** Whether a task of the network can have it. */
function isTasks({ ranges }: Overlay, { text, subnet }: ParsedAddress): boolean {
  return ranges.some((range) => overlap(range.subnet, subnet) && range.gateway !== text);
}

function canonical(address: string): string {
  return isText6(address)
    ? formatAddress6(parseAddress6(address))
    : formatAddress(parseAddress(address));
}

/** One that makes no sense is left out; the others are reached all the same. */
function parsePeers(peers: readonly Peer[], self: OverlayNode, { nodes }: ParseMemory) {
  const parsed: OverlayNode[] = [];
  const refusals: Fault[] = [];
  for (const peer of peers) {
    if (peer.nodeId === self.id) continue;
    try {
      const node = nodes.get(peer) ?? parseNode(peer);
      nodes.set(peer, node);
      parsed.push(node);
    } catch (thrown) {
      refusals.push(Fault.wrap(`Cannot reach node "${peer.nodeId}"`, thrown));
    }
  }
  return { peers: parsed, refusals };
}

export function parseOverlay(network: Network): Overlay {
  const { id, spec } = network;
  const name = spec?.annotations?.name ?? id;
  const ranges = parseRanges(network, name);
  return {
    id,
    name,
    ranges,
    internal: spec?.internal ?? false,
    encrypted: spec?.encrypted ?? false,
    ingress: spec?.ingress ?? false,
    local: false,
    mtu: mtuOf(spec?.driverConfig?.options ?? {}, { ipv6: ranges.length > 1 }),
  };
}

function parseRanges({ ipam }: Network, name: string): readonly Range[] {
  const configs = ipam?.configs ?? [];
  const ranges = ([4, 6] as const).flatMap((family) => {
    const own = configs.filter((config) => (config.family === IpFamily.IPV6 ? 6 : 4) === family);
    if (own.length === 0 && family === 6) return [];
    const [config] = own;
    if (config === undefined || own.length !== 1) {
      throw new Fault(
        "failed-precondition",
        `network "${name}" has ${own.length} IPv${family} subnets; hosts carry networks with one, and at most one of IPv6`,
      );
    }
    const subnet = parseSubnet(config.subnet);
    if (
      subnet.family !== family ||
      subnet.prefixLength > prefixLengthMax[family] ||
      !contains(subnet, config.gateway)
    ) {
      throw new Fault(
        "invalid-argument",
        `network "${name}" has no gateway address and room for tasks in ${subnet.text}`,
      );
    }
    return [{ subnet, gateway: canonical(config.gateway) }];
  });
  return ranges;
}

/** Of overlays alone. */
export function parseAttachment({ network, addresses }: NetworkAttachment): OverlayAttachment {
  if (network === undefined) {
    throw new Fault("invalid-argument", "an attachment names no network");
  }
  const overlay = parseOverlay(network);
  const families = new Set<boolean>();
  const texts = addresses.map(addressPart);
  for (const text of texts) families.add(isText6(text));
  if (texts.length === 0 || families.size !== texts.length) {
    throw new Fault(
      "failed-precondition",
      `an attachment to network "${overlay.name}" has ${addresses.length} addresses, not one of each family`,
    );
  }
  const own = texts.map((text) => {
    const address = parseTaskAddress(text);
    if (isTasks(overlay, address)) return address.text;
    const subnets = overlay.ranges.map(({ subnet }) => subnet.text).join(" and ");
    throw new Fault("invalid-argument", `"${text}" is no task's address in ${subnets}`);
  });
  // IPv4 first, as the ranges.
  return { overlay, addresses: own.toSorted((a, b) => Number(isText6(a)) - Number(isText6(b))) };
}

function parseOverlays(
  networks: readonly Network[],
): Pick<ParsedNetworkState, "overlays" | "refusals"> {
  const overlays: Overlay[] = [];
  const refusals: Fault[] = [];
  for (const network of networks) {
    try {
      const overlay = parseOverlay(network);
      const other = overlays.find((candidate) => overlapping(candidate, overlay));
      if (other === undefined) overlays.push(overlay);
      else refusals.push(overlapFault(overlay, other));
    } catch (error) {
      refusals.push(Fault.from(error));
    }
  }
  return { overlays, refusals };
}

// One table of routes carries all networks: the second owner of an address would take it from the first.
function overlapping(one: Overlay, other: Overlay): boolean {
  return one.ranges.some((a) => other.ranges.some((b) => overlap(a.subnet, b.subnet)));
}

function overlapFault(overlay: Overlay, other: Overlay): Fault {
  const subnets = ({ ranges }: Overlay) => ranges.map(({ subnet }) => subnet.text).join(" and ");
  return new Fault(
    "failed-precondition",
    `subnet ${subnets(overlay)} of network "${overlay.name}" overlaps ${subnets(other)} of network "${other.name}"`,
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
  const addresses = peer.addresses.filter((text) => !isText6(text)).map(canonical);
  // Link-local ones mean nothing on other links, and may have a zone in their text.
  const addresses6 = peer.addresses.filter((text) => isAddress6(text)).map(canonical);
  return {
    id: peer.nodeId,
    number: peer.number,
    address,
    addresses: [...new Set([address, ...addresses])],
    addresses6: [...new Set(addresses6)].filter((text) => !overlap(hostSubnet(text), linkLocal)),
    encryptionKey: peer.encryptionKey,
  };
}

const linkLocal = parseSubnet("fe80::/10");
