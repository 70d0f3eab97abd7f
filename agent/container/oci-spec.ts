/**
 * The OCI runtime specification (config.json, runtime-spec 1.0.2) of a task's container: the task's wishes over the
 * image's over Docker's defaults, of which one is missing: its seccomp profile is not applied yet (docs/decisions.md).
 * Pure; whatever it would need from the disk is handed in. A field that is not done yet never comes this far (see
 * refusals.ts).
 */
import { Fault } from "#proto/fault.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { ResourceRequirements, Ulimit } from "#proto/gen/swarm/v1/types_pb.ts";
import { checkUlimit } from "#proto/kernel-names.ts";
import { planCapabilities } from "./capabilities.ts";
import type { HostLimits } from "./host-limits.ts";
import { kernelMounts } from "./kernel-mounts.ts";
import { type OciMount, planMounts, type GeneratedFiles } from "./mounts.ts";
import { supportedContainer } from "./refusals.ts";
import { type Accounts, resolveUser, type User } from "./user.ts";

/** What the container takes from its image. */
export interface ImageDefaults {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly user: string;
}

export interface SpecInput {
  readonly task: Task;
  readonly image: ImageDefaults;
  readonly accounts: Accounts;
  readonly files: GeneratedFiles;
  readonly rootfs: string;
  readonly networkNamespace: string;
  readonly cgroupParent: string;
  readonly cgroupVersion: 1 | 2;
  readonly limits: HostLimits;
}

export interface OciSpec {
  readonly ociVersion: "1.0.2";
  readonly hostname: string;
  readonly process: OciProcess;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly mounts: readonly OciMount[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: OciLinux;
}

interface OciProcess {
  readonly terminal: false;
  readonly user: User;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly capabilities: Readonly<Record<string, readonly string[]>>;
  readonly rlimits: readonly OciRlimit[];
  readonly noNewPrivileges: boolean;
  readonly oomScoreAdj?: number;
}

interface OciRlimit {
  readonly type: string;
  readonly soft: number;
  readonly hard: number;
}

interface OciLinux {
  readonly cgroupsPath: string;
  readonly namespaces: readonly { readonly type: string; readonly path?: string }[];
  readonly resources: Readonly<Record<string, unknown>>;
  readonly sysctl: Readonly<Record<string, string>>;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
}

const maskedPaths = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];

const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const pathDefault = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export function planOciSpec(input: SpecInput): OciSpec {
  const { task, image, limits } = input;
  const spec = supportedContainer(task);
  const hostname = hostnameOf(task);
  const mounts = planMounts(spec, input.files, kernelMounts(spec, input.cgroupVersion));
  return {
    ociVersion: "1.0.2",
    hostname,
    process: {
      terminal: false,
      user: resolveUser(spec.user || image.user, spec.groups, input.accounts),
      args: planArgs(spec, image),
      env: planEnv(hostname, image.env, spec.env),
      cwd: planCwd(spec, image),
      capabilities: planCapabilitySets(spec),
      rlimits: spec.ulimits.map((ulimit) => planRlimit(ulimit, limits)),
      noNewPrivileges: spec.privileges?.noNewPrivileges ?? false,
      ...planOomScoreAdj(spec, limits),
    },
    root: { path: input.rootfs, readonly: spec.readOnly },
    mounts,
    annotations: {},
    linux: {
      cgroupsPath: `/${input.cgroupParent}/${task.id}`,
      namespaces: [
        { type: "pid" },
        { type: "mount" },
        { type: "ipc" },
        { type: "uts" },
        ...(input.cgroupVersion === 2 ? [{ type: "cgroup" }] : []),
        { type: "network", path: input.networkNamespace },
      ],
      resources: planResources(spec, task.spec?.resources, limits),
      sysctl: spec.sysctls,
      maskedPaths,
      readonlyPaths,
    },
  };
}

export function hostnameOf(task: Task): string {
  const wanted = task.spec?.runtime.case === "container" ? task.spec.runtime.value.hostname : "";
  return wanted === "" ? task.id.slice(0, 12) : wanted;
}

/** As Docker: a command replaces the entrypoint and takes the image's arguments with it. */
export function planArgs(
  spec: Pick<ContainerSpec, "command" | "args">,
  image: Pick<ImageDefaults, "entrypoint" | "cmd">,
): readonly string[] {
  const replaced = spec.command.length > 0;
  const head = replaced ? spec.command : image.entrypoint;
  const tail = spec.args.length > 0 || replaced ? spec.args : image.cmd;
  const args = [...head, ...tail];
  if (args.length > 0) return args;
  throw new Fault(
    "failed-precondition",
    "no command specified: neither the service nor its image names one",
  );
}

