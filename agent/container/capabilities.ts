/** Which Linux capabilities a container has: Docker's default set, less what is dropped, plus what is added. Pure. */
import { Fault } from "#proto/fault.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { capabilityNames, parseCapability } from "#proto/kernel-names.ts";

const defaults = [
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP",
  "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE",
]
  .join(" ")
  .split(" ");

type Wishes = Pick<ContainerSpec, "capabilityAdd" | "capabilityDrop" | "privileged">;

/**
 * Names in any case, with or without "CAP_"; "ALL" stands for all that this program has itself (`own`): nobody can give
 * more. As Docker: an addition beats a removal, and a privileged container has all.
 */
export function planCapabilities(spec: Wishes, own: readonly string[]): string[] {
  const added = spec.capabilityAdd.map(parseCapability);
  const dropped = spec.capabilityDrop.map(parseCapability);
  const named = added.filter((name) => name !== "ALL");
  const missing = named.find((name) => !own.includes(name));
  if (missing !== undefined) {
    throw new Fault(
      "failed-precondition",
      `capability_add ${missing}: swarmd on this host does not have it itself: leave it out, or start swarmd with it`,
    );
  }
  if (spec.privileged) return kernelNames(own);
  const base = added.includes("ALL") ? own : dropped.includes("ALL") ? [] : defaults;
  const kept = base.filter((name) => own.includes(name) && !dropped.includes(name));
  return kernelNames([...kept, ...named]);
}

/** Each once, in the kernel's order. */
function kernelNames(names: readonly string[]): string[] {
  return capabilityNames.filter((name) => names.includes(name)).map((name) => `CAP_${name}`);
}

/** From a mask such as CapEff of /proc/PID/status. */
export function capabilitiesOfMask(mask: bigint): string[] {
  return capabilityNames.filter((_, bit) => (mask & (1n << BigInt(bit))) !== 0n);
}
