/** The cluster's settings with their defaults filled in. */
import type { Cluster } from "#proto/gen/swarm/v1/objects_pb.ts";
import { msFromDuration } from "#proto/time.ts";
import type { View } from "./store/store.ts";

const heartbeatPeriodMsDefault = 1_000;
const historyLimitDefault = 5;
const addressPoolsDefault = ["10.0.0.0/8"];
const subnetPrefixDefault = 24;

export function clusterOf(view: View): Cluster | undefined {
  return view.list("cluster")[0];
}

export function heartbeatPeriodMs(cluster: Cluster | undefined): number {
  const ms = msFromDuration(cluster?.spec?.dispatcher?.heartbeatPeriod, heartbeatPeriodMsDefault);
  return ms > 0 ? ms : heartbeatPeriodMsDefault;
}

/** How many dead tasks a slot keeps; infinite where the setting is negative. */
export function historyLimit(cluster: Cluster | undefined): number {
  const orchestration = cluster?.spec?.orchestration;
  if (orchestration === undefined) return historyLimitDefault;
  const limit = Number(orchestration.taskHistoryRetentionLimit);
  return limit < 0 ? Infinity : limit;
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
    pools: pools.length > 0 ? pools : addressPoolsDefault,
    subnetPrefix: network?.subnetSize || subnetPrefixDefault,
  };
}
