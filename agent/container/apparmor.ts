/**
 * The AppArmor profile of containers that ask for no other, as Docker's docker-default: what capabilities and read-only
 * mounts forbid already is forbidden once more, to root with all capabilities too. Loaded into the kernel when the first
 * container needs it; it stays there until the host is restarted, as any profile.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { Fault } from "#proto/fault.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { AppArmorMode } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Log } from "#proto/ports.ts";
import type { Exec } from "../exec.ts";

export const defaultProfileName = "swarm-default";

const loadedProfiles = "/sys/kernel/security/apparmor/profiles";
const abstractions = "/etc/apparmor.d/abstractions/base";
const tunables = "/etc/apparmor.d/tunables/global";

/** `has` says whether a file is there: what is included must be. */
export function profileText(has: (path: string) => boolean): string {
  const global = has(tunables) ? "#include <tunables/global>" : "@{PROC}=/proc/";
  const base = has(abstractions) ? "  #include <abstractions/base>\n" : "";
  return `${global}

profile ${defaultProfileName} flags=(attach_disconnected,mediate_deleted) {
${base}  network,
  capability,
  file,
  umount,
  signal (receive) peer=unconfined,
  # Where the host confines the runtimes themselves.
  signal (receive) peer=runc,
  signal (receive) peer=crun,
  signal (send,receive) peer=${defaultProfileName},
  ptrace (trace,read,tracedby,readby) peer=${defaultProfileName},

  deny mount,
  # Only what belongs to processes may be written below /proc.
  deny @{PROC}/* w,
  deny @{PROC}/[^1-9]*/** w,
  deny @{PROC}/{sysrq-trigger,kcore,mem,kmem} rwklx,
  # Only cgroups may be written below /sys.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/{firmware,kernel/security}/** rwklx,
}
`;
}

/** The profile for the container's process; undefined: none, as on hosts without AppArmor. */
export function apparmorOf(
  spec: Pick<ContainerSpec, "privileges" | "privileged">,
  host: { readonly apparmor: boolean; readonly defaultProfile: string | undefined },
): string | undefined {
  const { mode = AppArmorMode.DEFAULT, profile = "" } = spec.privileges?.apparmor ?? {};
  if (profile !== "") {
    if (host.apparmor) return profile;
    throw new Fault(
      "failed-precondition",
      `privileges.apparmor.profile "${profile}" cannot be applied: this host has no AppArmor`,
    );
  }
  if (!host.apparmor) return undefined;
  if (mode === AppArmorMode.DISABLED || spec.privileged) return "unconfined";
  return host.defaultProfile;
}

export interface ProfileModules {
  readonly exec: Exec;
  readonly log: Log;
}

/** Resolves with the profile's name; undefined where it cannot be loaded, which is said in the log. */
export async function loadDefaultProfile(modules: ProfileModules): Promise<string | undefined> {
  try {
    const loaded = existsSync(loadedProfiles) ? await readFile(loadedProfiles, "utf8") : "";
    if (isLoaded(loaded)) return defaultProfileName;
    await modules.exec.run("apparmor_parser", ["-K", "-r"], { input: profileText(existsSync) });
    return defaultProfileName;
  } catch (thrown) {
    const reason = Fault.from(thrown).message;
    modules.log.warn("containers run without an AppArmor profile: install the package apparmor", {
      reason,
    });
    return undefined;
  }
}

export function isLoaded(profiles: string): boolean {
  return profiles.split("\n").some((line) => line.startsWith(`${defaultProfileName} (`));
}
