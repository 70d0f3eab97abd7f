/**
 * The OCI runtime specification (config.json, runtime-spec 1.0.2) of a task's container: the task's wishes over the
 * image's over Docker's defaults. Pure; whatever it would need from the disk is handed in. docs/container-spec.md has
 * the table of what becomes what. A field that is not done yet never comes this far (see refusals.ts).
 */
import { Fault } from "#proto/fault.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { type Confinement, planConfinement } from "./confinement.ts";
import type { HostFacts } from "./container-host.ts";
import { type OciDevice, planDeviceRules, planDevices } from "./devices.ts";
import { mergeEnv } from "./environment.ts";
import { initMount, withInit } from "./init-process.ts";
import { kernelMounts } from "./kernel-mounts.ts";
import {
  type GeneratedFiles,
  type MountPlaces,
  type OciMount,
  planMounts,
  sharesMounts,
} from "./mounts.ts";
import { type OciNamespace, planCgroupsPath, planNamespaces } from "./namespaces.ts";
import { supportedContainer } from "./refusals.ts";
import { type OciRlimit, planOomScoreAdj, planResources, planRlimit } from "./resources.ts";
import { type Accounts, resolveUser, type User } from "./user.ts";
import { containerOf } from "./container-of.ts";

/** What the container takes from its image. */
export interface ImageDefaults {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  /** Places that get a volume where the service mounts nothing. */
  readonly volumes?: readonly string[];
  readonly user: string;
}

export interface SpecInput {
  readonly task: Task;
  readonly image: ImageDefaults;
  readonly accounts: Accounts;
  readonly files: GeneratedFiles;
  /** Absent where only the wishes are checked. */
  readonly places?: MountPlaces;
  readonly rootfs: string;
  /** Undefined: the host's. */
  readonly networkNamespace: string | undefined;
  readonly cgroupParent: string;
  readonly host: HostFacts;
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

type OciProcess = Confinement["process"] & {
  readonly terminal: boolean;
  readonly user: User;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly rlimits: readonly OciRlimit[];
  readonly oomScoreAdj?: number;
};

type OciLinux = Confinement["linux"] & {
  readonly rootfsPropagation?: "shared";
  readonly cgroupsPath: string;
  readonly namespaces: readonly OciNamespace[];
  readonly devices: readonly OciDevice[];
  readonly resources: Readonly<Record<string, unknown>>;
  readonly sysctl: Readonly<Record<string, string>>;
};

const pathDefault = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Docker's, of the container's own network namespace: any of its users may listen at any port, and send ICMP echoes. */
const networkSysctls: Readonly<Record<string, string>> = {
  "net.ipv4.ip_unprivileged_port_start": "0",
  "net.ipv4.ping_group_range": "0 2147483647",
};

export function planOciSpec(input: SpecInput): OciSpec {
  const { task, image, host } = input;
  const { limits, devices, initProgram } = host;
  const spec = supportedContainer(task);
  const hostname = hostnameOf(task);
  const kernel = kernelMounts(spec, host.cgroupVersion);
  const user = resolveUser(spec.user || image.user, spec.groups, input.accounts);
  const facts = { ...host, capabilities: limits.capabilities };
  const confinement = planConfinement(spec, user.uid, facts);
  const args = planArgs(spec, image);
  return {
    ociVersion: "1.0.2",
    hostname,
    process: {
      terminal: spec.tty,
      user,
      args: initProgram === undefined ? args : withInit(args, spec.pidMode),
      env: planEnv(hostname, [...(spec.tty ? ["TERM=xterm"] : []), ...image.env], spec.env),
      cwd: planCwd(spec, image),
      rlimits: spec.ulimits.map((ulimit) => planRlimit(ulimit, limits)),
      ...planOomScoreAdj(spec, limits),
      ...confinement.process,
    },
    root: { path: input.rootfs, readonly: spec.readOnly },
    mounts: [
      ...planMounts(spec, input.files, kernel, input.places),
      ...(initProgram === undefined ? [] : [initMount(initProgram)]),
    ],
    annotations: {},
    linux: {
      ...(sharesMounts(spec) && { rootfsPropagation: "shared" as const }),
      cgroupsPath: planCgroupsPath(spec, input.cgroupParent, task.id),
      namespaces: planNamespaces(spec, { ...input, ...host }),
      devices: planDevices(devices),
      resources: {
        devices: planDeviceRules(devices, spec.privileged),
        ...planResources(spec, task.spec?.resources, limits),
      },
      // The host's are its own.
      sysctl: { ...(input.networkNamespace !== undefined && networkSysctls), ...spec.sysctls },
      ...confinement.linux,
    },
  };
}

export function hostnameOf(task: Task): string {
  const wanted = containerOf(task)?.hostname ?? "";
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

/** The task's wishes over the image's, over what every container has. */
export function planEnv(
  hostname: string,
  image: readonly string[],
  wanted: readonly string[],
): string[] {
  return mergeEnv([pathDefault, `HOSTNAME=${hostname}`, ...image, ...wanted]);
}

function planCwd(spec: ContainerSpec, image: ImageDefaults): string {
  const cwd = spec.dir || image.workingDir || "/";
  if (cwd.startsWith("/")) return cwd;
  throw new Fault("invalid-argument", `working directory "${cwd}" is not an absolute path`);
}
