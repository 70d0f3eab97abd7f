/**
 * What the Linux kernel calls the things that a container spec names: capabilities, resource limits, sysctls. Managers
 * refuse other names before a task is made; agents turn these into the kernel's. Pure.
 */
import { Fault } from "./fault.ts";

/** Capabilities without "CAP_", each at the place of its bit (linux/capability.h). */
export const capabilityNames: readonly string[] = [
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE",
  "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO",
  "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME",
  "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG",
  "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE",
]
  .join(" ")
  .split(" ");

/** In any case, with or without "CAP_"; "ALL" stands for all. */
export function parseCapability(text: string): string {
  const name = text.toUpperCase().replace(/^CAP_/, "");
  if (name === "ALL" || capabilityNames.includes(name)) return name;
  throw new Fault("invalid-argument", `unknown capability "${text}"`);
}

/** The rows of /proc/PID/limits (proc(5)) by what `ulimit` and Docker call them. */
export const limitRows = {
  "Max cpu time": "cpu",
  "Max file size": "fsize",
  "Max data size": "data",
  "Max stack size": "stack",
  "Max core file size": "core",
  "Max resident set": "rss",
  "Max processes": "nproc",
  "Max open files": "nofile",
  "Max locked memory": "memlock",
  "Max address space": "as",
  "Max file locks": "locks",
  "Max pending signals": "sigpending",
  "Max msgqueue size": "msgqueue",
  "Max nice priority": "nice",
  "Max realtime priority": "rtprio",
  "Max realtime timeout": "rttime",
} as const;

/** A limit that a container can have, checked; -1 is "unlimited". */
export function checkUlimit(ulimit: { name: string; soft: bigint; hard: bigint }): void {
  const { name, soft, hard } = ulimit;
  const names: readonly string[] = Object.values(limitRows);
  if (!names.includes(name)) throw new Fault("invalid-argument", `unknown ulimit "${name}"`);
  if (soft < -1n || hard < -1n) {
    throw new Fault("invalid-argument", `ulimit ${name} is negative: use -1 for no limit`);
  }
  if (hard >= 0n && (soft < 0n || soft > hard)) {
    throw new Fault("invalid-argument", `ulimit ${name}: soft ${soft} is over hard ${hard}`);
  }
}

/** What runc knows to belong to the container's IPC and network namespaces; all else would change the host. */
const namespacedSysctl =
  /^(?:net\.[\w./-]+|fs\.mqueue\.\w+|kernel\.(?:domainname|msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced))$/;

export function isNamespacedSysctl(name: string): boolean {
  return namespacedSysctl.test(name);
}
