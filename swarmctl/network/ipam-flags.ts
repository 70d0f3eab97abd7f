/** The flags of a network's addresses. A gateway, a range or a reserved address belongs to the subnet that holds it. */
import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { type IpamConfig, IpamConfigSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { contains, parseAddress, parseSubnet } from "#proto/ipv4.ts";
import { contains6, parseAddress6, parseSubnet6 } from "#proto/ipv6.ts";
import { flags, type Pair, pair } from "../flags/parse-flag.ts";

export interface IpamFlags {
  readonly subnet?: string[];
  readonly gateway?: string[];
  readonly ipRange?: string[];
  readonly auxAddress?: Pair[];
}

export function addIpamFlags(command: Command): Command {
  return command
    .option(
      "--subnet <cidr>",
      "its addresses (default: from the cluster's pools; one for each of IPv4 and IPv6)",
      flags(subnet),
    )
    .option("--gateway <address>", "the gateway of a subnet (repeat)", flags(address))
    .option("--ip-range <cidr>", "part of a subnet that tasks get (repeat)", flags(subnet))
    .option(
      "--aux-address <name=address>",
      "an address that no task gets (repeat)",
      flags(reserved),
    );
}

export function ipamConfigs(given: IpamFlags): IpamConfig[] {
  const configs = (given.subnet ?? []).map((cidr) => create(IpamConfigSchema, { subnet: cidr }));
  const holding = (cidr: string, what: string) => {
    const config = configs.find((one) => holds(one.subnet, cidr));
    if (config !== undefined) return config;
    throw new Fault("invalid-argument", `${what} is in no --subnet: give the subnet that it is of`);
  };
  for (const gateway of given.gateway ?? []) {
    const config = holding(gateway, `--gateway ${gateway}`);
    if (config.gateway !== "") {
      const problem = `--gateway ${gateway} is a second one of ${config.subnet}, after ${config.gateway}`;
      throw new Fault("invalid-argument", problem);
    }
    config.gateway = gateway;
  }
  for (const range of given.ipRange ?? []) {
    const config = holding(range, `--ip-range ${range}`);
    if (config.range !== "") {
      const problem = `--ip-range ${range} is a second one of ${config.subnet}, after ${config.range}`;
      throw new Fault("invalid-argument", problem);
    }
    config.range = range;
  }
  for (const { key, value } of given.auxAddress ?? []) {
    const what = `--aux-address ${key}=${value}`;
    const { reserved: others } = holding(value, what);
    if (Object.hasOwn(others, key)) {
      const problem = `${what} is a second "${key}", after ${others[key]}: choose another name`;
      throw new Fault("invalid-argument", problem);
    }
    others[key] = value;
  }
  return configs;
}

/** `inner`: a subnet, or an address. */
function holds(outer: string, inner: string): boolean {
  if (outer.includes(":") !== inner.includes(":")) return false;
  if (outer.includes(":")) {
    const cidr = inner.includes("/") ? inner : `${inner}/128`;
    return contains6(parseSubnet6(outer), parseSubnet6(cidr));
  }
  return contains(parseSubnet(outer), parseSubnet(inner.includes("/") ? inner : `${inner}/32`));
}

function subnet(text: string): string {
  if (text.includes(":")) parseSubnet6(text);
  else parseSubnet(text);
  return text;
}

function address(text: string): string {
  if (text.includes(":")) parseAddress6(text);
  else parseAddress(text);
  return text;
}

function reserved(text: string): Pair {
  const { key, value } = pair(text);
  return { key, value: address(value) };
}
