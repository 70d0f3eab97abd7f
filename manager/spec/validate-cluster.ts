/** What a cluster's spec must look like. Pure. */
import { create, equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type BackupConfig,
  type RaftConfig,
  type ClusterSpec,
  ClusterSpecSchema,
  NetworkConfigSchema,
  SchedulingConfigSchema,
  type TaskDefaults,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { AnnotationsSchema, IpFamily, SchedulingStrategy } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseLogDriver } from "#proto/log-driver.ts";
import { durationFromMs, msFromDuration } from "#proto/time.ts";
import { subnetPrefix6, whyForbidden } from "../allocator/ipam.ts";
import { familyOf, formatSubnet, overlap, parseSubnet, type Subnet } from "../allocator/subnet.ts";
import { clusterDefaults } from "../cluster.ts";
import { checkCron } from "../job-scheduler/cron.ts";
import { checkAbsolutePath, checkEnum, checkLabels, checkName, invalid, parsed } from "./field.ts";
import { refuseUnsupported } from "./supported.ts";

const heartbeatPeriodMsMin = 100;
/** A dead node is found after some of these: nobody wants to wait longer. */
const heartbeatPeriodMsMax = 60_000;

/** Swarm's. */
const nodeCertExpiryMsMin = 3_600_000;
/** Ten years: half of what a root lives, whose end is that of all certificates. */
const nodeCertExpiryMsMax = 10 * 365 * 24 * 3_600_000;

/** A renewal takes a few seconds, and every node hears of each. */
const networkKeyPeriodMsMin = 60_000;
const networkKeyPeriodMsMax = 365 * 24 * 3_600_000;

const backupKeepMax = 10_000;

/** With fewer the managers' disks would be busy with snapshots. */
const snapshotIntervalMin = 10n;
const snapshotIntervalMax = 10_000_000n;
const keepOldSnapshotsMax = 100n;

/** The smallest subnets that still have room for tasks. */
const subnetSizeMax = 29;

/** Swarm's: neither a port of the system nor one that hosts choose for their own connections. */
const dataPathPortMin = 1_024;
const dataPathPortMax = 49_151;

/** The spec as it holds: what is left out is filled in once, so that a later default does not change a cluster. */
export function validateClusterSpec(spec: ClusterSpec | undefined): ClusterSpec {
  if (spec === undefined) throw invalid("spec", "is missing");
  refuseUnsupported(ClusterSpecSchema, spec);
  checkLabels(spec.annotations);
  const name = spec.annotations?.name || clusterDefaults.name;
  checkName("annotations.name", name);
  const { ca } = spec;
  return create(ClusterSpecSchema, {
    annotations: create(AnnotationsSchema, { name, labels: spec.annotations?.labels ?? {} }),
    orchestration: {
      taskHistoryRetentionLimit:
        spec.orchestration?.taskHistoryRetentionLimit ?? BigInt(clusterDefaults.historyLimit),
    },
    dispatcher: { heartbeatPeriod: heartbeatPeriodOf(spec) },
    ca: {
      nodeCertExpiry: nodeCertExpiryOf(spec),
      signingCaCert: ca?.signingCaCert ?? new Uint8Array(),
      signingCaKey: ca?.signingCaKey ?? new Uint8Array(),
      forceRotate: ca?.forceRotate ?? 0n,
    },
    encryption: encryptionOf(spec),
    network: networkOf(spec),
    scheduling: schedulingOf(spec),
    ...(spec.raft !== undefined && { raft: raftOf(spec.raft) }),
    ...(spec.backup !== undefined && { backup: backupOf(spec.backup) }),
    ...(spec.taskDefaults !== undefined && { taskDefaults: taskDefaultsOf(spec.taskDefaults) }),
  });
}

/** What is decided when a cluster begins, because everything that came after builds on it. */
export function refuseFixedChange(before: ClusterSpec | undefined, after: ClusterSpec): void {
  if (before?.annotations?.name !== after.annotations?.name) {
    throw new Fault("unimplemented", "annotations.name cannot be changed");
  }
  // With what a version before this one left out.
  const was = create(NetworkConfigSchema, {
    ...networkOf(before ?? create(ClusterSpecSchema)),
    // Of networks that are still to be made.
    encrypted: after.network?.encrypted ?? false,
  });
  if (before === undefined || (after.network && equals(NetworkConfigSchema, was, after.network))) {
    return;
  }
  const message = "network cannot be changed: the networks that there are have their subnets";
  throw new Fault("unimplemented", message);
}

function heartbeatPeriodOf({ dispatcher }: ClusterSpec) {
  const period = dispatcher?.heartbeatPeriod ?? durationFromMs(clusterDefaults.heartbeatPeriodMs);
  const ms = msFromDuration(period, 0);
  if (ms >= heartbeatPeriodMsMin && ms <= heartbeatPeriodMsMax) return period;
  const problem = `is ${ms} ms: use ${heartbeatPeriodMsMin} ms to ${heartbeatPeriodMsMax / 1000} s`;
  throw invalid("dispatcher.heartbeat_period (--dispatcher-heartbeat)", problem);
}

/** Of tasks that are made from now on: what runs keeps its driver. */
function taskDefaultsOf(defaults: TaskDefaults): TaskDefaults {
  parsed("task_defaults.log_driver", () => parseLogDriver(defaults.logDriver));
  return defaults;
}

