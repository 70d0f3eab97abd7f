/**
 * Where containers' cgroups go on this host, and what has to be done for that.
 *
 * On v1 and hybrid hosts: a folder below the root of each hierarchy. On v2 a service of systemd may only touch what systemd
 * delegates to it (`Delegate=yes`), which is its own cgroup; and a cgroup whose processes are its own cannot hand
 * controllers to cgroups below it. So swarmd moves itself and its children into a leaf, `supervisor`, hands on all
 * controllers that there are, and containers are beside the leaf. With `DelegateSubgroup=supervisor` (systemd 254) it is
 * in the leaf from the start, which also lets the unit be restarted while containers run. Where swarmd is no service, as
 * in a session or at the root of a container, it does as Docker's cgroupfs driver does: below the root.
 */
import { existsSync, readFileSync } from "node:fs";
import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { Fault, errnoOf } from "#proto/fault.ts";

export type CgroupLayout = "v1" | "hybrid" | "v2";

export interface CgroupFacts {
  readonly layout: CgroupLayout;
  /** On v2: swarmd's own cgroup, from the root of the hierarchy: "/system.slice/swarmd.service". */
  readonly own: string;
  /** On v2: whether what is mounted begins at the kernel's root cgroup, which may have processes and hand on all the same. */
  readonly kernelRoot: boolean;
}

export interface CgroupPlan {
  /** Of all containers, from the roots of the hierarchies, without a slash before it. */
  readonly parent: string;
  /** On v2: the cgroup that hands on its controllers; undefined: nothing is to be done. */
  readonly handsOn?: string;
  /** Where the processes of `handsOn` go first. */
  readonly leaf?: string;
}

const leafName = "supervisor";

/** What a container's limits need. */
const controllers = ["cpu", "cpuset", "io", "memory", "pids"];

/** `parent` with a slash before it is below the root in any case. */
export function planCgroups(facts: CgroupFacts, parent: string): CgroupPlan {
  const name = parent.replace(/^\//, "");
  if (facts.layout !== "v2") return { parent: name };
  const delegated = parent.startsWith("/") ? undefined : delegatedTo(facts.own);
  if (delegated !== undefined) {
    const parentBelow = posix.join(delegated, name).slice(1);
    return { parent: parentBelow, handsOn: delegated, leaf: posix.join(delegated, leafName) };
  }
  const leaf = facts.kernelRoot || facts.own !== "/" ? {} : { leaf: `/${leafName}` };
  return { parent: name, handsOn: "/", ...leaf };
}

/** The cgroup of the systemd service that swarmd is. */
function delegatedTo(own: string): string | undefined {
  const service = posix.basename(own) === leafName ? posix.dirname(own) : own;
  return service.endsWith(".service") ? service : undefined;
}

export function layoutOf(mounts: string): CgroupLayout {
  const types = new Map(
    mounts.split("\n").map((line) => {
      const [, folder = "", type = ""] = line.split(" ");
      return [folder, type];
    }),
  );
  if (types.get("/sys/fs/cgroup") === "cgroup2") return "v2";
  return [...types.values()].includes("cgroup2") ? "hybrid" : "v1";
}

/** Of /proc/PID/cgroup: the line of v2, which has no controllers in it. */
export function ownCgroup(text: string): string {
  return /^0::(\/.*)$/m.exec(text)?.[1] ?? "/";
}

export function readCgroupFacts(root = "/"): CgroupFacts {
  const read = (path: string) => readFileSync(join(root, path), "utf8");
  return {
    layout: layoutOf(read("proc/self/mounts")),
    own: ownCgroup(read("proc/self/cgroup")),
    // Every cgroup has events but the kernel's root.
    kernelRoot: !existsSync(join(root, "sys/fs/cgroup/cgroup.events")),
  };
}

/** Makes the host ready and resolves with the folder of all containers. `root` is where the host's file system begins. */
export async function prepareCgroups(parent: string, root = "/"): Promise<string> {
  const plan = planCgroups(readCgroupFacts(root), parent);
  if (plan.handsOn === undefined) return plan.parent;
  const folderOf = (path: string) => join(root, "sys/fs/cgroup", path);
  const handsOn = folderOf(plan.handsOn);
  try {
    if (plan.leaf !== undefined) await moveProcesses(handsOn, folderOf(plan.leaf));
    await handOnControllers(handsOn);
  } catch (thrown) {
    const problem = `Cannot make cgroups below "${handsOn}": is Delegate=yes in swarmd's unit?`;
    throw Fault.wrap(problem, thrown);
  }
  return plan.parent;
}

/** What forks meanwhile is found by the next look. */
const looksMax = 10;

async function moveProcesses(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (let look = 0; look < looksMax; look += 1) {
    const pids = words(join(from, "cgroup.procs"));
    if (pids.length === 0) return;
    for (const pid of pids) await moveProcess(pid, to);
  }
}

/** The kernel takes one number in each write. */
async function moveProcess(pid: string, to: string): Promise<void> {
  try {
    await appendFile(join(to, "cgroup.procs"), `${pid}\n`);
  } catch (thrown) {
    // It ended in between.
    if (errnoOf(thrown) !== "ESRCH") throw thrown;
  }
}

async function handOnControllers(folder: string): Promise<void> {
  const there = words(join(folder, "cgroup.controllers"));
  const handedOn = words(join(folder, "cgroup.subtree_control"));
  const missing = controllers.filter((name) => there.includes(name) && !handedOn.includes(name));
  if (missing.length === 0) return;
  const text = missing.map((name) => `+${name}`).join(" ");
  await writeFile(join(folder, "cgroup.subtree_control"), text);
}

function words(path: string): string[] {
  return readFileSync(path, "utf8")
    .split(/\s+/)
    .filter((word) => word !== "");
}
