/** The cluster's settings as flags, for `init` and `update`. */
import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import {
  BackupConfigSchema,
  CaConfigSchema,
  type ClusterSpec,
  DispatcherConfigSchema,
  EncryptionConfigSchema,
  NetworkConfigSchema,
  OrchestrationConfigSchema,
  RaftConfigSchema,
  SchedulingConfigSchema,
  TaskDefaultsSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { SchedulingStrategy } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  duration,
  flag,
  flags,
  integer,
  oneOf,
  type Pair,
  pair,
  recordOf,
  text,
  wholeNumber,
} from "../flags/parse-flag.ts";

/** As managers check it. */
const backupKeepMax = 10_000;

export interface SpecFlags {
  readonly autolock?: boolean;
  readonly encrypted?: boolean;
  readonly certExpiry?: Duration;
  readonly dispatcherHeartbeat?: Duration;
  readonly logDriver?: string;
  readonly logOpt?: Pair[];
  readonly networkKeyPeriod?: Duration;
  readonly taskHistoryLimit?: bigint;
  readonly schedulingStrategy?: SchedulingStrategy;
  readonly preemption?: boolean;
  readonly autoRebalance?: boolean;
  readonly backupSchedule?: string;
  readonly backupFolder?: string;
  readonly backupKeep?: number;
  readonly maxSnapshots?: bigint;
  readonly snapshotInterval?: bigint;
}

export function addSpecFlags(command: Command): Command {
  return addFlagsOfKeeping(addFlagsOfTasks(command));
}

function addFlagsOfTasks(command: Command): Command {
  return command
    .option(
      "--autolock [true|false]",
      "managers lock their files (default false): after a restart they wait for the unlock key",
      flag(yesOrNo),
    )
    .option(
      "--encrypted [true|false]",
      "encrypt the networks that are made from now on and do not say it themselves (default false)",
      flag(yesOrNo),
    )
    .option(
      "--cert-expiry <duration>",
      "how long node certificates hold (default 2160h)",
      flag(duration),
    )
    .option(
      "--dispatcher-heartbeat <duration>",
      "how often nodes report (default 1s)",
      flag(duration),
    )
    .option("--log-driver <name>", "where logs go of services that do not say", flag(text))
    .option("--log-opt <key=value>", "option of the log driver (repeat)", flags(pair))
    .option(
      "--network-key-period <duration>",
      "how old nodes' keys for encrypted networks may grow (default 12h)",
      flag(duration),
    )
    .option(
      "--task-history-limit <n>",
      "ended tasks kept per slot (default 5; negative: all)",
      flag(integer),
    )
    .option(
      "--scheduling-strategy <word>",
      "spread (default) tasks over the nodes, or binpack them on few",
      flag(oneOf(strategies)),
    )
    .option(
      "--preemption [true|false]",
      "tasks of a higher priority take the place of lower ones (default false)",
      flag(yesOrNo),
    )
    .option(
      "--auto-rebalance [true|false]",
      "nodes that are new or back get their share of the tasks that run (default false)",
      flag(yesOrNo),
    );
}

/** What managers keep of their state, beside it. */
function addFlagsOfKeeping(command: Command): Command {
  return command
    .option(
      "--backup-schedule <cron>",
      'when every manager writes a backup, in UTC: "0 3 * * *", @daily, or off (default off)',
      flag(text),
    )
    .option(
      "--backup-folder <dir>",
      "where on the managers (default /var/backups/swarm)",
      flag(text),
    )
    .option(
      "--backup-keep <n>",
      "how many backups of each manager are kept (default 7)",
      flag(keepCount),
    )
    .option(
      "--max-snapshots <n>",
      "snapshots of the managers' log that are kept behind the newest (default 0)",
      flag(wholeNumber),
    )
    .option(
      "--snapshot-interval <n>",
      "log entries from one snapshot to the next; 0: as it serves best (default 0)",
      flag(wholeNumber),
    );
}

