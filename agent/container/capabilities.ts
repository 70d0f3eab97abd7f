/** Which Linux capabilities a container has: Docker's default set, less what is dropped, plus what is added. Pure. */
import { Fault } from "#proto/fault.ts";

/** The bits of CAP_* in their kernel order (linux/capability.h). */
const known = [
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE",
  "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO",
  "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME",
  "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG",
  "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE",
]
  .join(" ")
  .split(" ");

const defaults = [
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP",
  "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE",
]
  .join(" ")
  .split(" ");

export const capSysResource = known.indexOf("SYS_RESOURCE");

/** Names in any case, with or without "CAP_"; "ALL" stands for all. As Docker: an addition beats a removal. */
export function planCapabilities(add: readonly string[], drop: readonly string[]): string[] {
  const added = add.map(parseCapability);
  const dropped = drop.map(parseCapability);
  const base = added.includes("ALL") ? known : dropped.includes("ALL") ? [] : defaults;
  const kept = base.filter((name) => !dropped.includes(name));
  const wanted = new Set([...kept, ...added.filter((name) => name !== "ALL")]);
  return known.filter((name) => wanted.has(name)).map((name) => `CAP_${name}`);
}

function parseCapability(text: string): string {
  const name = text.toUpperCase().replace(/^CAP_/, "");
  if (name === "ALL" || known.includes(name)) return name;
  throw new Fault("invalid-argument", `unknown capability "${text}"`);
}
