/**
 * The settings of a cluster as its file has them: one table with how each is written, what it means for the cluster's spec,
 * and whether it is chosen for good when the cluster begins. Keys are those of the flags of `cluster init` and `cluster update`.
 */
import { create, equals } from "@bufbuild/protobuf";
import {
  BackupConfigSchema,
  CaConfigSchema,
  type ClusterSpec,
  ClusterSpecSchema,
  DispatcherConfigSchema,
  EncryptionConfigSchema,
  NetworkConfigSchema,
  OrchestrationConfigSchema,
  RaftConfigSchema,
  SchedulingConfigSchema,
  TaskDefaultsSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { SchedulingStrategy } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs, parseDurationMs } from "#proto/time.ts";
import type { BackupSettings } from "./cluster-file.ts";

/** What the file says, checked against the schemas below. */
export type ClusterOptions = Readonly<Record<string, unknown>>;

interface ClusterOption {
  readonly schema: object;
  /** The spec with this value. Throws a Fault where the schema could not see that it is wrong. */
  readonly apply: (spec: ClusterSpec, value: unknown) => ClusterSpec;
  /** Of a cluster that there is already: whether this is what it began with. Absent: the option can be changed. */
  readonly holds?: (spec: ClusterSpec, value: unknown) => boolean;
}

const flag = { type: "boolean", description: "true or false" };
const count = { type: "integer", minimum: 0, description: "a whole number of 0 or more" };
const duration = { type: "string", description: "a duration such as 90s or 12h" };

const options: Readonly<Record<string, ClusterOption>> = {
  "data-path-port": {
    schema: { type: "integer", minimum: 1, maximum: 65_535, description: "a port" },
    apply: (spec, value) => withNetwork(spec, { dataPathPort: Number(value) }),
    holds: ({ network }, value) => network?.dataPathPort === Number(value),
  },
  "default-address-pool": {
    schema: {
      type: ["string", "array"],
      items: { type: "string", description: "a network such as 10.0.0.0/8" },
      minItems: 1,
      description: "a network such as 10.0.0.0/8, or a list of them",
    },
    apply: (spec, value) => withNetwork(spec, { defaultAddressPools: textsOf(value) }),
    // The cluster adds a pool of each family that the file leaves out.
    holds: ({ network }, value) =>
      textsOf(value).every((pool) => network?.defaultAddressPools.includes(pool)),
  },
  "default-address-pool-mask-length": {
    schema: { type: "integer", minimum: 1, maximum: 32, description: "a number of bits" },
    apply: (spec, value) => withNetwork(spec, { subnetSize: Number(value) }),
    holds: ({ network }, value) => network?.subnetSize === Number(value),
  },
  encrypted: {
    schema: flag,
    apply: (spec, value) => withNetwork(spec, { encrypted: value === true }),
  },
  autolock: {
    schema: flag,
    apply: (spec, value) => withEncryption(spec, { autoLockManagers: value === true }),
  },
  "network-key-period": {
    schema: duration,
    apply: (spec, value) => withEncryption(spec, { networkKeyPeriod: durationOf(value) }),
  },
  "cert-expiry": {
    schema: duration,
    apply: (spec, value) => ({
      ...spec,
      ca: { ...(spec.ca ?? create(CaConfigSchema)), nodeCertExpiry: durationOf(value) },
    }),
  },
  "dispatcher-heartbeat": {
    schema: duration,
    apply: (spec, value) => ({
      ...spec,
      dispatcher: create(DispatcherConfigSchema, { heartbeatPeriod: durationOf(value) }),
    }),
  },
  "task-history-limit": {
    schema: { type: "integer", description: "a whole number" },
    apply: (spec, value) => ({
      ...spec,
      orchestration: create(OrchestrationConfigSchema, {
        taskHistoryRetentionLimit: BigInt(Number(value)),
      }),
    }),
  },
  "log-driver": {
    schema: { type: "string", minLength: 1, description: "the name of a log driver" },
    apply: (spec, value) => withLogDriver(spec, { name: String(value) }),
  },
  "log-opt": {
    schema: {
      type: "object",
      additionalProperties: { type: ["string", "number", "boolean"], description: "a text" },
      description: "a map of texts",
    },
    apply: (spec, value) => withLogDriver(spec, { options: textMap(value) }),
  },
  "scheduling-strategy": {
    schema: { enum: ["spread", "binpack"], description: "spread or binpack" },
    apply: (spec, value) => {
      const strategy = value === "binpack" ? SchedulingStrategy.BINPACK : SchedulingStrategy.SPREAD;
      return withScheduling(spec, { strategy });
    },
  },
  preemption: {
    schema: flag,
    apply: (spec, value) => withScheduling(spec, { preemption: value === true }),
  },
  "auto-rebalance": {
    schema: flag,
    apply: (spec, value) => withScheduling(spec, { autoRebalance: value === true }),
  },
  "max-snapshots": {
    schema: count,
    apply: (spec, value) => withRaft(spec, { keepOldSnapshots: BigInt(Number(value)) }),
  },
  "snapshot-interval": {
    schema: count,
    apply: (spec, value) => withRaft(spec, { snapshotInterval: BigInt(Number(value)) }),
  },
};

