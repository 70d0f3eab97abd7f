/** The mounts of a container: Docker's defaults, the task's generated files, what the user asked for. In this order. Pure. */
import { Fault } from "#proto/fault.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { type Mount, MountType } from "#proto/gen/swarm/v1/types_pb.ts";

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

const guarded = ["nosuid", "noexec", "nodev"];

export function planMounts(
  spec: ContainerSpec,
  files: GeneratedFiles,
  kernel: readonly OciMount[],
): OciMount[] {
  const targets = new Set<string>();
  for (const { target } of spec.mounts) {
    if (targets.has(target)) {
      throw new Fault("invalid-argument", `two mounts have the target "${target}"`);
    }
    targets.add(target);
  }
  const own = [...kernel, ...fileMounts(files)];
  const kept = own.filter(({ destination }) => !targets.has(destination));
  return [...kept, ...spec.mounts.map(userMount)];
}

function fileMounts(files: GeneratedFiles): OciMount[] {
  const bind = (destination: string, source: string) => ({
    destination,
    type: "bind",
    source,
    options: ["bind", "rprivate"],
  });
  return [
    bind("/etc/hosts", files.hosts),
    bind("/etc/hostname", files.hostname),
    bind("/etc/resolv.conf", files.resolvConf),
  ];
}

function userMount(mount: Mount): OciMount {
  if (!mount.target.startsWith("/")) {
    throw new Fault("invalid-argument", `mount target "${mount.target}" is not an absolute path`);
  }
  return mount.type === MountType.TMPFS ? tmpfsMount(mount) : bindMount(mount);
}

function bindMount(mount: Mount): OciMount {
  if (!mount.source.startsWith("/")) {
    throw new Fault("invalid-argument", `bind source "${mount.source}" is not an absolute path`);
  }
  const bind = mount.bindOptions?.nonRecursive === true ? "bind" : "rbind";
  return {
    destination: mount.target,
    type: "bind",
    source: mount.source,
    options: [bind, "rprivate", mount.readOnly ? "ro" : "rw"],
  };
}

function tmpfsMount(mount: Mount): OciMount {
  const { sizeBytes = 0n, mode = 0 } = mount.tmpfsOptions ?? {};
  return {
    destination: mount.target,
    type: "tmpfs",
    source: "tmpfs",
    options: [
      ...guarded,
      ...(mount.readOnly ? ["ro"] : []),
      ...(sizeBytes > 0n ? [`size=${sizeBytes}`] : []),
      `mode=${(mode === 0 ? 0o1777 : mode).toString(8)}`,
    ],
  };
}
