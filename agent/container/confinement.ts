/** What a container's process must not do, by Docker's defaults: capabilities, filters, labels, hidden files. Pure. */
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { apparmorOf } from "./apparmor.ts";
import { planCapabilities } from "./capabilities.ts";
import type { HostSecurity } from "./host-security.ts";
import { type OciSeccomp, seccompOf } from "./seccomp.ts";
import { planSelinux } from "./selinux.ts";

export interface Confinement {
  readonly process: {
    readonly capabilities: Readonly<Record<string, readonly string[]>>;
    readonly noNewPrivileges: boolean;
    readonly apparmorProfile?: string;
    readonly selinuxLabel?: string;
  };
  readonly linux: {
    readonly seccomp?: OciSeccomp;
    readonly mountLabel?: string;
    readonly maskedPaths: readonly string[];
    readonly readonlyPaths: readonly string[];
  };
}

export interface ConfinementFacts {
  readonly security: HostSecurity;
  /** Those of swarmd. */
  readonly capabilities: readonly string[];
  /** AppArmor's profile for containers that name none, where it is loaded. */
  readonly apparmorProfile: string | undefined;
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

export function planConfinement(
  spec: ContainerSpec,
  uid: number,
  facts: ConfinementFacts,
): Confinement {
  const { security } = facts;
  const names = planCapabilities(spec, facts.capabilities);
  const seccomp = seccompOf(spec, names, security);
  const apparmorProfile = apparmorOf(spec, {
    apparmor: security.apparmor,
    defaultProfile: facts.apparmorProfile,
  });
  const labels = planSelinux(spec.privileges?.selinuxContext, security.selinux);
  return {
    process: {
      // Not inheritable: CVE-2022-24769. Who is not root loses them at the first execve, and must not find that with them.
      capabilities: {
        bounding: names,
        ...(uid === 0 && { effective: names, permitted: names }),
      },
      noNewPrivileges: spec.privileges?.noNewPrivileges ?? false,
      ...(apparmorProfile !== undefined && { apparmorProfile }),
      ...(labels !== undefined && { selinuxLabel: labels.process }),
    },
    linux: {
      ...(seccomp !== undefined && { seccomp }),
      ...(labels !== undefined && { mountLabel: labels.mount }),
      maskedPaths: spec.privileged ? [] : [...maskedPaths, ...security.thermalPaths],
      readonlyPaths: spec.privileged ? [] : readonlyPaths,
    },
  };
}
