/**
 * Where a lab's files are, and what its `lab.json` says. The folder is the lab: whoever makes it has the name, and when it
 * is gone, so is the lab. It must be on a real disk: overlayfs takes no overlay or tmpfs as the base of its own layers.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { BoxOptions } from "./box.ts";
import { cacheFolder } from "./cache.ts";
import type { HostRole } from "./host.ts";
import { addressOf, type Plug, registryAddress } from "./lan.ts";

/** The last byte of a host's address; above are the registry and room for what else may come. */
const hostsMax = 200;

export interface HostSettings extends Plug {
  readonly role: HostRole;
}

export interface LabSettings {
  /** Tells this lab from another one that has the same name later. */
  readonly id: string;
  readonly hosts: readonly HostSettings[];
}

export function labsRoot(): string {
  return process.env["SWARM_LAB_ROOT"] ?? "/var/lib/swarm-lab";
}

export function labFolder(name: string): string {
  return join(labsRoot(), name);
}

/** The name is part of host names, cgroups and paths. */
export function parseLabName(text: string): string {
  if (/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/.test(text)) return text;
  const rule =
    "write 1 to 32 small letters, digits and hyphens, beginning and ending with no hyphen";
  throw new Fault("invalid-argument", `invalid name of a lab "${text}": ${rule}`);
}

export function planHosts(managers: number, workers: number): readonly HostSettings[] {
  if (managers < 1) throw new Fault("invalid-argument", "a lab needs a manager: ask for 1, 3 or 5");
  if (managers + workers > hostsMax) {
    throw new Fault("invalid-argument", `a lab has at most ${hostsMax} hosts`);
  }
  return Array.from({ length: managers + workers }, (_, at) => ({
    name: `h${at + 1}`,
    index: at + 1,
    role: at < managers ? "manager" : "worker",
  }));
}

/** Names of all labs of this machine, the half-made ones too. */
export function labNames(): readonly string[] {
  try {
    const entries = readdirSync(labsRoot(), { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return [];
    throw Fault.wrap(`Cannot read ${labsRoot()}`, thrown);
  }
}

export function settingsPath(name: string): string {
  return join(labFolder(name), "lab.json");
}

export function readSettings(name: string): LabSettings | undefined {
  try {
    return JSON.parse(readFileSync(settingsPath(name), "utf8")) as LabSettings;
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw Fault.wrap(`Cannot read ${settingsPath(name)}`, thrown);
  }
}

/** Takes the name, or fails when it is taken. */
export function claimFolder(name: string): void {
  mkdirSync(labsRoot(), { recursive: true, mode: 0o755 });
  try {
    mkdirSync(labFolder(name), { mode: 0o755 });
  } catch (thrown) {
    if (errnoOf(thrown) !== "EEXIST") throw Fault.wrap(`Cannot make ${labFolder(name)}`, thrown);
    const hint = `take it down with "lab down --name ${name}", or choose another --name`;
    throw new Fault("already-exists", `there is a lab "${name}" already: ${hint}`);
  }
}

/** Writes everything that boxes find when they boot; `lab.json` last, at once. */
export function writeFolder(name: string, settings: LabSettings): void {
  const folder = labFolder(name);
  const { hosts } = settings;
  writePrograms(join(folder, "bin"));
  const known = hosts.map((host) => `${addressOf(host)} ${host.name}`);
  const common = {
    hosts: ["127.0.0.1 localhost", `${registryAddress} registry`, ...known, ""].join("\n"),
    "resolv.conf": "# Nothing outside the lab has a name here.\n",
  };
  for (const box of [
    lanBoxOptions(name),
    ...hosts.map((host) => hostBoxOptions(name, host.name)),
  ]) {
    mkdirSync(join(box.folder, "etc"), { recursive: true });
    const files = { ...common, hostname: `${box.hostname}\n` };
    for (const [file, text] of Object.entries(files))
      writeFileSync(join(box.folder, "etc", file), text);
  }
  for (const host of hosts) mkdirSync(join(hostBoxOptions(name, host.name).folder, "data"));
  writeFileSync(`${settingsPath(name)}.new`, JSON.stringify(settings, undefined, 2));
  renameSync(`${settingsPath(name)}.new`, settingsPath(name));
}

export function lanBoxOptions(lab: string): BoxOptions {
  return boxOptions(lab, "lan", `${lab}-lan`);
}

export function hostBoxOptions(lab: string, host: string): BoxOptions {
  return boxOptions(lab, host, host);
}

/** The folders of a lab's boxes that have ever been made, from the disk alone. */
export function boxFolders(name: string): readonly string[] {
  try {
    const entries = readdirSync(labFolder(name), { withFileTypes: true });
    const folders = entries.filter((entry) => entry.isDirectory() && entry.name !== "bin");
    return folders.map((entry) => entry.name);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return [];
    throw Fault.wrap(`Cannot read ${labFolder(name)}`, thrown);
  }
}

function boxOptions(lab: string, box: string, hostname: string): BoxOptions {
  const folder = labFolder(lab);
  // A host's own programs, where it has any, come before those of all.
  const bins = `${join(folder, box, "bin")}:${join(folder, "bin")}`;
  const path = `${bins}:${process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"}`;
  // Hosts come and go all the time: a program that was compiled once starts in half the time.
  const env = { PATH: path, NODE_COMPILE_CACHE: join(cacheFolder(), "compiled") };
  return { labFolder: folder, folder: join(folder, box), hostname, env };
}

/** Where the programs' bundles are that hosts shall run in place of the sources. */
const bundlesVariable = "SWARM_LAB_DIST";

/** The project's programs as commands, run from this checkout, or from a folder of bundles, by this Node. */
export function writePrograms(folder: string, bundles = process.env[bundlesVariable]): void {
  mkdirSync(folder, { recursive: true });
  for (const program of ["swarmd", "swarmctl"]) {
    const source = fileURLToPath(new URL(`../${program}/main.ts`, import.meta.url));
    const main = bundles ? join(resolve(bundles), `${program}.js`) : source;
    const script = `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`;
    writeFileSync(join(folder, program), script, { mode: 0o755 });
  }
}
