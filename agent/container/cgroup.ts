/**
 * A container's cgroups, on v1, hybrid and v2 alike: where they are, what the kernel counted in them, and what can be done
 * to all of their processes at once. The runtime wrote down the paths; runc keeps them in its state.json.
 */
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";

/** Folders by v1 controller; that of v2 is under "". */
export type CgroupPaths = ReadonlyMap<string, string>;

/** Empty where the runtime has no such container, or writes nothing down. */
export function readCgroupPaths(runtimeRoot: string, containerId: string): CgroupPaths {
  const text = readIfThere(join(runtimeRoot, containerId, "state.json"));
  return text === undefined ? new Map() : parseCgroupPaths(text);
}

export function parseCgroupPaths(text: string): CgroupPaths {
  try {
    const state: unknown = JSON.parse(text);
    const paths = isObject(state) ? state["cgroup_paths"] : undefined;
    const entries = Object.entries(isObject(paths) ? paths : {});
    return new Map(
      entries.filter(
        (entry): entry is [string, string] =>
          typeof entry[1] === "string" && entry[1].startsWith("/"),
      ),
    );
  } catch {
    return new Map();
  }
}

/**
 * How many of the container's processes the kernel killed for want of memory; undefined where nobody counted. The kernel
 * counts before it kills: whoever has seen the death finds it counted.
 */
export function readOomKills(paths: CgroupPaths): number | undefined {
  const legacy = paths.get("memory");
  const unified = paths.get("");
  const path =
    legacy === undefined
      ? unified && join(unified, "memory.events")
      : join(legacy, "memory.oom_control");
  const count = path && /^oom_kill ([0-9]+)$/m.exec(readIfThere(path) ?? "")?.[1];
  return count === undefined || count === "" ? undefined : Number(count);
}

/** Lets a frozen container go on: on v1 not even SIGKILL ends a process that is frozen. */
export function thaw(paths: CgroupPaths): void {
  for (const folder of [paths.get("freezer"), paths.get("")]) {
    if (folder !== undefined) thawFolder(folder);
  }
}

function thawFolder(folder: string): void {
  if (!writeIfThere(join(folder, "freezer.state"), "THAWED")) {
    writeIfThere(join(folder, "cgroup.freeze"), "0");
  }
}

/**
 * A group inside the container's, for processes that are to be killed together without the container: `argument` for the
 * `--cgroup` of `runc exec`. On v1 in the freezer's hierarchy, which limits nothing. It goes with the container.
 */
export interface Subgroup {
  readonly folder: string;
  readonly argument: string;
}

export function makeSubgroup(paths: CgroupPaths, name: string): Subgroup | undefined {
  const legacy = paths.get("freezer");
  const parent = legacy ?? paths.get("");
  if (parent === undefined) return undefined;
  const folder = join(parent, name);
  try {
    mkdirSync(folder);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  }
  return { folder, argument: legacy === undefined ? name : `freezer:${name}` };
}

/** Nothing can fork while it is frozen; what is listed late is caught by another look. */
const looksMax = 20;

/** Kills all processes of one cgroup, however fast they fork. */
export function killSubgroup(folder: string): void {
  if (writeIfThere(join(folder, "cgroup.kill"), "1")) return;
  const state = join(folder, "freezer.state");
  for (let look = 0; look < looksMax; look += 1) {
    const pids = readPids(folder);
    if (pids.length === 0) return;
    const frozen = writeIfThere(state, "FROZEN");
    for (const pid of readPids(folder)) killIfThere(pid);
    if (frozen) writeIfThere(state, "THAWED");
  }
}

/** What a bundle's config.json asks for; undefined where there is none, or half of one. */
export async function readCgroupsPath(bundle: string): Promise<string | undefined> {
  try {
    const config: unknown = JSON.parse(await readFile(join(bundle, "config.json"), "utf8"));
    const linux = isObject(config) ? config["linux"] : undefined;
    const path = isObject(linux) ? linux["cgroupsPath"] : undefined;
    return typeof path === "string" ? path : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Removes the cgroups of a container, with whatever still is in them, also where the runtime died before it wrote down that
 * there are any. `path` is the OCI specification's cgroupsPath: the same below the root of each hierarchy.
 */
export async function removeCgroups(path: string, clock: Clock): Promise<void> {
  const folders = hierarchies()
    .map((top) => join(top, path))
    .filter((folder) => existsSync(folder));
  // What is frozen in one hierarchy does not die in any.
  for (const folder of folders) thawFolder(folder);
  for (const folder of folders) await removeCgroup(folder, clock);
}

function hierarchies(): string[] {
  const root = "/sys/fs/cgroup";
  if (existsSync(join(root, "cgroup.controllers"))) return [root];
  return readdirSync(root).map((name) => join(root, name));
}

/** The kernel tells nobody when the last process of a v1 cgroup is gone. */
const lookAgainMs = 10;
const removeLooksMax = 200;

async function removeCgroup(folder: string, clock: Clock): Promise<void> {
  for (const name of foldersIn(folder)) await removeCgroup(join(folder, name), clock);
  for (let look = 1; ; look += 1) {
    killSubgroup(folder);
    try {
      rmdirSync(folder);
      return;
    } catch (error) {
      if (gone.has(errnoOf(error) ?? "")) return;
      if (errnoOf(error) !== "EBUSY" || look === removeLooksMax) {
        throw Fault.wrap(`Cannot remove the cgroup "${folder}"`, error);
      }
    }
    await clock.sleep(lookAgainMs);
  }
}

function foldersIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

function readPids(folder: string): number[] {
  const text = readIfThere(join(folder, "cgroup.procs")) ?? "";
  return text
    .split("\n")
    .filter((line) => /^[1-9][0-9]*$/.test(line))
    .map(Number);
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** ENODEV: the cgroup was removed while it was read. */
const gone = new Set(["ENOENT", "ENODEV"]);

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (gone.has(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}

/** False where there is no such file; cgroup file systems make none. */
function writeIfThere(path: string, text: string): boolean {
  try {
    const file = openSync(path, constants.O_WRONLY);
    try {
      writeSync(file, text);
    } finally {
      closeSync(file);
    }
    return true;
  } catch (error) {
    if (gone.has(errnoOf(error) ?? "")) return false;
    throw error;
  }
}
