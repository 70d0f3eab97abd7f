/**
 * The cgroups of a lab: the folder `swarm-lab/LAB/HOST` in every hierarchy, version 1 or 2, below which the host's
 * containers have theirs. A lost host leaves its folders, empty of processes, as no reboot would: they are removed here.
 */
import { readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import { waitFor } from "./wait.ts";

const removeTimeoutMs = 10_000;

const parent = "swarm-lab";

export function cgroupParent(lab: string, host: string): string {
  return `${parent}/${lab}/${host}`;
}

/** Removes what a host (or, without one, the lab) has in all hierarchies. Its processes must have ended. */
export async function removeCgroups(lab: string, host = ""): Promise<void> {
  for (const root of cgroupRoots(readFileSync("/proc/self/mounts", "utf8"))) {
    const folder = join(root, parent, lab, host);
    // A process that has ended leaves its cgroup a moment later.
    const removed = () => removeTree(folder);
    await waitFor(`${folder} to be empty`, removed, { timeoutMs: removeTimeoutMs });
    if (host === "") removeFolder(join(root, parent));
  }
}

/** Where the hierarchies are mounted, from proc_pid_mounts(5). */
export function cgroupRoots(mounts: string): readonly string[] {
  const roots: string[] = [];
  for (const line of mounts.split("\n")) {
    const [, folder, type] = line.split(" ");
    if (folder !== undefined && (type === "cgroup" || type === "cgroup2")) roots.push(folder);
  }
  return roots;
}

/** Children first; false where one is still in use. */
function removeTree(folder: string): boolean {
  let entries: readonly string[];
  try {
    const all = readdirSync(folder, { withFileTypes: true });
    entries = all.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return true;
    throw Fault.wrap(`Cannot read ${folder}`, thrown);
  }
  const results = entries.map((entry) => removeTree(join(folder, entry)));
  return results.every((removed) => removed) && removeFolder(folder);
}

function removeFolder(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === "ENOENT") return true;
    if (errno === "EBUSY" || errno === "ENOTEMPTY") return false;
    throw Fault.wrap(`Cannot remove ${folder}`, thrown);
  }
}
