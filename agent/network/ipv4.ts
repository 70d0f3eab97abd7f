/** IPv4 addresses and subnets as numbers. What passes here is canonical text, safe inside a command line of `ip` or `nft`. */
import { Fault } from "#proto/fault.ts";

export interface Subnet {
  /** Canonical: "10.0.1.0/24". */
  readonly text: string;
  readonly first: number;
  readonly last: number;
  readonly prefixLength: number;
}

const octet = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const addressPattern = new RegExp(`^${octet}\\.${octet}\\.${octet}\\.${octet}$`);
const prefixLengthPattern = /^(3[0-2]|[12]?[0-9])$/;

export function isIpv4(text: string): boolean {
  return addressPattern.test(text);
}

export function parseIpv4(text: string): number {
  if (!isIpv4(text)) throw new Fault("invalid-argument", `"${text}" is not an IPv4 address`);
  return text.split(".").reduce((value, part) => value * 256 + Number(part), 0);
}

export function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join(".");
}

/** Any address of the subnet will do: "10.0.1.7/24" is the subnet 10.0.1.0/24. */
export function parseSubnet(text: string): Subnet {
  const [address, length, ...rest] = text.split("/");
  if (address === undefined || length === undefined || rest.length > 0) throw refusal(text);
  if (!isIpv4(address) || !prefixLengthPattern.test(length)) throw refusal(text);
  const prefixLength = Number(length);
  const size = 2 ** (32 - prefixLength);
  const first = Math.floor(parseIpv4(address) / size) * size;
  return {
    text: `${formatIpv4(first)}/${prefixLength}`,
    first,
    last: first + size - 1,
    prefixLength,
  };
}

function refusal(text: string): Fault {
  return new Fault("invalid-argument", `"${text}" is not an IPv4 subnet such as 10.0.1.0/24`);
}

export function contains(subnet: Subnet, address: string): boolean {
  const value = parseIpv4(address);
  return value >= subnet.first && value <= subnet.last;
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return a.first <= b.last && b.first <= a.last;
}