/** Later ones win; a name without "=" takes the variable away (Docker). */
export function planEnv(
  hostname: string,
  image: readonly string[],
  wanted: readonly string[],
): string[] {
  const variables = new Map<string, string>();
  for (const variable of [pathDefault, `HOSTNAME=${hostname}`, ...image, ...wanted]) {
    const [name = ""] = variable.split("=", 1);
    if (variable.includes("=")) variables.set(name, variable);
    else variables.delete(name);
  }
  return [...variables.values()];
}

function planCwd(spec: ContainerSpec, image: ImageDefaults): string {
  const cwd = spec.dir || image.workingDir || "/";
  if (cwd.startsWith("/")) return cwd;
  throw new Fault("invalid-argument", `working directory "${cwd}" is not an absolute path`);
}

function planCapabilitySets(spec: ContainerSpec): Record<string, readonly string[]> {
  const names = planCapabilities(spec.capabilityAdd, spec.capabilityDrop);
  // Not inheritable: CVE-2022-24769.
  return { bounding: names, effective: names, permitted: names };
}

function planRlimit(ulimit: Ulimit, limits: HostLimits): OciRlimit {
  checkUlimit(ulimit);
  const hard = Number(ulimit.hard);
  const soft = Number(ulimit.soft);
  const ours = limits.hardLimits[ulimit.name] ?? Infinity;
  // -1 is "unlimited".
  if ((hard < 0 ? Infinity : hard) > ours && !limits.canRaise) {
    throw new Fault(
      "failed-precondition",
      `ulimit ${ulimit.name}=${hard} is over this host's hard limit of ${ours}: ask for less`,
    );
  }
  return { type: `RLIMIT_${ulimit.name.toUpperCase()}`, soft, hard };
}

function planOomScoreAdj(spec: ContainerSpec, limits: HostLimits): { oomScoreAdj?: number } {
  const wanted = Number(spec.oomScoreAdj);
  if (wanted >= limits.oomScoreAdj || limits.canRaise) return { oomScoreAdj: wanted };
  if (wanted === 0) return {};
  throw new Fault(
    "failed-precondition",
    `oom_score_adj ${wanted} is below this host's own of ${limits.oomScoreAdj}: ask for more`,
  );
}

/** The kernel's usual period, in µs. */
const cpuPeriodUs = 100_000;

function planResources(
  spec: ContainerSpec,
  wanted: ResourceRequirements | undefined,
  limits: HostLimits,
): Record<string, unknown> {
  const nanoCpus = Number(wanted?.limits?.nanoCpus ?? 0n);
  const quotaUs = Math.round((nanoCpus * cpuPeriodUs) / 1e9);
  return {
    // runc adds /dev/null and its like.
    devices: [{ allow: false, access: "rwm" }],
    ...(nanoCpus > 0 ? { cpu: { quota: quotaUs, period: cpuPeriodUs } } : {}),
    ...(spec.pidsLimit > 0n ? { pids: { limit: Number(spec.pidsLimit) } } : {}),
    ...planMemory(wanted, limits),
  };
}

function planMemory(
  wanted: ResourceRequirements | undefined,
  limits: HostLimits,
): { memory?: Record<string, number> } {
  const limit = Number(wanted?.limits?.memoryBytes ?? 0n);
  const swappiness = wanted?.memorySwappiness;
  if (wanted?.swapBytes !== undefined && !limits.swapLimit) {
    throw unable("swap_bytes", "does not account for swap");
  }
  if (swappiness !== undefined && !limits.swappiness) {
    throw unable("memory_swappiness", "has it for the whole host only, as cgroups v2 have it");
  }
  const memory = {
    ...(limit > 0 ? { limit } : {}),
    ...(limit > 0 && limits.swapLimit ? { swap: planSwap(limit, wanted?.swapBytes) } : {}),
    ...(swappiness === undefined ? {} : { swappiness: Number(swappiness) }),
  };
  return Object.keys(memory).length === 0 ? {} : { memory };
}

function unable(field: string, why: string): Fault {
  return new Fault("failed-precondition", `${field} has no effect here: this host's kernel ${why}`);
}

/** OCI's "swap" is memory and swap together. */
function planSwap(limitBytes: number, wantedBytes: bigint | undefined): number {
  if (wantedBytes === undefined) return limitBytes * 2;
  return wantedBytes < 0n ? -1 : limitBytes + Number(wantedBytes);
}
