/** What a service of a stack file says of its containers and their host → the container part of its spec. */
import { create } from "@bufbuild/protobuf";
import { type ContainerSpec, ContainerSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type DnsConfig,
  DnsConfigSchema,
  type Privileges,
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
import { parseSizeBytes } from "#proto/size.ts";
import { parseSignal } from "#proto/stop-signal.ts";
import type { ServiceEntry } from "../compose/compose-file.ts";
import { parseDevice, parseExtraHost, withSecurityOpt } from "../host-access-words.ts";
import { namespaceLabel } from "../stack.ts";
import { parseNotNegative } from "./duration.ts";
import { fileReferences } from "./files.ts";
import { healthcheck } from "./healthcheck.ts";
import { mounts } from "./mounts.ts";
import { checkedBy, type Reader } from "./reader.ts";
import { pidsLimit } from "./resources.ts";

/** `reader`: of the service. */
export function containerSpec(reader: Reader, entry: ServiceEntry): ContainerSpec {
  if (entry.image === undefined) throw reader.fault("has no image");
  if (entry.annotations !== undefined) {
    throw reader.under("annotations").fault("is not supported: use labels");
  }
  if (entry.isolation !== undefined && entry.isolation !== "default") {
    throw reader.under("isolation").fault(`is "${entry.isolation}": Linux has none but default`);
  }
  checkPullPolicy(reader, entry);
  return {
    ...create(ContainerSpecSchema, { image: entry.image }),
    labels: { ...entry.labels, [namespaceLabel]: reader.context.name },
    ...processFields(reader, entry),
    ...hostFields(reader, entry),
    ...fileReferences(reader, entry),
    mounts: mounts(reader, entry),
    pidsLimit: pidsLimit(reader, entry),
    ...(entry.healthcheck !== undefined && {
      healthcheck: healthcheck(reader.under("healthcheck"), entry.healthcheck),
    }),
  };
}

/** Nodes take what they have of an image with a digest, which the managers have asked the registry for. */
function checkPullPolicy(reader: Reader, { pull_policy: policy }: ServiceEntry): void {
  if (policy === undefined || ["missing", "if_not_present", "always"].includes(policy)) return;
  throw reader
    .under("pull_policy")
    .fault(`is "${policy}": nodes pull what they do not have; leave it out`);
}

function processFields(reader: Reader, entry: ServiceEntry): Partial<ContainerSpec> {
  const grace = reader.one("stop_grace_period", entry.stop_grace_period, parseNotNegative);
  const delay = reader.one("x-stop-delay", entry["x-stop-delay"], parseNotNegative);
  return {
    command: [...(entry.entrypoint ?? [])],
    args: [...(entry.command ?? [])],
    env: environment(entry),
    hostname: entry.hostname ?? "",
    dir: entry.working_dir ?? "",
    user: entry.user ?? "",
    groups: [...(entry.group_add ?? [])],
    ...(entry.init !== undefined && { init: entry.init }),
    tty: entry.tty ?? false,
    openStdin: entry.stdin_open ?? false,
    readOnly: entry.read_only ?? false,
    stopSignal: reader.one("stop_signal", entry.stop_signal, checkedBy(parseSignal)) ?? "",
    ...(grace !== undefined && { stopGracePeriod: grace }),
    ...(delay !== undefined && { stopDelay: delay }),
    oomScoreAdj: BigInt(entry.oom_score_adj ?? 0),
    hosts: reader.each("extra_hosts", entry.extra_hosts, parseExtraHost),
    ...dnsConfig(entry),
    ulimits: ulimits(reader, entry),
  };
}

/** Sorted, so that moving a line in the file changes nothing. One without a value is not set, as on the shell's side. */
function environment({ environment: variables = {} }: ServiceEntry): string[] {
  return Object.entries(variables)
    .flatMap(([name, value]) => (value === null ? [] : [`${name}=${value}`]))
    .toSorted();
}

function hostFields(reader: Reader, entry: ServiceEntry): Partial<ContainerSpec> {
  const opts = reader.each("security_opt", entry.security_opt, (text) => {
    // For the place of what is wrong with it.
    withSecurityOpt(undefined, text);
    return text;
  });
  const privileges = opts.reduce<Privileges | undefined>(withSecurityOpt, undefined);
  const checked = (
    key: "ipc" | "userns_mode" | "cgroup_parent",
    check: (text: string) => unknown,
  ) => reader.one(key, entry[key], checkedBy(check)) ?? "";
  return {
    capabilityAdd: reader.each("cap_add", entry.cap_add, checkedBy(parseCapability)),
    capabilityDrop: reader.each("cap_drop", entry.cap_drop, checkedBy(parseCapability)),
    privileged: entry.privileged ?? false,
    devices: reader.each("devices", entry.devices, parseDevice),
    ...(privileges !== undefined && { privileges }),
    shmSizeBytes: reader.one("shm_size", entry.shm_size, parseSizeBytes) ?? 0n,
    sysctls: { ...entry.sysctls },
    pidMode: reader.one("pid", entry.pid ?? undefined, checkedBy(checkPidMode)) ?? "",
    ipcMode: checked("ipc", checkIpcMode),
    usernsMode: checked("userns_mode", checkUsernsMode),
    cgroupParent: checked("cgroup_parent", checkCgroupParent),
  };
}

function dnsConfig(entry: ServiceEntry): { dnsConfig?: DnsConfig } {
  const { dns = [], dns_search: search = [], dns_opt: options = [] } = entry;
  if (dns.length + search.length + options.length === 0) return {};
  const value = { nameservers: [...dns], search: [...search], options: [...options] };
  return { dnsConfig: create(DnsConfigSchema, value) };
}

/** Sorted, so that moving a line in the file changes nothing. */
function ulimits(reader: Reader, { ulimits: limits = {} }: ServiceEntry): Ulimit[] {
  return Object.entries(limits)
    .map(([name, limit]) => {
      const { soft, hard } = typeof limit === "number" ? { soft: limit, hard: limit } : limit;
      const ulimit = create(UlimitSchema, { name, soft: BigInt(soft), hard: BigInt(hard) });
      reader.under("ulimits", name).parsed(() => checkUlimit(ulimit));
      return ulimit;
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
