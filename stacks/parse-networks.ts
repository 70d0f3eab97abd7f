/** The networks of a stack file: what they are called in the cluster, and the specs of those that the stack makes. */
import { create } from "@bufbuild/protobuf";
import {
  DriverSchema,
  IpamConfigSchema,
  IpamOptionsSchema,
  type NetworkSpec,
  NetworkSpecSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { isEncrypted } from "#proto/network-options.ts";
import { recordOf } from "./record-of.ts";
import { namespaceLabel, type Stack } from "./stack.ts";
import type { NetworkEntry, SubnetEntry } from "./compose/compose-file.ts";
import type { Path } from "./compose/node.ts";
import { at, type StackContext } from "./stack-context.ts";

/** Every stack has it without saying so; services that name no network are on it. */
export const defaultNetwork = "default";

export function networkEntry({ content }: StackContext, key: string): NetworkEntry | undefined {
  const networks = content.networks ?? {};
  if (Object.hasOwn(networks, key)) return networks[key] ?? {};
  return key === defaultNetwork ? {} : undefined;
}

/** The cluster's name of a network that the file calls `key`; refused at `path` where the file defines none. */
export function networkName(context: StackContext, key: string, path: Path): string {
  const entry = networkEntry(context, key);
  if (entry === undefined) {
    throw context.document.fault(
      path,
      `names the network "${key}", which the file does not define`,
    );
  }
  return entry.name ?? (entry.external ? key : `${context.name}_${key}`);
}

/** `used`: names of the networks that services are on. Others are not made. */
export function parseNetworks(
  context: StackContext,
  used: ReadonlySet<string>,
): Pick<Stack, "networks" | "externalNetworks"> {
  const networks: NetworkSpec[] = [];
  const externalNetworks: string[] = [];
  for (const key of new Set([...Object.keys(context.content.networks ?? {}), defaultNetwork])) {
    const entry = networkEntry(context, key) ?? {};
    const name = networkName(context, key, ["networks", key]);
    if (!used.has(name)) continue;
    if (entry.external) externalNetworks.push(name);
    else networks.push(networkSpec(context, key, name));
  }
  return { networks, externalNetworks };
}

function networkSpec(context: StackContext, key: string, name: string): NetworkSpec {
  const entry = networkEntry(context, key) ?? {};
  const path = ["networks", key];
  const configs = (entry.ipam?.config ?? []).map(ipamConfig);
  const options = recordOf(context, [...path, "driver_opts"], entry.driver_opts);
  return create(NetworkSpecSchema, {
    annotations: {
      name,
      labels: {
        ...recordOf(context, [...path, "labels"], entry.labels),
        [namespaceLabel]: context.name,
      },
    },
    driverConfig: create(DriverSchema, { name: entry.driver ?? "overlay", options }),
    // As managers do it: what is there is compared with the file.
    encrypted: at(context, [...path, "driver_opts"], () => isEncrypted(options)),
    ipv6Enabled: entry.enable_ipv6 ?? false,
    internal: entry.internal ?? false,
    attachable: entry.attachable ?? false,
    ...(configs.length > 0 && { ipam: create(IpamOptionsSchema, { configs }) }),
  });
}

function ipamConfig({ subnet, gateway, ip_range: range, aux_addresses: reserved }: SubnetEntry) {
  return create(IpamConfigSchema, {
    subnet,
    gateway: gateway ?? "",
    range: range ?? "",
    reserved: { ...reserved },
  });
}
