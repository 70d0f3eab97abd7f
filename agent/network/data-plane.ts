/**
 * A picture of everything of ours that stands in a host's kernel, apart from the tasks' own links and the services' maps.
 * There is one shape for what is wanted and for what is there, so that a plan is a difference and `cleanup` is the way to
 * `emptyDataPlane`. Values are the texts that the kernel's tools print and take.
 */
import {
  backAddress,
  backAddress6,
  backMac,
  backTableOf,
  type Device,
  encryptedDevice,
  markMask,
  markOf,
  nodeAddress6,
  nodeMac,
  plainDevice,
  vniOf,
  zoneMark,
  zoneOf,
} from "./devices.ts";
import { Last } from "./list-changes.ts";
import type { Overlay, OverlayNode, ParsedNetworkState, Remote } from "./network-state.ts";
import { deriving, PartedMap } from "./parted-map.ts";
import {
  type Elements,
  type ElementsName,
  elementsNames,
  noElements,
  setOf,
} from "./ruleset/elements.ts";
import type { RulesetOptions } from "./ruleset/options.ts";
import { guardVersion, tableVersion } from "./ruleset/ruleset.ts";
import { hostSubnet, isText6, overlap, parseSubnet, type Subnet } from "./subnet.ts";
import { encryptedAddress } from "./wireguard/addresses.ts";
import type { EncryptionLink } from "./wireguard/encryption.ts";

export interface VxlanLink {
  readonly vni: number;
  readonly port: number;
  readonly local: string;
  readonly mac: string;
  readonly mtu: number;
}

export interface DataPlane {
  /** Which ruleset the tables `inet swarm` and `netdev swarm` hold; undefined: there is no such table. */
  readonly table: string | undefined;
  readonly guard: string | undefined;
  readonly elements: Elements;
  readonly links: ReadonlyMap<Device, VxlanLink>;
  /** Subnets with an `unreachable` route: an unknown address fails at once and never leaks into the LAN. */
  readonly subnets: ReadonlySet<string>;
  /** Anycast gateway and DNS addresses, on lo. */
  readonly gateways: ReadonlySet<string>;
  /** This node as its peers' next hop, on each device: "fe80::6e:1/64 dev sw-vx0". Peers' echoes are answered there. */
  readonly hops: ReadonlySet<string>;
  /** Next hop and device, "192.0.2.2 dev sw-vx0" → MAC of that node there, and the MAC of the way back. */
  readonly neighbours: ReadonlyMap<string, string>;
  /** MAC of a peer and device, "MAC dev sw-vx0" → the end of its VXLAN. */
  readonly fdb: ReadonlyMap<string, string>;
  /** Address of a task on another host → "via NODE dev DEVICE src SELF". */
  readonly routes: PartedMap<string>;
  /** Default routes of the tables that lead replies back, "default via … table 1000". */
  readonly backRoutes: ReadonlySet<string>;
  /** Policy rules, "pref 100 iif sw-vx0 lookup main", which stand in both families. */
  readonly rules: ReadonlySet<string>;
  readonly rules6: ReadonlySet<string>;
  /** File below /proc/sys/net → value. Only what is named is looked after; nothing is ever put back. */
  readonly sysctls: ReadonlyMap<string, string>;
}

export interface DataPlaneOptions {
  readonly port: number;
  /** Of the interface that holds the data-path address. */
  readonly underlayMtu: number;
  /** What the device of encrypted networks stands on; undefined: there is none. */
  readonly encryption: EncryptionLink | undefined;
  /** Whether the kernel has IPv6 at all. */
  readonly ipv6: boolean;
  /** Interfaces that take router advertisements, which they would not as a router. */
  readonly advertised: readonly string[];
}

/** Outer IPv4, UDP and VXLAN headers and the inner Ethernet header. */
export const vxlanOverheadBytes = 50;

