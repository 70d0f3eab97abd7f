/**
 * Where containers' cgroups go on this host, and what has to be done for that.
 *
 * Containers must outlive swarmd, so they are not in its unit, whose processes systemd ends with it, and which it could not
 * start again on v2: a cgroup that hands on controllers takes no process. They are in the unit beside it,
 * `swarm-containers.service`, which systemd delegates to us (`Delegate=yes`), and so are their supervisors.
 *
 * Without that unit: on v1 and hybrid hosts a folder below the root of each hierarchy. On v2 a service may only touch what
 * is delegated to it, its own cgroup. There it moves itself and its children into a leaf, hands on all controllers that
 * there are, and containers are beside the leaf. Where swarmd is no service, as in a session or at the root of a
 * container, it does as Docker's cgroupfs driver does: below the root.
 */
import { existsSync, readFileSync } from "node:fs";
import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { Fault, errnoOf } from "#proto/fault.ts";

export type CgroupLayout = "v1" | "hybrid" | "v2";

export interface CgroupFacts {
  readonly layout: CgroupLayout;
  /** swarmd's own cgroup in the hierarchy by which systemd goes, from its root: "/system.slice/swarmd.service". */
  readonly own: string;
  /** Whether there is a unit beside swarmd's for containers. */
  readonly hasUnit: boolean;
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
  /** Where containers' supervisors go; undefined: they stay with swarmd. */
  readonly supervisors?: string;
}

/** What `prepareCgroups` has made. */
export interface ContainerCgroups {
  /** As in the plan. */
  readonly parent: string;
  /** Folders: a process that is to outlive swarmd goes into each of them. */
  readonly supervisors: readonly string[];
}

const leafName = "supervisor";
const unitName = "swarm-containers.service";

/** What a container's limits need. */
const controllers = ["cpu", "cpuset", "io", "memory", "pids"];

/** `parent` with a slash before it is below the root in any case. */
export function planCgroups(facts: CgroupFacts, parent: string): CgroupPlan {
  const name = parent.replace(/^\//, "");
  if (!parent.startsWith("/") && facts.hasUnit) {
    const unit = unitBeside(facts.own);
    const [below, leaf] = [posix.join(unit, name).slice(1), posix.join(unit, leafName)];
    if (facts.layout !== "v2") return { parent: below, supervisors: leaf };
    return { parent: below, handsOn: unit, leaf, supervisors: leaf };
  }
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

function unitBeside(own: string): string {
  return posix.join(posix.dirname(delegatedTo(own) ?? own), unitName);
}

/** Of /proc/PID/cgroup: the line of v2, which has no controllers in it; on v1 that of systemd's own hierarchy. */
export function ownCgroup(text: string): string {
  return (/^0::(\/.*)$/m.exec(text) ?? /^\d+:name=systemd:(\/.*)$/m.exec(text))?.[1] ?? "/";
}

/** The hierarchies by which systemd goes, as folders. */
function trackedBy(layout: CgroupLayout): readonly string[] {
  const top = "sys/fs/cgroup";
  if (layout === "v2") return [top];
  return layout === "v1" ? [`${top}/systemd`] : [`${top}/unified`, `${top}/systemd`];
}

export function readCgroupFacts(root = "/"): CgroupFacts {
  const read = (path: string) => readFileSync(join(root, path), "utf8");
  const layout = layoutOf(read("proc/self/mounts"));
  const own = ownCgroup(read("proc/self/cgroup"));
  const tracked = trackedBy(layout);
  const isService = delegatedTo(own) !== undefined;
  return {
    layout,
    own,
    hasUnit: isService && tracked.every((top) => existsSync(join(root, top, unitBeside(own)))),
    // Every cgroup has events but the kernel's root.
    kernelRoot: !existsSync(join(root, "sys/fs/cgroup/cgroup.events")),
  };
}

/** Makes the host ready. `root` is where the host's file system begins. */
export async function prepareCgroups(parent: string, root = "/"): Promise<ContainerCgroups> {
  const facts = readCgroupFacts(root);
  const plan = planCgroups(facts, parent);
  const { supervisors: path } = plan;
  const tops = path === undefined ? [] : trackedBy(facts.layout);
  const supervisors = tops.map((top) => join(root, top, path ?? ""));
  for (const folder of supervisors) await mkdir(folder, { recursive: true });
  await handOn(plan, root);
  return { parent: plan.parent, supervisors };
}

async function handOn(plan: CgroupPlan, root: string): Promise<void> {
  if (plan.handsOn === undefined) return;
  const folderOf = (path: string) => join(root, "sys/fs/cgroup", path);
  const handsOn = folderOf(plan.handsOn);
  try {
    if (plan.leaf !== undefined) await moveProcesses(handsOn, folderOf(plan.leaf));
    await handOnControllers(handsOn);
  } catch (thrown) {
    const problem = `Cannot make cgroups below "${handsOn}": is Delegate=yes in its unit?`;
    throw Fault.wrap(problem, thrown);
  }
}

const moveScript =
  'while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"';

/** The command that runs `command` in these cgroups from its beginning. */
export function commandIn(
  cgroups: readonly string[],
  command: readonly [string, ...string[]],
): readonly [string, ...string[]] {
  return cgroups.length === 0
    ? command
    : ["sh", "-c", moveScript, "sh", ...cgroups, "--", ...command];
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
