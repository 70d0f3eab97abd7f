/** Subnets and addresses of either family in one shape, for bookkeeping that does not care which: bigints with a family. */
import { Fault } from "#proto/fault.ts";
import { IpFamily } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  formatAddress as formatAddress4,
  isAddress,
  parseAddress as parseAddress4,
  parseSubnet as parseSubnet4,
} from "#proto/ipv4.ts";
import { formatAddress6, isAddress6, parseAddress6, parseSubnet6 } from "#proto/ipv6.ts";

export type Family = typeof IpFamily.IPV4 | typeof IpFamily.IPV6;

export interface Subnet {
  readonly family: Family;
  /** The network address: its host bits are zero. */
  readonly base: bigint;
  readonly prefix: number;
}

export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

export function familyOf(text: string): Family {
  return text.includes(":") ? IpFamily.IPV6 : IpFamily.IPV4;
}

/** CIDR notation. Refuses host bits. */
export function parseSubnet(text: string): Subnet {
  const family = familyOf(text);
  const { base, prefix } = family === IpFamily.IPV6 ? parseSubnet6(text) : parseSubnet4(text);
  return { family, base: BigInt(base), prefix };
}

export function isAnyAddress(text: string): boolean {
  return isAddress(text) || isAddress6(text);
}

export function parseAddress(text: string): Address {
  if (!isAnyAddress(text)) {
    throw new Fault("invalid-argument", `"${text}" is not an IP address`);
  }
  const family = familyOf(text);
  const value = family === IpFamily.IPV6 ? parseAddress6(text) : BigInt(parseAddress4(text));
  return { family, value };
}

export function formatAddress({ family, value }: Address): string {
  return family === IpFamily.IPV6 ? formatAddress6(value) : formatAddress4(Number(value));
}

export function formatSubnet({ family, base, prefix }: Subnet): string {
  return `${formatAddress({ family, value: base })}/${prefix}`;
}

/** How many addresses it has in all. */
export function sizeOf({ family, prefix }: Subnet): bigint {
  return 1n << BigInt(bitsOf(family) - prefix);
}

export function lastAddress(subnet: Subnet): bigint {
  return subnet.base + sizeOf(subnet) - 1n;
}

export function contains(subnet: Subnet, address: Address): boolean {
  return (
    subnet.family === address.family &&
    subnet.base <= address.value &&
    address.value <= lastAddress(subnet)
  );
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return a.family === b.family && a.base <= lastAddress(b) && b.base <= lastAddress(a);
}

export function bitsOf(family: Family): number {
  return family === IpFamily.IPV6 ? 128 : 32;
}