export const emptyDataPlane: DataPlane = {
  table: undefined,
  guard: undefined,
  elements: noElements,
  links: new Map(),
  subnets: new Set(),
  gateways: new Set(),
  hops: new Set(),
  neighbours: new Map(),
  fdb: new Map(),
  routes: PartedMap.from<string>([]),
  backRoutes: new Set(),
  rules: new Set(),
  rules6: new Set(),
  sysctls: new Map(),
};

export function rulesetOptions(self: OverlayNode, port: number): RulesetOptions {
  return { port, address: self.address, address6: self.addresses6[0] };
}

/** What was wanted before: of the same objects the same picture is made, and of the same parts of ways the same routes. */
export class DataPlaneMemory {
  readonly base = new Last<Omit<DataPlane, "routes">>();
  readonly routes = new Last<(remotes: PartedMap<Remote>) => PartedMap<string>>();
}

export function wantedDataPlane(
  state: ParsedNetworkState,
  options: DataPlaneOptions,
  memory: DataPlaneMemory = new DataPlaneMemory(),
): DataPlane {
  const { self, peers, overlays } = state;
  const { port, underlayMtu, encryption, ipv6, advertised } = options;
  const values = [self, port, underlayMtu, encryption?.address, encryption?.mtu, ipv6];
  const base = memory.base.of([peers, overlays, advertised, values], () =>
    wantedBase(state, options),
  );
  const devices = [...base.links.keys()];
  const routesOf = memory.routes.of([devices, [self, ipv6]], () =>
    deriving((task, remote) => wantedRoute(task, remote, { self, devices, ipv6 })),
  );
  return { ...base, routes: routesOf(state.remotes) };
}

/** All but what each task adds. */
function wantedBase(
  state: ParsedNetworkState,
  options: DataPlaneOptions,
): Omit<DataPlane, "routes"> {
  const { ipv6 } = options;
  const links = wantedLinks(state, options);
  const devices = [...links.keys()];
  const ranges = state.overlays.flatMap((overlay) => rangesOf(overlay, ipv6));
  const backs = devices.flatMap((device) => backsOf(device, ipv6));
  const rules = new Set(devices.flatMap(rulesOf));
  return {
    table: tableVersion(rulesetOptions(state.self, options.port)),
    guard: guardVersion(devices),
    elements: wantedElements(state, devices, ipv6),
    links,
    subnets: new Set(ranges.map(({ subnet }) => subnet.text)),
    gateways: new Set(ranges.map(({ gateway }) => gateway)),
    hops: new Set(ipv6 ? devices.map((device) => hopOf(state.self.number, device)) : []),
    neighbours: new Map([
      ...devices.flatMap((device) => neighboursOf(state.peers, device, ipv6)),
      ...backs.map(({ address, device }) => [`${address} dev ${device}`, backMac] as const),
    ]),
    fdb: wantedFdb(state.peers, devices),
    backRoutes: new Set(backs.map(({ route }) => route)),
    rules,
    rules6: ipv6 ? rules : new Set(),
    sysctls: wantedSysctls(
      options,
      devices,
      ranges.some(({ subnet }) => subnet.family === 6),
    ),
  };
}

function hopOf(number: number, device: Device): string {
  return `${nodeAddress6(number)}/64 dev ${device}`;
}

function rangesOf({ ranges }: Overlay, ipv6: boolean) {
  return ranges.filter(({ subnet }) => ipv6 || subnet.family === 4);
}

function wantedLinks(
  { self }: ParsedNetworkState,
  { port, underlayMtu, encryption }: DataPlaneOptions,
): ReadonlyMap<Device, VxlanLink> {
  const link = (device: Device, end: { address: string; mtu: number }) =>
    [
      device,
      {
        vni: vniOf[device],
        port,
        local: end.address,
        mac: nodeMac(self.number, device),
        mtu: end.mtu - vxlanOverheadBytes,
      },
    ] as const;
  const plain = link(plainDevice, { address: self.address, mtu: underlayMtu });
  return new Map(encryption === undefined ? [plain] : [plain, link(encryptedDevice, encryption)]);
}

