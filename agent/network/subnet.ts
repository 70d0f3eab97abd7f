/** Subnets of both families as the data plane looks at them: by their text, which names them in the kernel, and their ends. */
import {
  formatSubnet,
  isAddress,
  lastAddress,
  parseAddress,
  parseInterface,
  subnetOf,
} from "#proto/ipv4.ts";
import { formatSubnet6, parseAddress6, parseInterface6, subnetOf6 } from "#proto/ipv6.ts";

export interface Subnet {
  /** Canonical: "10.0.1.0/24", "fd00:1::/64". */
  readonly text: string;
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
  readonly prefixLength: number;
}

/** Any address of the subnet will do: "10.0.1.7/24" is the subnet 10.0.1.0/24. */
export function parseSubnet(text: string): Subnet {
  if (isText6(text)) {
    const { address, prefix } = parseInterface6(text);
    const subnet = subnetOf6(address, prefix);
    const last = subnet.base + (1n << BigInt(128 - prefix)) - 1n;
    const canonical = formatSubnet6(subnet);
    return { text: canonical, family: 6, first: subnet.base, last, prefixLength: prefix };
  }
  const { address, prefix } = parseInterface(text);
  const subnet = subnetOf(address, prefix);
  return {
    text: formatSubnet(subnet),
    family: 4,
    first: BigInt(subnet.base),
    last: BigInt(lastAddress(subnet)),
    prefixLength: prefix,
  };
}

/** An address by itself: /32 or /128. */
export function hostSubnet(address: string): Subnet {
  return parseSubnet(`${address}/${isText6(address) ? 128 : 32}`);
}

/** Refuses what is no address of the subnet's family. */
export function contains(subnet: Subnet, address: string): boolean {
  const value = subnet.family === 6 ? parseAddress6(address) : BigInt(parseAddress(address));
  return value >= subnet.first && value <= subnet.last;
}

/** Whether it is an address, and one of the subnet. */
export function holds(subnet: Subnet, address: string): boolean {
  return (subnet.family === 4 ? isAddress(address) : isText6(address)) && contains(subnet, address);
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}

/** By its look alone. */
export function isText6(text: string): boolean {
  return text.includes(":");
}
