/** Subnets as the data plane looks at them: by their text, which names them in the kernel, and their two ends. */
import { formatSubnet, lastAddress, parseAddress, parseInterface, subnetOf } from "#proto/ipv4.ts";

export interface Subnet {
  /** Canonical: "10.0.1.0/24". */
  readonly text: string;
  readonly first: number;
  readonly last: number;
  readonly prefixLength: number;
}

/** Any address of the subnet will do: "10.0.1.7/24" is the subnet 10.0.1.0/24. */
export function parseSubnet(text: string): Subnet {
  const { address, prefix } = parseInterface(text);
  const subnet = subnetOf(address, prefix);
  return {
    text: formatSubnet(subnet),
    first: subnet.base,
    last: lastAddress(subnet),
    prefixLength: prefix,
  };
}

export function contains(subnet: Subnet, address: string): boolean {
  const value = parseAddress(address);
  return value >= subnet.first && value <= subnet.last;
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return a.first <= b.last && b.first <= a.last;
}
