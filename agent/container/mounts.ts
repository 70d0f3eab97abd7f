/** The mounts of a container: the kernel's, the task's generated files, what the user asked for. In this order. Pure. */
import { posix } from "node:path";
import { Fault } from "#proto/fault.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { type Mount, MountPropagation, MountType } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseTmpfsOptions } from "#proto/volume-rules.ts";

export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** The files that are generated for each task, by their absolute paths on the host. */
export interface GeneratedFiles {
  readonly hosts: string;
  readonly hostname: string;
  readonly resolvConf: string;
}

/** What was found or made on the host for the container's own mounts. */
export interface MountPlaces {
  /** Of volumes, by the mounts' targets. */
  readonly volumes: ReadonlyMap<string, string>;
  /** Of secrets and configs, by their paths in the container. */
  readonly files: ReadonlyMap<string, string>;
}

const guarded = ["nosuid", "noexec", "nodev"];

/** Without `places` nothing is there yet: the wishes are checked all the same. */
export function planMounts(
  spec: ContainerSpec,
  files: GeneratedFiles,
  kernel: readonly OciMount[],
  places?: MountPlaces,
): OciMount[] {
  const targets = new Set<string>();
  for (const mount of spec.mounts) {
    const target = posix.resolve(mount.target);
    if (targets.has(target)) {
      throw new Fault("invalid-argument", `two mounts have the target "${target}"`);
    }
    targets.add(target);
  }
  const isFree = ({ destination }: OciMount) => !targets.has(destination);
  const wanted = [
    ...fileMounts(files, spec.readOnly).filter(isFree),
    ...spec.mounts.map((mount) => userMount(mount, places)),
    ...[...(places?.files ?? [])].map(([path, source]) => secretMount(path, source)),
  ];
  // What lies in another mount comes after that one.
  const depth = ({ destination }: OciMount) => destination.replace(/\/+$/, "").split("/").length;
  return [...kernel.filter(isFree), ...wanted.toSorted((a, b) => depth(a) - depth(b))];
}

function fileMounts(files: GeneratedFiles, readOnly: boolean): OciMount[] {
  const bind = (destination: string, source: string) => ({
    destination,
    type: "bind",
    source,
    options: ["bind", "rprivate", ...(readOnly ? ["ro"] : [])],
  });
  return [
    bind("/etc/hosts", files.hosts),
    bind("/etc/hostname", files.hostname),
    bind("/etc/resolv.conf", files.resolvConf),
  ];
}

function secretMount(destination: string, source: string): OciMount {
  return {
    destination,
    type: "bind",
    source,
    // Executable where its mode says so: many an image is started by a script that is a config.
    options: ["bind", "rprivate", "ro", "nosuid", "nodev"],
  };
}

function userMount(mount: Mount, places: MountPlaces | undefined): OciMount {
  if (!mount.target.startsWith("/")) {
    throw new Fault("invalid-argument", `mount target "${mount.target}" is not an absolute path`);
  }
  if (posix.resolve(mount.target) === "/") {
    throw new Fault("invalid-argument", `mount target "${mount.target}" is the container's root`);
  }
  if (mount.type === MountType.TMPFS) return tmpfsMount(mount);
  if (mount.type === MountType.BIND) return bindMount(mount);
  return {
    destination: mount.target,
    type: "bind",
    source: places?.volumes.get(mount.target) ?? "",
    options: ["rbind", "rprivate", mount.readOnly ? "ro" : "rw"],
  };
}

const propagations: Readonly<Record<MountPropagation, string>> = {
  [MountPropagation.RPRIVATE]: "rprivate",
  [MountPropagation.PRIVATE]: "private",
  [MountPropagation.RSHARED]: "rshared",
  [MountPropagation.SHARED]: "shared",
  [MountPropagation.RSLAVE]: "rslave",
  [MountPropagation.SLAVE]: "slave",
};

function bindMount(mount: Mount): OciMount {
  if (!mount.source.startsWith("/")) {
    throw new Fault("invalid-argument", `bind source "${mount.source}" is not an absolute path`);
  }
  const options = mount.bindOptions;
  // Enums of the wire are open: a newer manager may know more of them.
  const propagation = options?.propagation ?? MountPropagation.RPRIVATE;
  return {
    destination: mount.target,
    type: "bind",
    source: mount.source,
    options: [
      options?.nonRecursive === true ? "bind" : "rbind",
      propagations[propagation] ?? "rprivate",
      ...accessOf(mount),
    ],
  };
}

/** Whether what the container mounts shall appear on the host. */
export function sharesMounts({ mounts }: Pick<ContainerSpec, "mounts">): boolean {
  return mounts.some(({ bindOptions }) => isShared(bindOptions?.propagation));
}

export function isShared(propagation: MountPropagation | undefined): boolean {
  return propagation === MountPropagation.SHARED || propagation === MountPropagation.RSHARED;
}

/** Docker: what is mounted below a read-only bind is read-only, too, unless that is not wanted ("rro": Linux 5.12). */
function accessOf({ readOnly, bindOptions: options }: Mount): string[] {
  if (!readOnly) return ["rw"];
  const alone = options?.nonRecursive === true || options?.readOnlyNonRecursive === true;
  return alone ? ["ro"] : ["ro", "rro"];
}

function tmpfsMount(mount: Mount): OciMount {
  const { sizeBytes = 0n, mode = 0, options = "" } = mount.tmpfsOptions ?? {};
  return {
    destination: mount.target,
    type: "tmpfs",
    source: "tmpfs",
    options: [
      ...guarded,
      ...(mount.readOnly ? ["ro"] : []),
      ...(sizeBytes > 0n ? [`size=${sizeBytes}`] : []),
      // Without one the runtime gives it that of the folder which it covers (Docker).
      ...(mode === 0 ? [] : [`mode=${mode.toString(8)}`]),
      // Last: they undo what stands before them.
      ...parseTmpfsOptions(options),
    ],
  };
}
