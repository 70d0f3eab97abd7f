/**
 * IPv4 addresses and subnets as numbers: an address is an unsigned 32-bit integer. What passes the parsers is canonical
 * text (no leading zeros, no host bits), which is safe inside a command line of `ip` or `nft`.
 */
import { Fault } from "./fault.ts";

export interface Subnet {
  /** The network address: its host bits are zero. */
  readonly base: number;
  readonly prefix: number;
}

const octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const addressPattern = new RegExp(`^${octet}(?:\\.${octet}){3}$`);

export function isAddress(text: string): boolean {
  return addressPattern.test(text);
}

export function parseAddress(text: string): number {
  if (!isAddress(text)) throw new Fault("invalid-argument", `"${text}" is not an IPv4 address`);
  return text.split(".").reduce((address, byte) => address * 256 + Number(byte), 0);
}

/** CIDR notation. Refuses host bits, which are more often a slip than meant. */
export function parseSubnet(text: string): Subnet {
  const { address, prefix } = parseInterface(text);
  const subnet = subnetOf(address, prefix);
  if (subnet.base !== address) {
    throw new Fault(
      "invalid-argument",
      `"${text}" has host bits set: write ${formatSubnet(subnet)}`,
    );
  }
  return subnet;
}

/** An address with the prefix length of its subnet, "10.0.1.5/24". */
export function parseInterface(text: string): { address: number; prefix: number } {
  const match = /^([\d.]+)\/(3[0-2]|[12]?\d)$/.exec(text);
  const prefix = Number(match?.[2]);
  if (match?.[1] === undefined) {
    throw new Fault(
      "invalid-argument",
      `"${text}" is not an IPv4 subnet: write one such as 10.1.0.0/24`,
    );
  }
  return { address: parseAddress(match[1]), prefix };
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

export function formatSubnet({ base, prefix }: Subnet): string {
  return `${formatAddress(base)}/${prefix}`;
}

export function subnetOf(address: number, prefix: number): Subnet {
  return { base: address - (address % 2 ** (32 - prefix)), prefix };
}

export function lastAddress({ base, prefix }: Subnet): number {
  return base + 2 ** (32 - prefix) - 1;
}

export function contains(outer: Subnet, inner: Subnet): boolean {
  return outer.base <= inner.base && lastAddress(inner) <= lastAddress(outer);
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return a.base <= lastAddress(b) && b.base <= lastAddress(a);
}
