/**
 * The devices of the host that a container gets: those it names, folders with all devices in them, or every one where it
 * is privileged.
 */
import type { BigIntStats } from "node:fs";
import { lstat, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { Fault, errnoOf } from "#proto/fault.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { Device } from "#proto/gen/swarm/v1/types_pb.ts";
import { checkDevice } from "#proto/host-access.ts";

/** A device node of the host and what the container may do with it. */
export interface HostDevice {
  /** In the container. */
  readonly path: string;
  readonly type: "c" | "b";
  readonly major: number;
  readonly minor: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly access: string;
}

export interface OciDevice extends Omit<HostDevice, "access" | "mode"> {
  readonly fileMode: number;
}

export interface OciDeviceRule {
  readonly allow: boolean;
  readonly access: string;
  readonly type?: "c" | "b";
  readonly major?: number;
  readonly minor?: number;
}

export function planDevices(devices: readonly HostDevice[]): OciDevice[] {
  return devices.map(({ path, type, major, minor, mode, uid, gid }) => ({
    path,
    type,
    major,
    minor,
    fileMode: mode,
    uid,
    gid,
  }));
}

/** Nothing but what follows, in order; runc adds /dev/null and its like. */
export function planDeviceRules(
  devices: readonly HostDevice[],
  privileged: boolean,
): OciDeviceRule[] {
  if (privileged) return [{ allow: true, access: "rwm" }];
  return [
    { allow: false, access: "rwm" },
    ...devices.map(({ type, major, minor, access }) => ({
      allow: true,
      type,
      major,
      minor,
      access,
    })),
  ];
}

/** What a container has of its own in /dev, whatever the host has there. */
const ownOfContainers = ["pts", "shm", "fd", "mqueue", "console"];

/** Looks at the host's devices. What is named in a privileged container is there under that name, too (Docker). */
export async function readHostDevices(
  spec: Pick<ContainerSpec, "devices" | "privileged">,
): Promise<HostDevice[]> {
  const named = (await Promise.all(spec.devices.map(readDevice))).flat();
  if (!spec.privileged) return named;
  const all = await devicesBelow("/dev", "/dev", "rwm");
  const paths = new Set(all.map(({ path }) => path));
  return [...all, ...named.filter(({ path }) => !paths.has(path))];
}

async function readDevice(wish: Device): Promise<HostDevice[]> {
  checkDevice(wish);
  const { pathOnHost, pathInContainer, cgroupPermissions } = wish;
  const target = pathInContainer || pathOnHost;
  const access = cgroupPermissions || "rwm";
  // Through links: /dev/disk/by-id/… is one.
  const stats = await statOrFault(pathOnHost);
  if (stats.isDirectory()) return await devicesBelow(pathOnHost, target, access);
  const device = deviceOf(stats, target, access);
  if (device !== undefined) return [device];
  throw new Fault("failed-precondition", `device "${pathOnHost}" of this host is no device`);
}

async function statOrFault(path: string): Promise<BigIntStats> {
  try {
    return await stat(path, { bigint: true });
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") {
      const problem = `device "${path}" is not on this host: attach it, or choose nodes that have it`;
      throw new Fault("failed-precondition", problem);
    }
    throw Fault.wrap(`Cannot look at device "${path}"`, thrown);
  }
}

async function devicesBelow(folder: string, target: string, access: string): Promise<HostDevice[]> {
  const names = (await readdir(folder)).filter(
    (name) => !name.startsWith(".") && !(folder === "/dev" && ownOfContainers.includes(name)),
  );
  const found = await Promise.all(
    names.toSorted().map(async (name) => {
      const path = join(folder, name);
      const stats = await lstatIfThere(path);
      if (stats?.isDirectory()) return await devicesBelow(path, join(target, name), access);
      const device = stats && deviceOf(stats, join(target, name), access);
      return device === undefined ? [] : [device];
    }),
  );
  return found.flat();
}

/** Devices are unplugged at any moment. */
async function lstatIfThere(path: string): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw Fault.wrap(`Cannot look at device "${path}"`, thrown);
  }
}

function deviceOf(stats: BigIntStats, path: string, access: string): HostDevice | undefined {
  const type = stats.isCharacterDevice() ? "c" : stats.isBlockDevice() ? "b" : undefined;
  if (type === undefined) return undefined;
  return {
    path,
    type,
    ...deviceNumbers(stats.rdev),
    mode: Number(stats.mode & 0o777n),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    access,
  };
}

/** As gnu_dev_major(3) and gnu_dev_minor(3) take a number apart. */
export function deviceNumbers(rdev: bigint): { readonly major: number; readonly minor: number } {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn & 0xffffffffn);
  return { major: Number(major), minor: Number(minor) };
}
