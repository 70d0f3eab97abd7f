/**
 * What a container may have of its host, in the words of a container spec: namespaces, devices, cgroups. Managers refuse
 * other words before a task is made; agents refuse them again, for some would lead out of where containers are kept. Pure.
 */
import { Fault } from "./fault.ts";

export type IpcMode = "" | "none" | "private" | "shareable" | "host";

const ipcModes: readonly string[] = ["", "none", "private", "shareable", "host"];

const noJoining =
  "a task's containers come and go, so that none can be joined: use host or leave it out";

export function checkPidMode(mode: string): void {
  if (mode === "" || mode === "host") return;
  if (mode.startsWith("container:")) throw refusal(`"${mode}": ${noJoining}`);
  throw refusal(`"${mode}" is not known: use host or leave it out`);
}

export function checkIpcMode(mode: string): void {
  if (ipcModes.includes(mode)) return;
  if (mode.startsWith("container:")) throw refusal(`"${mode}": ${noJoining}`);
  throw refusal(`"${mode}" is not known: use ${ipcModes.slice(1).join(", ")} or leave it out`);
}

/** Users are not remapped here: what "host" asks for is so anyway. */
export function checkUsernsMode(mode: string): void {
  if (mode === "" || mode === "host") return;
  throw refusal(`"${mode}" is not known: users are never remapped, use host or leave it out`);
}

/** "/a/b" is below the root of the hierarchy, "a/b" below the folder of all containers. */
export function checkCgroupParent(path: string): void {
  if (path === "") return;
  const parts = path.replace(/^\//, "").replace(/\/$/, "").split("/");
  const fits = parts.every((part) => /^[\w.:@-]{1,255}$/.test(part) && !/^\.{1,2}$/.test(part));
  if (fits) return;
  throw refusal(`"${path}" is not the path of a cgroup, such as batch or /machines/batch`);
}

interface DeviceWish {
  readonly pathOnHost: string;
  readonly pathInContainer: string;
  readonly cgroupPermissions: string;
}

/** An empty path in the container is that on the host; empty permissions are all of them. */
export function checkDevice({ pathOnHost, pathInContainer, cgroupPermissions }: DeviceWish): void {
  for (const path of [pathOnHost, pathInContainer || "/"]) {
    if (!/^\/[^\0]*$/.test(path) || path.split("/").includes("..")) {
      throw refusal(`path "${path}" is not an absolute path without ".."`);
    }
  }
  if (/^(?!.*(.).*\1)[rwm]{0,3}$/.test(cgroupPermissions)) return;
  throw refusal(`permissions "${cgroupPermissions}" are not some of r, w and m, each once`);
}

/** Sysctls that belong to the IPC namespace, and so to the host where the container has none of its own. */
export function isIpcSysctl(name: string): boolean {
  return /^(?:fs\.mqueue\.|kernel\.(?:msg|sem$|shm))/.test(name);
}

function refusal(message: string): Fault {
  return new Fault("invalid-argument", message);
}