function nodeCertExpiryOf({ ca }: ClusterSpec) {
  const expiry = ca?.nodeCertExpiry ?? durationFromMs(clusterDefaults.nodeCertExpiryMs);
  const ms = msFromDuration(expiry, 0);
  if (ms >= nodeCertExpiryMsMin && ms <= nodeCertExpiryMsMax) return expiry;
  const problem = ms < nodeCertExpiryMsMin ? "is under an hour" : "is over ten years";
  throw invalid("ca.node_cert_expiry (--cert-expiry)", `${problem}: use 1h to 87600h`);
}

function encryptionOf({ encryption }: ClusterSpec) {
  const period = encryption?.networkKeyPeriod ?? durationFromMs(clusterDefaults.networkKeyPeriodMs);
  const ms = msFromDuration(period, 0);
  if (ms < networkKeyPeriodMsMin || ms > networkKeyPeriodMsMax) {
    const problem = ms < networkKeyPeriodMsMin ? "is under a minute" : "is over a year";
    throw invalid(
      "encryption.network_key_period (--network-key-period)",
      `${problem}: use 1m to 8760h`,
    );
  }
  return {
    autoLockManagers: encryption?.autoLockManagers ?? false,
    networkKeyPeriod: period,
    networkKeyRotations: encryption?.networkKeyRotations ?? 0n,
  };
}

function raftOf({ snapshotInterval, keepOldSnapshots }: RaftConfig) {
  const [min, max] = [snapshotIntervalMin, snapshotIntervalMax];
  if (snapshotInterval !== 0n && (snapshotInterval < min || snapshotInterval > max)) {
    const problem = `is ${snapshotInterval}: use ${min} to ${max}, or 0 for what serves best`;
    throw invalid("raft.snapshot_interval (--snapshot-interval)", problem);
  }
  if (keepOldSnapshots > keepOldSnapshotsMax) {
    const problem = `is ${keepOldSnapshots}: use 0 to ${keepOldSnapshotsMax}`;
    throw invalid("raft.keep_old_snapshots (--max-snapshots)", problem);
  }
  return { snapshotInterval, keepOldSnapshots };
}

function backupOf({ schedule, folder, keep }: BackupConfig) {
  if (schedule === "") {
    const problem = "is empty: say when, as in crontab(5), or leave out backup";
    throw invalid("backup.schedule (--backup-schedule)", problem);
  }
  parsed("backup.schedule (--backup-schedule)", () => checkCron(schedule));
  const path = "backup.folder (--backup-folder)";
  if (folder !== "") checkAbsolutePath(path, folder);
  if (keep > backupKeepMax) {
    const problem = `is ${keep}: use 1 to ${backupKeepMax}`;
    throw invalid("backup.keep (--backup-keep)", problem);
  }
  return {
    schedule,
    folder: folder || clusterDefaults.backupFolder,
    keep: keep || clusterDefaults.backupKeep,
  };
}

function schedulingOf({ scheduling }: ClusterSpec) {
  const given = scheduling ?? create(SchedulingConfigSchema);
  checkEnum("scheduling.strategy (--scheduling-strategy)", given.strategy, SchedulingStrategy);
  return given;
}

function networkOf({ network }: ClusterSpec) {
  const given = network?.defaultAddressPools ?? [];
  const has4 = given.some((pool) => familyOf(pool) === IpFamily.IPV4);
  const defaultAddressPools = has4 ? given : [...clusterDefaults.addressPools, ...given];
  const subnetSize = network?.subnetSize || clusterDefaults.subnetSize;
  const pools = defaultAddressPools.map((pool, index) => {
    const path = `network.default_address_pools[${index}]`;
    const subnet = parsed(path, () => parseSubnet(pool));
    checkPool(path, subnet, subnetSize);
    return subnet;
  });
  for (const [index, pool] of pools.entries()) {
    const earlier = pools.slice(0, index).find((one) => overlap(one, pool));
    if (earlier === undefined) continue;
    const path = `network.default_address_pools[${index}] (--default-addr-pool)`;
    throw invalid(path, `is ${formatSubnet(pool)}, which overlaps with ${formatSubnet(earlier)}`);
  }
  const dataPathPort = dataPathPortOf(network?.dataPathPort);
  return { defaultAddressPools, subnetSize, dataPathPort, encrypted: network?.encrypted ?? false };
}

/** Subnets of IPv4 have the size that the cluster says, those of IPv6 always /64. */
function checkPool(path: string, pool: Subnet, subnetSize: number): void {
  const why = whyForbidden(pool);
  if (why !== undefined) {
    throw invalid(`${path} (--default-addr-pool)`, `is of no use: ${why}`);
  }
  const { family, prefix } = pool;
  if (family === IpFamily.IPV6) {
    if (prefix <= subnetPrefix6) return;
    const problem = `is /${prefix}: networks get a /${subnetPrefix6} of it, so use one of that size or larger`;
    throw invalid(`${path} (--default-addr-pool)`, problem);
  }
  if (subnetSize >= prefix && subnetSize <= subnetSizeMax) return;
  const problem = `is /${subnetSize}: use a size from that of the pool, /${prefix}, to /${subnetSizeMax}`;
  throw invalid("network.subnet_size (--default-addr-pool-mask-length)", problem);
}

function dataPathPortOf(given = 0): number {
  const port = given === 0 ? clusterDefaults.dataPathPort : given;
  if (port >= dataPathPortMin && port <= dataPathPortMax) return port;
  const problem = `is ${port}: use ${dataPathPortMin} to ${dataPathPortMax}`;
  throw invalid("network.data_path_port (--data-path-port)", problem);
}
