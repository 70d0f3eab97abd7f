/**
 * The containers of a host as the kernel sees them, whoever made them: the cgroups below the host's own that hold
 * processes. Looking costs a few file reads and asks no daemon.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupParent, cgroupRoots } from "#lab/cgroups.ts";
import { errnoOf, Fault } from "#proto/fault.ts";

export interface Container {
  /** The cgroup's folder. */
  readonly folder: string;
  /** Its processes, as the machine numbers them. */
  readonly pids: readonly number[];
}

/** Containers of these hosts, one after another: who wants to know whether there is one reads no further. */
export function* containersOf(lab: string, hosts: readonly string[]): Iterable<Container> {
  const root = hierarchy(readFileSync("/proc/self/mounts", "utf8"));
  for (const host of hosts) yield* containersBelow(join(root, cgroupParent(lab, host)));
}

/** The one that every container is in, on cgroups v1 (where any controller will do) and v2. */
function hierarchy(mounts: string): string {
  const roots = cgroupRoots(mounts);
  const root = roots.find((folder) => folder.endsWith("/pids")) ?? roots[0];
  if (root === undefined) throw new Fault("failed-precondition", "no cgroups are mounted");
  return root;
}

function* containersBelow(folder: string): Iterable<Container> {
  for (const name of foldersIn(folder)) {
    const pids = pidsIn(join(folder, name));
    if (pids.length > 0) yield { folder: join(folder, name), pids };
  }
}

function foldersIn(folder: string): readonly string[] {
  const entries = ifThere(() => readdirSync(folder, { withFileTypes: true })) ?? [];
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}

function pidsIn(folder: string): readonly number[] {
  const text = ifThere(() => readFileSync(join(folder, "cgroup.procs"), "utf8"))?.trim() ?? "";
  return text === "" ? [] : text.split("\n").map(Number);
}

/** Cgroups go away while they are looked at; one that is being removed answers ENODEV. */
function ifThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === "ENOENT" || errno === "ENODEV") return undefined;
    throw Fault.wrap("Cannot read a cgroup", thrown);
  }
}
