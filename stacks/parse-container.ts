/** What a service of a stack file says of its containers and their host → the fields of its spec. */
import { create } from "@bufbuild/protobuf";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type DnsConfig,
  DnsConfigSchema,
  type Privileges,
  type ResourceRequirements,
  ResourceRequirementsSchema,
  ResourcesSchema,
  type Ulimit,
  UlimitSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import {
  checkCgroupParent,
  checkIpcMode,
  checkPidMode,
  checkUsernsMode,
} from "#proto/host-access.ts";
import { checkUlimit, parseCapability } from "#proto/kernel-names.ts";
import { parseNanoCpus, parseSizeBytes } from "#proto/size.ts";
import { parseSignal } from "#proto/stop-signal.ts";
import { durationFromMs, parseDurationMs } from "#proto/time.ts";
import { parseDevice, parseExtraHost, withSecurityOpt } from "./host-access-words.ts";
import { recordOf } from "./record-of.ts";
import type { ContainerEntry, ResourcesEntry, ServiceEntry } from "./compose/compose-file.ts";
import type { Path } from "./compose/node.ts";
import { at, type StackContext } from "./stack-context.ts";

/** Reads one key of an entry; what the parser refuses is named by its place in the file. */
class Reader {
  readonly #context: StackContext;
  readonly path: Path;

  constructor(context: StackContext, path: Path) {
    this.#context = context;
    this.path = path;
  }

  one<T, R>(key: string, value: T | undefined, parse: (value: T) => R): R | undefined {
    if (value === undefined) return undefined;
    return at(this.#context, [...this.path, key], () => parse(value));
  }

  each<T, R>(key: string, values: readonly T[] | undefined, parse: (value: T) => R): R[] {
    return (values ?? []).map((value, index) =>
      at(this.#context, [...this.path, key, String(index)], () => parse(value)),
    );
  }

  record(key: string, pairs: Parameters<typeof recordOf>[2]): Record<string, string> {
    return recordOf(this.#context, [...this.path, key], pairs);
  }
}

export function containerFields(
  context: StackContext,
  path: Path,
  entry: ContainerEntry,
): Partial<ContainerSpec> {
  const reader = new Reader(context, path);
  return { ...processFields(reader, entry), ...hostFields(reader, entry) };
}

function processFields(reader: Reader, entry: ContainerEntry): Partial<ContainerSpec> {
  const grace = reader.one("stop_grace_period", entry.stop_grace_period, (text) =>
    durationFromMs(parseDurationMs(text)),
  );
  return {
    dir: entry.working_dir ?? "",
    user: String(entry.user ?? ""),
    groups: (entry.group_add ?? []).map(String),
    ...(entry.init !== undefined && { init: entry.init }),
    tty: entry.tty ?? false,
    openStdin: entry.stdin_open ?? false,
    readOnly: entry.read_only ?? false,
    stopSignal: reader.one("stop_signal", entry.stop_signal, checkedBy(parseSignal)) ?? "",
    ...(grace !== undefined && { stopGracePeriod: grace }),
    oomScoreAdj: BigInt(entry.oom_score_adj ?? 0),
    hosts: extraHosts(reader, entry),
    ...dnsConfig(entry),
    ulimits: ulimits(reader, entry),
  };
}

function hostFields(reader: Reader, entry: ContainerEntry): Partial<ContainerSpec> {
  const opts = reader.each("security_opt", entry.security_opt, (text) => {
    // For the place of what is wrong with it.
    withSecurityOpt(undefined, text);
    return text;
  });
  const privileges = opts.reduce<Privileges | undefined>(withSecurityOpt, undefined);
  return {
    capabilityAdd: reader.each("cap_add", entry.cap_add, checkedBy(parseCapability)),
    capabilityDrop: reader.each("cap_drop", entry.cap_drop, checkedBy(parseCapability)),
    privileged: entry.privileged ?? false,
    devices: reader.each("devices", entry.devices, parseDevice),
    ...(privileges !== undefined && { privileges }),
    shmSizeBytes: reader.one("shm_size", entry.shm_size, sizeOf) ?? 0n,
    sysctls: reader.record("sysctls", entry.sysctls),
    pidMode: reader.one("pid", entry.pid, checkedBy(checkPidMode)) ?? "",
    ipcMode: reader.one("ipc", entry.ipc, checkedBy(checkIpcMode)) ?? "",
    usernsMode: reader.one("userns_mode", entry.userns_mode, checkedBy(checkUsernsMode)) ?? "",
    cgroupParent:
      reader.one("cgroup_parent", entry.cgroup_parent, checkedBy(checkCgroupParent)) ?? "",
  };
}

function checkedBy(check: (text: string) => unknown): (text: string) => string {
  return (text) => {
    check(text);
    return text;
  };
}

function sizeOf(value: string | number): bigint {
  return parseSizeBytes(String(value));
}

function extraHosts(reader: Reader, { extra_hosts: hosts = [] }: ContainerEntry): string[] {
  if (isList(hosts)) return reader.each("extra_hosts", hosts, parseExtraHost);
  return Object.entries(hosts).map(([name, address]) => `${address} ${name}`);
}

function dnsConfig(entry: ContainerEntry): { dnsConfig?: DnsConfig } {
  const { dns, dns_search: search, dns_opt: options = [] } = entry;
  if (dns === undefined && search === undefined && options.length === 0) return {};
  const value = { nameservers: listOf(dns), search: listOf(search), options: [...options] };
  return { dnsConfig: create(DnsConfigSchema, value) };
}

function listOf(value: string | readonly string[] = []): string[] {
  return typeof value === "string" ? [value] : [...value];
}

function ulimits(reader: Reader, { ulimits: limits = {} }: ContainerEntry): Ulimit[] {
  const inside = Object.entries(limits).map(([name, limit]) => {
    const { soft, hard } = typeof limit === "number" ? { soft: limit, hard: limit } : limit;
    return create(UlimitSchema, { name, soft: BigInt(soft), hard: BigInt(hard) });
  });
  for (const ulimit of inside) reader.one("ulimits", ulimit, checkUlimit);
  // Sorted, so that moving a line in the file changes nothing.
  return inside.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** `Array.isArray` does not narrow readonly arrays. */
function isList(hosts: NonNullable<ContainerEntry["extra_hosts"]>): hosts is readonly string[] {
  return Array.isArray(hosts);
}

type DeployResources = NonNullable<NonNullable<ServiceEntry["deploy"]>["resources"]>;

/** Undefined where the file says nothing of them. */
export function resourceRequirements(
  context: StackContext,
  path: Path,
  { limits, reservations }: DeployResources,
): ResourceRequirements | undefined {
  if (limits === undefined && reservations === undefined) return undefined;
  const amounts = (key: string, entry: ResourcesEntry) => {
    const reader = new Reader(context, [...path, key]);
    const nanoCpus = reader.one("cpus", entry.cpus, (value) => parseNanoCpus(String(value)));
    const memoryBytes = reader.one("memory", entry.memory, sizeOf);
    return create(ResourcesSchema, { nanoCpus: nanoCpus ?? 0n, memoryBytes: memoryBytes ?? 0n });
  };
  return create(ResourceRequirementsSchema, {
    ...(limits !== undefined && { limits: amounts("limits", limits) }),
    ...(reservations !== undefined && { reservations: amounts("reservations", reservations) }),
  });
}
