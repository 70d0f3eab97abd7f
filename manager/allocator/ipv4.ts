/** IPv4 addresses and subnets as numbers. An address is an unsigned 32-bit integer. */
import { Fault } from "#proto/fault.ts";

export interface Subnet {
  /** The network address: its host bits are zero. */
  readonly base: number;
  readonly prefix: number;
}

export function parseAddress(text: string): number {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  const bytes = (match ?? []).slice(1).map(Number);
  if (bytes.length !== 4 || bytes.some((byte) => byte > 255)) {
    throw new Fault("invalid-argument", `"${text}" is not an IPv4 address`);
  }
  return bytes.reduce((address, byte) => address * 256 + byte, 0);
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
  const match = /^([\d.]+)\/(\d{1,2})$/.exec(text);
  const prefix = Number(match?.[2]);
  if (match?.[1] === undefined || !(prefix <= 32)) {
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
