/** What a container may be allowed or denied on its host. Whether a host can do it, its tasks tell. Pure. */
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  AppArmorMode,
  type AppArmorOptions,
  Isolation,
  type Privileges,
  SeccompMode,
  type SeccompOptions,
  type SelinuxContext,
} from "#proto/gen/swarm/v1/types_pb.ts";
import {
  checkCgroupParent,
  checkDevice,
  checkIpcMode,
  checkPidMode,
  checkUsernsMode,
  isIpcSysctl,
} from "#proto/host-access.ts";
import { checkUlimit, isNamespacedSysctl, parseCapability } from "#proto/kernel-names.ts";
import { parseSeccompProfile } from "#proto/seccomp-profile.ts";
import { checkEnum, invalid, parsed } from "./field.ts";

const windows = "is for containers of Windows, and hosts here run Linux: leave it out";

export function checkPrivileges(path: string, container: ContainerSpec): void {
  checkCapabilities(path, container);
  checkHostAccess(path, container);
  checkDevices(`${path}.devices`, container);
  checkSysctls(`${path}.sysctls`, container);
  checkUlimits(`${path}.ulimits`, container);
  if (container.isolation !== Isolation.DEFAULT) throw invalid(`${path}.isolation`, windows);
  const { privileges } = container;
  if (privileges !== undefined) checkConfinement(`${path}.privileges`, privileges);
}

function checkCapabilities(path: string, container: ContainerSpec): void {
  const { capabilityAdd, capabilityDrop, privileged } = container;
  const lists = { capability_add: capabilityAdd, capability_drop: capabilityDrop };
  for (const [field, names] of Object.entries(lists)) {
    for (const name of names) parsed(`${path}.${field}`, () => parseCapability(name));
  }
  if (privileged && capabilityDrop.length > 0) {
    const problem = "has no effect where privileged is set: leave out one of them";
    throw invalid(`${path}.capability_drop`, problem);
  }
}

function checkHostAccess(path: string, container: ContainerSpec): void {
  const { pidMode, ipcMode, usernsMode, cgroupParent, shmSizeBytes } = container;
  parsed(`${path}.pid_mode`, () => checkPidMode(pidMode));
  parsed(`${path}.ipc_mode`, () => checkIpcMode(ipcMode));
  parsed(`${path}.userns_mode`, () => checkUsernsMode(usernsMode));
  parsed(`${path}.cgroup_parent`, () => checkCgroupParent(cgroupParent));
  if (shmSizeBytes > 0n && (ipcMode === "host" || ipcMode === "none")) {
    const problem = `has no effect with ipc_mode ${ipcMode}: leave out one of them`;
    throw invalid(`${path}.shm_size_bytes`, problem);
  }
}

function checkDevices(path: string, { devices }: ContainerSpec): void {
  const targets = new Set<string>();
  for (const [index, device] of devices.entries()) {
    parsed(`${path}[${index}]`, () => checkDevice(device));
    const target = device.pathInContainer || device.pathOnHost;
    if (targets.has(target)) {
      throw invalid(`${path}[${index}].path_in_container`, `"${target}" is used twice`);
    }
    targets.add(target);
  }
}

function checkSysctls(path: string, { sysctls, ipcMode }: ContainerSpec): void {
  for (const name of Object.keys(sysctls)) {
    const shared = ipcMode === "host" && isIpcSysctl(name);
    if (isNamespacedSysctl(name) && !shared) continue;
    const why = shared ? " with ipc_mode host" : "";
    const problem = `"${name}" does not belong to a container alone${why}: set it on the hosts`;
    throw invalid(path, problem);
  }
}

function checkUlimits(path: string, { ulimits }: ContainerSpec): void {
  const names = new Set<string>();
  for (const ulimit of ulimits) {
    parsed(path, () => checkUlimit(ulimit));
    if (names.has(ulimit.name)) throw invalid(path, `has ${ulimit.name} twice: keep one`);
    names.add(ulimit.name);
  }
}

function checkConfinement(path: string, privileges: Privileges): void {
  const { credentialSpec, seccomp, apparmor, selinuxContext } = privileges;
  if (credentialSpec !== undefined) throw invalid(`${path}.credential_spec`, windows);
  if (seccomp !== undefined) checkSeccomp(`${path}.seccomp`, seccomp);
  if (apparmor !== undefined) checkApparmor(`${path}.apparmor`, apparmor);
  if (selinuxContext !== undefined) checkSelinux(`${path}.selinux_context`, selinuxContext);
}

function checkSeccomp(path: string, { mode, profile }: SeccompOptions): void {
  checkEnum(`${path}.mode`, mode, SeccompMode);
  if (mode === SeccompMode.CUSTOM) parsed(`${path}.profile`, () => parseSeccompProfile(profile));
  else if (profile.length > 0) throw invalid(`${path}.profile`, "is set: set mode CUSTOM, too");
}

function checkApparmor(path: string, { mode, profile }: AppArmorOptions): void {
  checkEnum(`${path}.mode`, mode, AppArmorMode);
  if (profile === "") return;
  if (mode === AppArmorMode.DISABLED) {
    throw invalid(`${path}.profile`, "is set with mode DISABLED: leave out one of them");
  }
  if (!/^[\w./:-]+$/.test(profile)) throw invalid(`${path}.profile`, `"${profile}" is no name`);
}

function checkSelinux(path: string, context: SelinuxContext): void {
  const { user, role, type, level, disable } = context;
  for (const [field, word] of Object.entries({ user, role, type, level })) {
    if (word === "") continue;
    if (disable) throw invalid(`${path}.${field}`, "is set with disable: leave out one of them");
    const pattern = field === "level" ? /^[\w:.,-]+$/ : /^[\w.-]+$/;
    if (!pattern.test(word)) throw invalid(`${path}.${field}`, `"${word}" is no part of a label`);
  }
}
