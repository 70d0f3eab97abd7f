/** The cluster's settings with their defaults filled in. */
import type { Cluster } from "#proto/gen/swarm/v1/objects_pb.ts";
import { msFromDuration } from "#proto/time.ts";
import type { View } from "./store/store.ts";

/** What holds where a cluster's spec says nothing. */
export const clusterDefaults = {
  name: "default",
  heartbeatPeriodMs: 1_000,
  historyLimit: 5,
  nodeCertExpiryMs: 90 * 24 * 3_600_000,
  addressPools: ["10.0.0.0/8"],
  /** Prefix length. */
  subnetSize: 24,
  /** VXLAN's own. */
  dataPathPort: 4789,
  /** As often as Swarm renews its own. */
  networkKeyPeriodMs: 12 * 3_600_000,
  /** Where Debian keeps backups; outlives what a host has of the cluster. */
  backupFolder: "/var/backups/swarm",
  /** Of each manager. */
  backupKeep: 7,
} as const;

export function clusterOf(view: View): Cluster | undefined {
  return view.list("cluster")[0];
}

export function heartbeatPeriodMs(cluster: Cluster | undefined): number {
  const defaultMs = clusterDefaults.heartbeatPeriodMs;
  const ms = msFromDuration(cluster?.spec?.dispatcher?.heartbeatPeriod, defaultMs);
  return ms > 0 ? ms : defaultMs;
}

/** The UDP port of all nodes' VXLAN devices. */
export function dataPathPort(cluster: Cluster | undefined): number {
  return cluster?.spec?.network?.dataPathPort || clusterDefaults.dataPathPort;
}

/** When nodes renew the keys by which they encrypt networks. */
export function networkKeys(cluster: Cluster | undefined): {
  readonly periodMs: number;
  readonly rotations: bigint;
} {
  const encryption = cluster?.spec?.encryption;
  const defaultMs = clusterDefaults.networkKeyPeriodMs;
  return {
    periodMs: msFromDuration(encryption?.networkKeyPeriod, defaultMs),
    rotations: encryption?.networkKeyRotations ?? 0n,
  };
}

/** How many dead tasks a slot keeps; infinite where the setting is negative. */
export function historyLimit(cluster: Cluster | undefined): number {
  const said = cluster?.spec?.orchestration?.taskHistoryRetentionLimit;
  const limit = Number(said ?? clusterDefaults.historyLimit);
  return limit < 0 ? Infinity : limit;
}

/** When the managers' log is written as a snapshot, and how many of before are kept; 0 or nothing said: the default. */
export function snapshotSettings(cluster: Cluster | undefined): {
  readonly interval: number | undefined;
  readonly keepOld: number;
} {
  const { snapshotInterval = 0n, keepOldSnapshots = 0n } = cluster?.spec?.raft ?? {};
  const interval = snapshotInterval === 0n ? undefined : Number(snapshotInterval);
  return { interval, keepOld: Number(keepOldSnapshots) };
}

export interface AddressPools {
  /** CIDR, in the order in which they are used up. */
  readonly pools: readonly string[];
  /** Prefix length of the subnets cut from them. */
  readonly subnetPrefix: number;
}

export function addressPools(cluster: Cluster | undefined): AddressPools {
  const network = cluster?.spec?.network;
  const pools = network?.defaultAddressPools ?? [];
  return {
    pools: pools.length > 0 ? pools : clusterDefaults.addressPools,
    subnetPrefix: network?.subnetSize || clusterDefaults.subnetSize,
  };
}