/** What came over the device goes to its task, whatever its mark; what has the device's mark goes back over it. */
function rulesOf(device: Device): readonly string[] {
  return [
    `pref 100 iif ${device} lookup main`,
    `pref 110 fwmark ${markOf[device]}/${markMask} lookup ${backTableOf[device]}`,
  ];
}

function backsOf(device: Device, ipv6: boolean) {
  const table = backTableOf[device];
  const route = `default via ${backAddress} dev ${device} table ${table}`;
  const route6 = `default via ${backAddress6} dev ${device} table ${table}`;
  const back = { address: backAddress, device, route };
  return ipv6 ? [back, { address: backAddress6, device, route: route6 }] : [back];
}

function neighboursOf(peers: readonly OverlayNode[], device: Device, ipv6: boolean) {
  return peers.flatMap(({ address, number }) => {
    const hops = ipv6 ? [address, nodeAddress6(number)] : [address];
    return hops.map((hop) => [`${hop} dev ${device}`, nodeMac(number, device)] as const);
  });
}

function wantedFdb(
  peers: readonly OverlayNode[],
  devices: readonly Device[],
): ReadonlyMap<string, string> {
  return new Map(
    devices.flatMap((device) =>
      peers.map(
        ({ number, address }) =>
          [
            `${nodeMac(number, device)} dev ${device}`,
            device === plainDevice ? address : encryptedAddress(number),
          ] as const,
      ),
    ),
  );
}

/** A route over a device that is not there is left out: the subnet's `unreachable` one refuses at once. */
function wantedRoute(
  task: string,
  { node, device }: Remote,
  host: { readonly self: OverlayNode; readonly devices: readonly Device[]; readonly ipv6: boolean },
): string | undefined {
  const { self, devices, ipv6 } = host;
  if (!devices.includes(device)) return undefined;
  if (!isText6(task)) return `via ${node.address} dev ${device} src ${self.address}`;
  return ipv6 ? `via ${nodeAddress6(node.number)} dev ${device}${source6(self)}` : undefined;
}

/** As a part of a route: the host's own packets carry a node's address. */
function source6({ addresses6 }: OverlayNode): string {
  const [address] = addresses6;
  return address === undefined ? "" : ` src ${address}`;
}

/** The files that matter, whatever their values are now. */
export function wantedSysctls(
  { advertised }: Pick<DataPlaneOptions, "advertised">,
  devices: readonly Device[],
  forwarding6: boolean,
): ReadonlyMap<string, string> {
  const ofDevice = devices.flatMap((device) => [
    // The rules check sources; the strict filter would only know half of the ways that packets take.
    [`ipv4/conf/${device}/rp_filter`, "0"] as const,
    [`ipv4/conf/${device}/src_valid_mark`, "1"] as const,
    [`ipv4/conf/${device}/route_localnet`, "1"] as const,
  ]);
  // A router takes no router advertisements, unless it is told so before: the host would lose its default route.
  const accept = advertised.map((name) => [`ipv6/conf/${name}/accept_ra`, "2"] as const);
  const ofIpv6 = forwarding6 ? [...accept, ["ipv6/conf/all/forwarding", "1"] as const] : [];
  return new Map([["ipv4/ip_forward", "1"], ...ofDevice, ...ofIpv6]);
}

