/**
 * Which subnet a network gets and which address a task. Pure bookkeeping over numbers; knows nothing of stores.
 *
 * Invariants: no address has two holders; none is given out that is outside the range, the gateway's, reserved, or the
 * subnet's first or last. Addresses are handed out round robin, so that one just freed is the last to be used again:
 * other hosts may still have it in their caches.
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
import {
  contains,
  formatAddress,
  formatSubnet,
  lastAddress,
  overlap,
  parseAddress,
  parseSubnet,
  type Subnet,
} from "#proto/ipv4.ts";

/** The longest prefix leaves room for a gateway and some tasks; beyond the shortest there is no private range. */
const prefixMin = 8;
const prefixMax = 29;

export interface TakenSubnet extends Subnet {
  /** Whose it is, for the words of a refusal. */
  readonly network: string;
}

export interface SubnetContext {
  readonly pools: AddressPools;
  /** The subnets of the other networks. */
  readonly taken: readonly TakenSubnet[];
}

/** The complete address plan of a network: what its spec asks for, or the next free subnet. Throws a Fault that says why not. */
export function planIpam(spec: NetworkSpec, context: SubnetContext): IpamConfig {
  const configs = spec.ipam?.configs ?? [];
  if (spec.ipv6Enabled || configs.some(({ family }) => family === IpFamily.IPV6)) {
    throw new Fault("unimplemented", "IPv6 networks are not supported yet: leave IPv6 off");
  }
  const [asked, ...more] = configs;
  if (more.length > 0) {
    throw new Fault("unimplemented", "a second subnet is not supported yet: give one only");
  }
  const subnet =
    asked === undefined || asked.subnet === ""
      ? nextSubnet(context, spec.ingress)
      : askedSubnet(asked.subnet, context);
  const config = create(IpamConfigSchema, {
    family: IpFamily.IPV4,
    subnet: formatSubnet(subnet),
    range: asked?.range ?? "",
    gateway: asked?.gateway || formatAddress(subnet.base + 1),
    reserved: asked?.reserved ?? {},
  });
  // Refuses a range or a gateway that does not fit.
  return new AddressPool(config).config;
}

function askedSubnet(text: string, { taken }: SubnetContext): Subnet {
  const subnet = parseSubnet(text);
  if (subnet.prefix < prefixMin || subnet.prefix > prefixMax) {
    const sizes = `/${prefixMin} to /${prefixMax}`;
    throw new Fault("invalid-argument", `subnet ${text} has no size from ${sizes}`);
  }
  const other = taken.find((one) => overlap(one, subnet));
  if (other !== undefined) {
    const whose = `${formatSubnet(other)} of network "${other.network}"`;
    throw new Fault("invalid-argument", `subnet ${text} overlaps with ${whose}: choose another`);
  }
  return subnet;
}

/** The lowest free subnet of the pools. The very first is kept for the ingress network. */
function nextSubnet({ pools, taken }: SubnetContext, ingress: boolean): Subnet {
  const size = 2 ** (32 - pools.subnetPrefix);
  const kept: Subnet[] = [];
  for (const text of pools.pools) {
    const pool = parseSubnet(text);
    if (kept.length === 0) kept.push({ base: pool.base, prefix: pools.subnetPrefix });
    const busy = ingress ? taken : [...taken, ...kept];
    let base = pool.base;
    while (base + size - 1 <= lastAddress(pool)) {
      const candidate = { base, prefix: pools.subnetPrefix };
      const obstacle = busy.find((one) => overlap(one, candidate));
      if (obstacle === undefined) return candidate;
      base = Math.max(base + size, Math.ceil((lastAddress(obstacle) + 1) / size) * size);
    }
  }
  throw new Fault(
    "resource-exhausted",
    `no /${pools.subnetPrefix} subnet is free in the address pools ${pools.pools.join(", ")}: remove a network or give one a subnet`,
  );
}

/** The addresses of one network and who holds them. */
export class AddressPool {
  readonly config: IpamConfig;
  readonly subnet: Subnet;
  /** How many addresses tasks can have in all. */
  readonly capacity: number;
  readonly #first: number;
  readonly #last: number;
  readonly #excluded: ReadonlySet<number>;
  readonly #holders = new Map<number, string>();
  #cursor: number;

  constructor(config: IpamConfig) {
    this.config = config;
    this.subnet = parseSubnet(config.subnet);
    const range = config.range === "" ? this.subnet : parseSubnet(config.range);
    if (!contains(this.subnet, range)) {
      throw new Fault(
        "invalid-argument",
        `range ${config.range} is not inside subnet ${config.subnet}`,
      );
    }
    this.#first = Math.max(range.base, this.subnet.base + 1);
    this.#last = Math.min(lastAddress(range), lastAddress(this.subnet) - 1);
    this.#excluded = this.#exclude(config);
    this.capacity = this.#last - this.#first + 1 - this.#excluded.size;
    this.#cursor = this.#last;
    if (this.capacity < 1) {
      throw new Fault("invalid-argument", `subnet ${config.subnet} has no address for tasks`);
    }
  }

  get used(): number {
    return this.#holders.size;
  }

  /** Where the search for the next address begins: after the one given out last. */
  get cursor(): number {
    return this.#cursor;
  }

  /** Takes note of an address that a committed object has. Of two holders the first keeps it. */
  hold(address: number, holder: string): void {
    if (!this.#isUsable(address) || this.#holders.has(address)) return;
    this.#holders.set(address, holder);
    this.#cursor = address;
  }

  release(address: number, holder: string): void {
    if (this.#holders.get(address) === holder) this.#holders.delete(address);
  }

  /** The next address after `cursor` that neither a holder nor `reserved` has, wrapping around; undefined: all in use. */
  nextFree(cursor: number, reserved: ReadonlySet<number>): number | undefined {
    if (this.used + reserved.size >= this.capacity) return undefined;
    const count = this.#last - this.#first + 1;
    for (let step = 1; step <= count; step++) {
      const address = this.#first + ((cursor - this.#first + step) % count);
      if (this.#excluded.has(address) || this.#holders.has(address)) continue;
      if (!reserved.has(address)) return address;
    }
    return undefined;
  }

  #isUsable(address: number): boolean {
    return this.#first <= address && address <= this.#last && !this.#excluded.has(address);
  }

  #exclude(config: IpamConfig): ReadonlySet<number> {
    const addresses = [config.gateway, ...Object.values(config.reserved)].map(parseAddress);
    for (const address of addresses) {
      if (this.subnet.base < address && address < lastAddress(this.subnet)) continue;
      throw new Fault(
        "invalid-argument",
        `${formatAddress(address)} is not an address for hosts of subnet ${config.subnet}`,
      );
    }
    return new Set(addresses.filter((address) => this.#first <= address && address <= this.#last));
  }
}

/** Addresses that a plan has chosen and nobody has committed yet. Dropped with the plan. */
export class PoolDraft {
  readonly pool: AddressPool;
  readonly #chosen = new Set<number>();
  #cursor: number;

  constructor(pool: AddressPool) {
    this.pool = pool;
    this.#cursor = pool.cursor;
  }

  get used(): number {
    return this.pool.used + this.#chosen.size;
  }

  take(): number | undefined {
    const address = this.pool.nextFree(this.#cursor, this.#chosen);
    if (address === undefined) return undefined;
    this.#chosen.add(address);
    this.#cursor = address;
    return address;
  }

  giveBack(address: number): void {
    this.#chosen.delete(address);
  }
}
