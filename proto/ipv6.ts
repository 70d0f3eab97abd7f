/**
 * IPv6 addresses and subnets as 128-bit integers, like ipv4.ts. What passes the parsers is formatted in the one canonical way
 * of RFC 5952, which is how the kernel's tools print it, so that texts can be compared.
 */
import ipaddr from "ipaddr.js";
import { Fault } from "./fault.ts";

const { IPv6 } = ipaddr;

export interface Subnet6 {
  /** The network address: its host bits are zero. */
  readonly base: bigint;
  readonly prefix: number;
}

/** No zone ("%eth0") and no dotted tail: those are for people, not for rules. */
export function isAddress6(text: string): boolean {
  return /^[0-9a-fA-F:]+$/.test(text) && IPv6.isValid(text);
}

export function parseAddress6(text: string): bigint {
  if (!isAddress6(text)) throw new Fault("invalid-argument", `"${text}" is not an IPv6 address`);
  const bytes = IPv6.parse(text).toByteArray();
  return bytes.reduce((address, byte) => address * 256n + BigInt(byte), 0n);
}

export function formatAddress6(address: bigint): string {
  const bytes = Array.from({ length: 16 }, (_, index) =>
    Number((address >> BigInt(8 * (15 - index))) & 0xffn),
  );
  return new IPv6(bytes).toRFC5952String();
}

/** CIDR notation. Refuses host bits, which are more often a slip than meant. */
export function parseSubnet6(text: string): Subnet6 {
  const { address, prefix } = parseInterface6(text);
  const subnet = subnetOf6(address, prefix);
  if (subnet.base !== address) {
    throw new Fault(
      "invalid-argument",
      `"${text}" has host bits set: write ${formatSubnet6(subnet)}`,
    );
  }
  return subnet;
}

/** An address with the prefix length of its subnet, "fd00::5/64". */
export function parseInterface6(text: string): { address: bigint; prefix: number } {
  const match = /^([0-9a-fA-F:]+)\/(\d{1,3})$/.exec(text);
  const prefix = Number(match?.[2]);
  if (match?.[1] === undefined || prefix > 128 || !isAddress6(match[1])) {
    throw new Fault(
      "invalid-argument",
      `"${text}" is not an IPv6 subnet: write one such as fd00:1::/64`,
    );
  }
  return { address: parseAddress6(match[1]), prefix };
}

export function formatSubnet6({ base, prefix }: Subnet6): string {
  return `${formatAddress6(base)}/${prefix}`;
}

export function subnetOf6(address: bigint, prefix: number): Subnet6 {
  const host = BigInt(128 - prefix);
  return { base: (address >> host) << host, prefix };
}

export function contains6(outer: Subnet6, inner: Subnet6): boolean {
  return inner.prefix >= outer.prefix && subnetOf6(inner.base, outer.prefix).base === outer.base;
}

export function overlap6(a: Subnet6, b: Subnet6): boolean {
  return contains6(a, b) || contains6(b, a);
}