function wantedElements(
  { self, peers, overlays }: ParsedNetworkState,
  devices: readonly Device[],
  ipv6: boolean,
): Elements {
  const nodes = [self, ...peers];
  const zones = peers.flatMap(({ number }) =>
    devices.map((device) => ({ mac: nodeMac(number, device), zone: zoneOf(number, device) })),
  );
  const ofFamily = (family: 4 | 6) => {
    const ranges = (filter: (overlay: Overlay) => boolean) =>
      overlays
        .filter(filter)
        .flatMap((overlay) => rangesOf(overlay, ipv6))
        .filter(({ subnet }) => subnet.family === family);
    const subnets = (filter: (overlay: Overlay) => boolean) =>
      ranges(filter).map(({ subnet }) => subnet.text);
    const all = ranges(() => true);
    return {
      pool: setOf(subnets(() => true)),
      samenet: setOf(subnets(({ ingress }) => !ingress).map((text) => `${text} . ${text}`)),
      resolver: setOf(all.map(({ subnet, gateway }) => `${subnet.text} . ${gateway}`)),
      internal: setOf(subnets(({ internal }) => internal)),
      closed: setOf(subnets(({ internal }) => internal)),
      gateway: new Map(all.map(({ subnet, gateway }) => [subnet.text, gateway])),
      secret: setOf(subnets(({ encrypted }) => encrypted)),
    };
  };
  const six = ofFamily(6);
  return {
    ...ofFamily(4),
    pool6: six.pool,
    samenet6: six.samenet,
    resolver6: six.resolver,
    internal6: six.internal,
    closed6: six.closed,
    gateway6: six.gateway,
    secret6: six.secret,
    nodes: setOf(nodes.flatMap((node) => node.addresses)),
    nodes6: setOf(nodes.flatMap((node) => node.addresses6)),
    node_zone: new Map(zones.map(({ mac, zone }) => [mac, String(zone)])),
    zone_mark: new Map(zones.map(({ zone }) => [String(zone), String(zoneMark(zone))])),
    zone_mac: new Map(zones.map(({ mac, zone }) => [String(zoneMark(zone)), mac])),
  };
}

/** Whose keys begin with a network's subnet. */
const ofSubnets: ReadonlySet<ElementsName> = new Set([
  "pool",
  "pool6",
  "samenet",
  "samenet6",
  "resolver",
  "resolver6",
  "internal",
  "internal6",
  "closed",
  "closed6",
  "gateway",
  "gateway6",
  "secret",
  "secret6",
]);

/**
 * Keeps what a task of this host still needs. A task that is told to stop leaves the assignments at once, and with the
 * last one its network; but it has its grace, and its flows with it. So a subnet with an address that is attached here
 * stays as it is until the task is detached. And an address that is attached here is not elsewhere, whatever an older
 * state says.
 */
export function retainAttached(
  wanted: DataPlane,
  actual: DataPlane,
  attached: readonly string[],
): DataPlane {
  const routes = wanted.routes.with(attached, []);
  const live = leftOver(wanted, actual).filter((subnet) =>
    attached.some((address) => overlap(subnet, hostSubnet(address))),
  );
  if (live.length === 0) return { ...wanted, routes };
  const isLive = (text: string) => live.some((subnet) => overlap(subnet, parseSubnet(text)));
  const isLiveAddress = (address: string) =>
    live.some((subnet) => overlap(subnet, hostSubnet(address)));
  const kept = [...actual.routes.notIn(wanted.routes)].filter(([address]) =>
    isLiveAddress(address),
  );
  const elements = { ...wanted.elements };
  for (const name of elementsNames) {
    if (!ofSubnets.has(name)) continue;
    const held = [...actual.elements[name]].filter(([key]) => isLive(key.split(" . ")[0] ?? ""));
    elements[name] = new Map([...wanted.elements[name], ...held]);
  }
  return {
    ...wanted,
    routes: routes.with([], kept),
    elements,
    subnets: withHolding(wanted.subnets, actual.subnets, isLive),
    gateways: withHolding(wanted.gateways, actual.gateways, isLiveAddress),
  };
}

/** Subnets that stand, are not wanted any more, and are in no wanted subnet's way. */
function leftOver(wanted: DataPlane, actual: DataPlane): readonly Subnet[] {
  const wantedSubnets = [...wanted.subnets].map(parseSubnet);
  return [...actual.subnets]
    .map(parseSubnet)
    .filter((subnet) => !wantedSubnets.some((other) => overlap(subnet, other)));
}

function withHolding(
  wanted: ReadonlySet<string>,
  actual: ReadonlySet<string>,
  holds: (text: string) => boolean,
): Set<string> {
  return new Set([...wanted, ...[...actual].filter(holds)]);
}

/** What is in the one set and not in the other. */
export function without(set: ReadonlySet<string>, other: ReadonlySet<string>): Set<string> {
  if (set === other) return new Set();
  return new Set([...set].filter((element) => !other.has(element)));
}
