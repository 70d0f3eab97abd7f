/** Which Linux capabilities a container has: Docker's default set, less what is dropped, plus what is added. Pure. */
import { capabilityNames, parseCapability } from "#proto/kernel-names.ts";

const defaults = [
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP",
  "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE",
]
  .join(" ")
  .split(" ");

export const capSysResource = capabilityNames.indexOf("SYS_RESOURCE");

/** Names in any case, with or without "CAP_"; "ALL" stands for all. As Docker: an addition beats a removal. */
export function planCapabilities(add: readonly string[], drop: readonly string[]): string[] {
  const added = add.map(parseCapability);
  const dropped = drop.map(parseCapability);
  const base = added.includes("ALL") ? capabilityNames : dropped.includes("ALL") ? [] : defaults;
  const kept = base.filter((name) => !dropped.includes(name));
  const wanted = new Set([...kept, ...added.filter((name) => name !== "ALL")]);
  return capabilityNames.filter((name) => wanted.has(name)).map((name) => `CAP_${name}`);
}
