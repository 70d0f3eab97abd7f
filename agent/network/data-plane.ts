/**
 * A picture of everything of ours that stands in a host's kernel, apart from the tasks' own links. There is one shape
 * for what is wanted and for what is there, so that a plan is a difference and `cleanup` is the way to `emptyDataPlane`.
 * Values are the texts that the kernel's tools print and take.
 */
import { contains, overlap, parseSubnet, type Subnet } from "./subnet.ts";
import type { Overlay, OverlayNode, ParsedNetworkState } from "./network-state.ts";
import { guardVersion, type RulesetOptions, tableVersion } from "./ruleset.ts";

export const setNames = ["nodes", "pool", "samenet", "internal", "closed"] as const;

export type SetName = (typeof setNames)[number];

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
  readonly sets: Readonly<Record<SetName, ReadonlySet<string>>>;
  readonly vxlan: VxlanLink | undefined;
  /** Subnets with an `unreachable` route: an unknown address fails at once and never leaks into the LAN. */
  readonly subnets: ReadonlySet<string>;
  /** Anycast gateway and DNS addresses, on lo. */
  readonly gateways: ReadonlySet<string>;
  /** Address of a peer → its MAC on the VXLAN device, and the way round for the FDB. */
  readonly neighbours: ReadonlyMap<string, string>;
  readonly fdb: ReadonlyMap<string, string>;
  /** Address of a task on another host → "via NODE src SELF". */
  readonly routes: ReadonlyMap<string, string>;
  /** File below /proc/sys/net → value. Only what is named is looked after; nothing is ever put back. */
  readonly sysctls: ReadonlyMap<string, string>;
}

export interface DataPlaneOptions extends RulesetOptions {
  /** Of the interface that holds the data-path address. */
  readonly underlayMtu: number;
}

/** Outer IPv4, UDP and VXLAN headers and the inner Ethernet header. */
export const vxlanOverheadBytes = 50;

export const emptyDataPlane: DataPlane = {
  table: undefined,
  guard: undefined,
  sets: {
    nodes: new Set(),
    pool: new Set(),
    samenet: new Set(),
    internal: new Set(),
    closed: new Set(),
  },
  vxlan: undefined,
  subnets: new Set(),
  gateways: new Set(),
  neighbours: new Map(),
  fdb: new Map(),
  routes: new Map(),
  sysctls: new Map(),
};

/** A node's MAC on the VXLAN device. A packet's sender is known by it. */
export function nodeMac(number: number): string {
  const bytes = [number >>> 8, number & 0xff].map((byte) => byte.toString(16).padStart(2, "0"));
  return `02:6e:00:00:${bytes.join(":")}`;
}

export function wantedDataPlane(state: ParsedNetworkState, options: DataPlaneOptions): DataPlane {
  const { self, peers, overlays } = state;
  return {
    table: tableVersion(options),
    guard: guardVersion(options),
    sets: wantedSets([self, ...peers], overlays),
    vxlan: {
      vni: options.vni,
      port: options.port,
      local: self.address,
      mac: nodeMac(self.number),
      mtu: options.underlayMtu - vxlanOverheadBytes,
    },
    subnets: new Set(overlays.map((overlay) => overlay.subnet.text)),
    gateways: new Set(overlays.map((overlay) => overlay.gateway)),
    neighbours: new Map(peers.map((peer) => [peer.address, nodeMac(peer.number)])),
    fdb: new Map(peers.map((peer) => [nodeMac(peer.number), peer.address])),
    routes: new Map(
      [...state.remotes].map(([task, node]) => [task, `via ${node.address} src ${self.address}`]),
    ),
    sysctls: wantedSysctls(options),
  };
}

/** The files that matter, whatever their values are now. */
export function wantedSysctls({ device }: RulesetOptions): ReadonlyMap<string, string> {
  return new Map([
    ["ipv4/ip_forward", "1"],
    // The rules check sources; the strict filter would only know half of the ways that packets take.
    [`ipv4/conf/${device}/rp_filter`, "0"],
    [`ipv4/conf/${device}/src_valid_mark`, "1"],
  ]);
}

function wantedSets(
  nodes: readonly OverlayNode[],
  overlays: readonly Overlay[],
): Readonly<Record<SetName, ReadonlySet<string>>> {
  const subnets = overlays.map((overlay) => overlay.subnet.text);
  const internal = overlays.filter((overlay) => overlay.internal).map(({ subnet }) => subnet.text);
  return {
    nodes: new Set(nodes.flatMap((node) => node.addresses)),
    pool: new Set(subnets),
    samenet: new Set(subnets.map((subnet) => `${subnet} . ${subnet}`)),
    internal: new Set(internal),
    closed: new Set(internal),
  };
}

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
  const routes = new Map(wanted.routes);
  for (const address of attached) routes.delete(address);
  const live = leftOver(wanted, actual).filter((subnet) =>
    attached.some((address) => contains(subnet, address)),
  );
  if (live.length === 0) return { ...wanted, routes };
  const isLive = (text: string) => live.some((subnet) => overlap(subnet, parseSubnet(text)));
  const isLiveAddress = (address: string) => isLive(`${address}/32`);
  for (const [address, way] of actual.routes) if (isLiveAddress(address)) routes.set(address, way);
  return {
    ...wanted,
    routes,
    subnets: withHolding(wanted.subnets, actual.subnets, isLive),
    gateways: withHolding(wanted.gateways, actual.gateways, isLiveAddress),
    sets: {
      nodes: wanted.sets.nodes,
      pool: withHolding(wanted.sets.pool, actual.sets.pool, isLive),
      samenet: withHolding(wanted.sets.samenet, actual.sets.samenet, isLivePair),
      internal: withHolding(wanted.sets.internal, actual.sets.internal, isLive),
      closed: withHolding(wanted.sets.closed, actual.sets.closed, isLive),
    },
  };

  function isLivePair(pair: string): boolean {
    return isLive(pair.split(" . ")[0] ?? "");
  }
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
  return new Set([...set].filter((element) => !other.has(element)));
}