export const optionSchemas: Readonly<Record<string, object>> = Object.fromEntries(
  Object.entries(options).map(([key, { schema }]) => [key, schema]),
);

/** What the file says of the cluster as a whole. */
export interface ClusterSettings {
  readonly options: ClusterOptions;
  readonly backup?: BackupSettings;
}

/** The spec of a new cluster. */
export function specWith({ options, backup }: ClusterSettings): ClusterSpec {
  return withBackup(changed(create(ClusterSpecSchema), Object.entries(options)), backup);
}

export interface SettingChanges {
  /** Keys whose value the cluster shall get. */
  readonly changed: readonly string[];
  /** Keys whose value is another than the cluster began with, which nothing can change. */
  readonly refused: readonly string[];
  /** The spec with what is changed. */
  readonly spec: ClusterSpec;
}

/** What the file means for a cluster that there is. What the file leaves out stays as it is. */
export function settingChanges(given: ClusterSettings, spec: ClusterSpec): SettingChanges {
  const different = Object.entries(given.options).filter(([key, value]) => {
    const { holds, apply } = options[key] ?? {};
    if (holds !== undefined) return !holds(spec, value);
    return apply !== undefined && !isSame(apply(spec, value), spec);
  });
  const isFixed = ([key]: readonly [string, unknown]) => options[key]?.holds !== undefined;
  const open = different.filter((entry) => !isFixed(entry));
  const backedUp = withBackup(spec, given.backup);
  return {
    changed: [...open.map(([key]) => key), ...(isSame(backedUp, spec) ? [] : ["backup"])],
    refused: different.filter(isFixed).map(([key]) => key),
    spec: changed(backedUp, open),
  };
}

function isSame(a: ClusterSpec, b: ClusterSpec): boolean {
  return equals(ClusterSpecSchema, a, b);
}

function withBackup(spec: ClusterSpec, backup: BackupSettings | undefined): ClusterSpec {
  if (backup === undefined) return spec;
  const { schedule = "", folder = "", keep = 0 } = spec.backup ?? {};
  return { ...spec, backup: create(BackupConfigSchema, { schedule, folder, keep, ...backup }) };
}

function changed(spec: ClusterSpec, entries: readonly (readonly [string, unknown])[]): ClusterSpec {
  return entries.reduce((done, [key, value]) => options[key]?.apply(done, value) ?? done, spec);
}

type Part<K extends keyof ClusterSpec> = Partial<NonNullable<ClusterSpec[K]>>;

function withNetwork(spec: ClusterSpec, part: Part<"network">): ClusterSpec {
  return { ...spec, network: { ...(spec.network ?? create(NetworkConfigSchema)), ...part } };
}

function withEncryption(spec: ClusterSpec, part: Part<"encryption">): ClusterSpec {
  const before = spec.encryption ?? create(EncryptionConfigSchema);
  return { ...spec, encryption: { ...before, ...part } };
}

function withScheduling(spec: ClusterSpec, part: Part<"scheduling">): ClusterSpec {
  const before = spec.scheduling ?? create(SchedulingConfigSchema);
  return { ...spec, scheduling: { ...before, ...part } };
}

function withRaft(spec: ClusterSpec, part: Part<"raft">): ClusterSpec {
  return { ...spec, raft: { ...(spec.raft ?? create(RaftConfigSchema)), ...part } };
}

function withLogDriver(
  spec: ClusterSpec,
  part: { readonly name?: string; readonly options?: Record<string, string> },
): ClusterSpec {
  const { name = "", options = {} } = spec.taskDefaults?.logDriver ?? {};
  const logDriver = { name, options, ...part };
  return { ...spec, taskDefaults: create(TaskDefaultsSchema, { logDriver }) };
}

function durationOf(value: unknown) {
  return durationFromMs(parseDurationMs(String(value)));
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [String(value)];
}

function textMap(value: unknown): Record<string, string> {
  return Object.fromEntries(Object.entries(Object(value)).map(([key, one]) => [key, String(one)]));
}
