/**
 * Which subnets a network gets: those that its spec asks for, or the next free ones of the cluster's pools. Pure; knows
 * nothing of stores.
 */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type IpamConfig,
  IpamConfigSchema,
  IpFamily,
  type NetworkSpec,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { AddressPools } from "../cluster.ts";
import { AddressPool } from "./address-pool.ts";
import {
  type Address,
  bitsOf,
  type Family,
  familyOf,
  formatAddress,
  formatSubnet,
  lastAddress,
  overlap,
  parseAddress,
  parseSubnet,
  sizeOf,
  type Subnet,
} from "./subnet.ts";

/** The longest prefix leaves room for a gateway and some tasks; beyond the shortest there is no private range. */
const prefixes = {
  [IpFamily.IPV4]: { min: 8, max: 29 },
  [IpFamily.IPV6]: { min: 16, max: 124 },
} as const;

/** As everywhere in IPv6. */
export const subnetPrefix6 = 64;

/** The ingress network has an address for each task that publishes a port and is on no other: room for 16 times as many. */
const ingressBits = 4;

/** What no network may have, be it asked for or chosen, and why. */
const forbidden = (
  [
    ["0.0.0.0/8", "has a meaning of its own"],
    ["127.0.0.0/8", "is every host's loopback"],
    ["169.254.64.0/18", "carries encrypted traffic between hosts"],
    ["169.254.0.0/16", "is for link-local addresses"],
    ["172.17.0.0/16", 'is of every host\'s network "bridge"'],
    ["224.0.0.0/3", "is for multicast, or reserved"],
    ["::/16", "has a meaning of its own"],
    ["fe80::/10", "is for link-local addresses"],
    ["ff00::/8", "is for multicast"],
  ] as const
).map(([subnet, why]) => ({ ...parseSubnet(subnet), why }));

/** Why no network at all can have a part of the subnet; undefined: some can. */
export function whyForbidden(subnet: Subnet): string | undefined {
  const around = forbidden.find((one) => one.prefix <= subnet.prefix && overlap(one, subnet));
  return around === undefined ? undefined : `${formatSubnet(around)} ${around.why}`;
}

export interface TakenSubnet extends Subnet {
  /** Whose it is, for the words of a refusal. */
  readonly network: string;
}

/** An address of a node: as a part of a network, it could not be reached any more. */
export interface NodeAddress extends Address {
  readonly node: string;
}

export interface SubnetContext {
  readonly pools: AddressPools;
  /** The subnets of the other networks. */
  readonly taken: readonly TakenSubnet[];
  readonly nodeAddresses: readonly NodeAddress[];
}

/**
 * The complete address plan of a network, IPv4 first. Throws a Fault that says why there is none; it names the config of
 * the spec where it is that one's fault.
 */
export function planIpam(spec: NetworkSpec, context: SubnetContext): readonly IpamConfig[] {
  const asked = askedByFamily(spec);
  const families: readonly Family[] = spec.ipv6Enabled
    ? [IpFamily.IPV4, IpFamily.IPV6]
    : [IpFamily.IPV4];
  return families.map((family) => {
    const config = asked.get(family);
    if (config === undefined) return completed(nextSubnet(family, spec, context));
    try {
      return completed(askedSubnet(config.subnet, context), config);
    } catch (thrown) {
      throw Fault.wrap(`ipam.configs[${(spec.ipam?.configs ?? []).indexOf(config)}]`, thrown);
    }
  });
}

/** A config without a subnet asks for nothing. */
function askedByFamily({ ipam, ipv6Enabled }: NetworkSpec): ReadonlyMap<Family, IpamConfig> {
  const asked = new Map<Family, IpamConfig>();
  for (const [index, config] of (ipam?.configs ?? []).entries()) {
    if (config.subnet === "") continue;
    const family = familyOf(config.subnet);
    const path = `ipam.configs[${index}].subnet`;
    if (family === IpFamily.IPV6 && !ipv6Enabled) {
      const problem = `${path}: ${config.subnet} is of IPv6, which is off: turn it on (--ipv6)`;
      throw new Fault("invalid-argument", problem);
    }
    if (asked.has(family)) {
      const name = family === IpFamily.IPV6 ? "IPv6" : "IPv4";
      const problem = `${path}: ${config.subnet} is a second ${name} subnet: give one of each family`;
      throw new Fault("invalid-argument", problem);
    }
    asked.set(family, config);
  }
  return asked;
}

