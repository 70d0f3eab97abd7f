/** The networks of a stack file: what they are called in the cluster, the specs of those that the stack makes, who is on them. */
import { create } from "@bufbuild/protobuf";
import {
  DriverSchema,
  IpamConfigSchema,
  IpamOptionsSchema,
  type NetworkAttachmentConfig,
  NetworkAttachmentConfigSchema,
  type NetworkSpec,
  NetworkSpecSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { isLocalNetworkName } from "#proto/main-network.ts";
import { isEncrypted } from "#proto/network-options.ts";
import type { NetworkEntry, ServiceEntry, SubnetEntry } from "../compose/compose-file.ts";
import { namespaceLabel, type Stack } from "../stack.ts";
import { Reader, refuseSharedNames, type StackContext } from "./reader.ts";

/** Every stack has it without saying so; services that name no network are on it. */
const defaultNetwork = "default";

function networkEntry({ content }: StackContext, key: string): NetworkEntry | undefined {
  const networks = content.networks ?? {};
  if (Object.hasOwn(networks, key)) return networks[key];
  return key === defaultNetwork ? {} : undefined;
}

function networkName({ name: stack }: StackContext, key: string, entry: NetworkEntry): string {
  return entry.name ?? (entry.external ? key : `${stack}_${key}`);
}

/**
 * `reader`: of the service, whose key is `service`. It answers to that name on each of its networks, but for those of
 * each host, where nobody asks.
 */
export function attachments(
  reader: Reader,
  service: string,
  { networks = {}, network_mode: mode }: ServiceEntry,
): NetworkAttachmentConfig[] {
  if (mode !== undefined) return [hostNetwork(reader.under("network_mode"), mode, networks)];
  const given = Object.entries(networks);
  const entries = given.length > 0 ? given : [[defaultNetwork, null] as const];
  return entries
    .map(([key, entry]) => {
      const place = reader.under("networks", key);
      const network = networkEntry(reader.context, key);
      if (network === undefined) {
        throw place.fault(`names the network "${key}", which the file does not define`);
      }
      const target = networkName(reader.context, key, network);
      const { aliases = [], ipv4_address: v4 = [], ipv6_address: v6 = [] } = entry ?? {};
      if (Object.keys(entry?.driver_opts ?? {}).length > 0) {
        throw place.under("driver_opts").fault("is not supported: a network has its own");
      }
      const own = isLocalNetworkName(target) ? [] : [service];
      return create(NetworkAttachmentConfigSchema, {
        target,
        aliases: [...new Set([...aliases, ...own])],
        addresses: [v4, v6].flat(),
      });
    })
    .toSorted((a, b) => (a.target < b.target ? -1 : 1));
}

/** `network_mode: host` of the Compose Specification is Swarm's external network `host`. */
function hostNetwork(
  place: Reader,
  mode: string,
  networks: NonNullable<ServiceEntry["networks"]>,
): NetworkAttachmentConfig {
  if (!isLocalNetworkName(mode)) {
    throw place.fault(`is "${mode}": use host, bridge or none, or the networks of the stack`);
  }
  if (Object.keys(networks).length > 0) throw place.fault("does not go with networks");
  return create(NetworkAttachmentConfigSchema, { target: mode });
}

/** `used`: names of the networks that services are on. Others are not made. */
export function networksOf(
  context: StackContext,
  used: ReadonlySet<string>,
): Pick<Stack, "networks" | "externalNetworks"> {
  const keys = new Set([...Object.keys(context.content.networks ?? {}), defaultNetwork]);
  const entries = [...keys]
    .map((key) => {
      const entry = networkEntry(context, key) ?? {};
      return { key, entry, name: networkName(context, key, entry), isMade: !entry.external };
    })
    .filter(({ name }) => used.has(name));
  refuseSharedNames(context, "networks", entries);
  return {
    networks: entries
      .filter(({ isMade }) => isMade)
      .map(({ key, entry, name }) =>
        networkSpec(new Reader(context, ["networks", key]), entry, name),
      ),
    externalNetworks: entries.filter(({ isMade }) => !isMade).map(({ name }) => name),
  };
}

function networkSpec(reader: Reader, entry: NetworkEntry, name: string): NetworkSpec {
  const { ipam, driver_opts: options = {} } = entry;
  if (entry.enable_ipv4 === false) {
    throw reader.under("enable_ipv4").fault("is false: every network has IPv4 addresses");
  }
  if (ipam?.driver !== undefined && ipam.driver !== "default") {
    throw reader.under("ipam", "driver").fault(`is "${ipam.driver}": there is none but default`);
  }
  if (Object.keys(ipam?.options ?? {}).length > 0) {
    throw reader.under("ipam", "options").fault("is not supported");
  }
  const configs = reader.under("ipam").each("config", ipam?.config, ipamConfig);
  return create(NetworkSpecSchema, {
    annotations: { name, labels: { ...entry.labels, [namespaceLabel]: reader.context.name } },
    driverConfig: create(DriverSchema, {
      name: entry.driver ?? "overlay",
      options: { ...options },
    }),
    // As managers do it: what is there is compared with the file.
    encrypted: reader.under("driver_opts").parsed(() => isEncrypted(options)),
    ipv6Enabled: entry.enable_ipv6 ?? false,
    internal: entry.internal ?? false,
    attachable: entry.attachable ?? false,
    ...(configs.length > 0 && { ipam: create(IpamOptionsSchema, { configs }) }),
  });
}

function ipamConfig(entry: SubnetEntry) {
  const { subnet = "", gateway = "", ip_range: range = "", aux_addresses: reserved = {} } = entry;
  return create(IpamConfigSchema, { subnet, gateway, range, reserved: { ...reserved } });
}
