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

const mib = 1024 * 1024;
const guarded = ["nosuid", "noexec", "nodev"];

export function planMounts(spec: ContainerSpec, files: GeneratedFiles): OciMount[] {
  const targets = new Set<string>();
  for (const { target } of spec.mounts) {
    if (targets.has(target)) {
      throw new Fault("invalid-argument", `two mounts have the target "${target}"`);
    }
    targets.add(target);
  }
  const own = [...kernelMounts(spec.shmSizeBytes), ...fileMounts(files)];
  const kept = own.filter(({ destination }) => !targets.has(destination));
  return [...kept, ...spec.mounts.map(userMount)];
}

/**
 * No cgroup mount on v1: it costs a tmpfs and one bind mount per controller, a tenth of the time of a start, for a view
 * that hardly any program reads there. On v2 it is one mount, and runtimes size their heaps by it.
 */
function kernelMounts(shmSizeBytes: bigint): OciMount[] {
  const shmKib = (shmSizeBytes > 0n ? shmSizeBytes : BigInt(64 * mib)) / 1024n;
  return [
    { destination: "/proc", type: "proc", source: "proc", options: guarded },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...guarded, "ro"] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: guarded },
    {
      destination: "/dev/shm",
      type: "tmpfs",
      source: "shm",
      options: [...guarded, "mode=1777", `size=${shmKib}k`],
    },
  ];
}

export const cgroupMount: OciMount = {
  destination: "/sys/fs/cgroup",
  type: "cgroup",
  source: "cgroup",
  options: [...guarded, "relatime", "ro"],
};

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