/** What a network that has no subnets yet will have of a family, if its spec says that. */
export function wishedPool(spec: NetworkSpec | undefined, family: Family): AddressPool | undefined {
  const asked = spec === undefined ? undefined : askedByFamily(spec).get(family);
  if (asked === undefined) return undefined;
  return new AddressPool(completed(parseSubnet(asked.subnet), asked));
}

/** Refuses a range or a gateway that does not fit. */
function completed(subnet: Subnet, asked?: IpamConfig): IpamConfig {
  const { family, base } = subnet;
  const gateway = asked?.gateway || formatAddress({ family, value: base + 1n });
  const config = create(IpamConfigSchema, {
    family,
    subnet: formatSubnet(subnet),
    range: asked?.range ?? "",
    gateway: formatAddress(parseAddress(gateway)),
    reserved: asked?.reserved ?? {},
  });
  return new AddressPool(config).config;
}

function askedSubnet(text: string, context: SubnetContext): Subnet {
  const subnet = parseSubnet(text);
  const { min, max } = prefixes[subnet.family];
  if (subnet.prefix < min || subnet.prefix > max) {
    throw new Fault("invalid-argument", `subnet ${text} is not of a size from /${min} to /${max}`);
  }
  const obstacle = obstaclesOf(context).find((one) => overlap(one, subnet));
  if (obstacle === undefined) return subnet;
  throw new Fault("invalid-argument", `subnet ${text} ${obstacle.why}: choose another`);
}

/** What a network cannot overlap with, and what is said of one that does. */
interface Obstacle extends Subnet {
  readonly why: string;
}

function obstaclesOf({ taken, nodeAddresses }: SubnetContext): readonly Obstacle[] {
  return [
    ...taken.map((one) => ({
      ...one,
      why: `overlaps with ${formatSubnet(one)} of network "${one.network}"`,
    })),
    ...forbidden.map((one) => ({
      ...one,
      why: `overlaps with ${formatSubnet(one)}, which ${one.why}`,
    })),
    ...nodeAddresses.map(({ node, family, value }) => ({
      family,
      base: value,
      prefix: bitsOf(family),
      why: `has ${formatAddress({ family, value })} in it, an address of node "${node}"`,
    })),
  ];
}

/** The lowest free subnet of the pools. */
function nextSubnet(family: Family, { ingress }: NetworkSpec, context: SubnetContext): Subnet {
  const pools = context.pools.pools.map(parseSubnet).filter((pool) => pool.family === family);
  const usual = family === IpFamily.IPV6 ? subnetPrefix6 : context.pools.subnetPrefix;
  const obstacles = obstaclesOf(context);
  for (const pool of pools) {
    const large = ingress && family === IpFamily.IPV4 && usual - ingressBits > pool.prefix;
    const free = firstFree(pool, large ? usual - ingressBits : usual, obstacles);
    if (free !== undefined) return free;
  }
  throw noSubnet(family, usual, pools);
}

/** In one sweep: a cluster may have thousands of networks and nodes. */
function firstFree(
  pool: Subnet,
  prefix: number,
  obstacles: readonly Obstacle[],
): Subnet | undefined {
  const size = sizeOf({ ...pool, prefix });
  const inTheWay = obstacles
    .filter((one) => overlap(one, pool))
    .toSorted((a, b) => (a.base < b.base ? -1 : 1));
  let { base } = pool;
  for (const obstacle of inTheWay) {
    if (obstacle.base >= base + size) break;
    const behind = lastAddress(obstacle) + 1n;
    // Those before may have led past this one.
    if (behind > base) base = ((behind + size - 1n) / size) * size;
  }
  const fits = base + size - 1n <= lastAddress(pool);
  return fits ? { family: pool.family, base, prefix } : undefined;
}

function noSubnet(family: Family, prefix: number, pools: readonly Subnet[]): Fault {
  const advice = "remove a network or give one a subnet (--subnet)";
  if (pools.length === 0) {
    const name = family === IpFamily.IPV6 ? "IPv6" : "IPv4";
    const problem = `the cluster has no ${name} address pool: give the network a subnet (--subnet)`;
    return new Fault("resource-exhausted", problem);
  }
  const names = pools.map(formatSubnet).join(", ");
  const problem = `no /${prefix} subnet is free in the address pools ${names}: ${advice}`;
  return new Fault("resource-exhausted", problem);
}
