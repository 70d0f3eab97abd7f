/** The file systems of the kernel that every container has (/proc, /dev, /sys, …), by Docker's options. Pure. */
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { OciMount } from "./mounts.ts";

type Wishes = Pick<ContainerSpec, "privileged" | "ipcMode" | "shmSizeBytes">;

const guarded = ["nosuid", "noexec", "nodev"];

/** Docker's size of /dev/shm. */
const shmBytesDefault = 64n * 1024n * 1024n;

export function kernelMounts(spec: Wishes, cgroupVersion: 1 | 2): OciMount[] {
  // Docker: a privileged container may write to the kernel's settings.
  const access = spec.privileged ? "rw" : "ro";
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
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...guarded, access] },
    ...ipcMounts(spec),
    ...(cgroupVersion === 2 ? [cgroupMount(access)] : []),
  ];
}

/** What shares the host's IPC namespace sees its message queues anyway, and shares its /dev/shm, too. */
function ipcMounts({ ipcMode, shmSizeBytes }: Wishes): OciMount[] {
  const mqueue = { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: guarded };
  if (ipcMode === "host") return [mqueue, hostShm];
  if (ipcMode === "none") return [mqueue];
  const shmKib = (shmSizeBytes > 0n ? shmSizeBytes : shmBytesDefault) / 1024n;
  const shm = {
    destination: "/dev/shm",
    type: "tmpfs",
    source: "shm",
    options: [...guarded, "mode=1777", `size=${shmKib}k`],
  };
  return [mqueue, shm];
}

const hostShm: OciMount = {
  destination: "/dev/shm",
  type: "bind",
  source: "/dev/shm",
  options: ["rbind", "rprivate"],
};

/**
 * None on v1: it costs a tmpfs and one bind mount per controller, a tenth of the time of a start, for a view that hardly
 * any program reads there. On v2 it is one mount, and runtimes size their heaps by it.
 */
function cgroupMount(access: "ro" | "rw"): OciMount {
  return {
    destination: "/sys/fs/cgroup",
    type: "cgroup",
    source: "cgroup",
    options: [...guarded, "relatime", access],
  };
}