/** 0 means the default on the wire. */
function keepCount(value: string): number {
  const count = Number(wholeNumber(value));
  if (count > 0 && count <= backupKeepMax) return count;
  throw new Fault("invalid-argument", `"${value}" is out of range: use 1 to ${backupKeepMax}`);
}

const yesOrNo = oneOf({ true: true, false: false });

export const strategies = {
  spread: SchedulingStrategy.SPREAD,
  binpack: SchedulingStrategy.BINPACK,
} as const;

/** The spec with what the flags say in place of what it said. */
export function withSpecFlags(spec: ClusterSpec, given: SpecFlags): ClusterSpec {
  const { autolock, certExpiry, dispatcherHeartbeat, taskHistoryLimit } = given;
  const { logDriver, logOpt, networkKeyPeriod } = given;
  const changed: ClusterSpec = { ...spec };
  if (autolock !== undefined || networkKeyPeriod !== undefined) {
    changed.encryption = {
      ...(spec.encryption ?? create(EncryptionConfigSchema)),
      ...(autolock !== undefined && { autoLockManagers: autolock }),
      ...(networkKeyPeriod !== undefined && { networkKeyPeriod }),
    };
  }
  if (given.encrypted !== undefined) {
    const network = spec.network ?? create(NetworkConfigSchema);
    changed.network = { ...network, encrypted: given.encrypted };
  }
  if (certExpiry !== undefined) {
    changed.ca = { ...(spec.ca ?? create(CaConfigSchema)), nodeCertExpiry: certExpiry };
  }
  if (dispatcherHeartbeat !== undefined) {
    changed.dispatcher = create(DispatcherConfigSchema, { heartbeatPeriod: dispatcherHeartbeat });
  }
  if (logDriver !== undefined || logOpt !== undefined) {
    const name = logDriver ?? spec.taskDefaults?.logDriver?.name ?? "";
    const options = recordOf(logOpt);
    changed.taskDefaults = create(TaskDefaultsSchema, { logDriver: { name, options } });
  }
  if (taskHistoryLimit !== undefined) {
    changed.orchestration = create(OrchestrationConfigSchema, {
      taskHistoryRetentionLimit: taskHistoryLimit,
    });
  }
  const { schedulingStrategy: strategy, preemption, autoRebalance } = given;
  if (strategy !== undefined || preemption !== undefined || autoRebalance !== undefined) {
    changed.scheduling = {
      ...(spec.scheduling ?? create(SchedulingConfigSchema)),
      ...(strategy !== undefined && { strategy }),
      ...(preemption !== undefined && { preemption }),
      ...(autoRebalance !== undefined && { autoRebalance }),
    };
  }
  return withBackupFlags(withRaftFlags(changed, given), given);
}

function withRaftFlags(
  spec: ClusterSpec,
  { maxSnapshots, snapshotInterval }: SpecFlags,
): ClusterSpec {
  if (maxSnapshots === undefined && snapshotInterval === undefined) return spec;
  return {
    ...spec,
    raft: {
      ...(spec.raft ?? create(RaftConfigSchema)),
      ...(maxSnapshots !== undefined && { keepOldSnapshots: maxSnapshots }),
      ...(snapshotInterval !== undefined && { snapshotInterval }),
    },
  };
}

function withBackupFlags(
  spec: ClusterSpec,
  { backupSchedule: schedule, backupFolder: folder, backupKeep: keep }: SpecFlags,
): ClusterSpec {
  if (schedule === undefined && folder === undefined && keep === undefined) return spec;
  const { backup = create(BackupConfigSchema), ...rest } = spec;
  if (schedule === "off") return rest;
  return {
    ...rest,
    backup: {
      ...backup,
      ...(schedule !== undefined && { schedule }),
      ...(folder !== undefined && { folder }),
      ...(keep !== undefined && { keep }),
    },
  };
}
