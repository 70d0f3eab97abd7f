/** What an operator does from his own host: packages, a cluster's file, swarmctl, and looks at what came of it. */
import { existsSync } from "node:fs";
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Outcome, type RunOptions, run } from "#lab/process.ts";
import { waitFor } from "#lab/wait.ts";
import { Fault } from "#proto/fault.ts";
import type { User } from "./identity.ts";
import type { Machine } from "./machine.ts";
import type { Site } from "./site.ts";

const packager = fileURLToPath(new URL("../../package/main.ts", import.meta.url));

/** Where the processor is emulated and shared, every command is slow; a cluster of three takes minutes. */
export const applyTimeoutMs = 1_200_000;
const commandTimeoutMs = 180_000;
const settleTimeoutMs = 600_000;

export const clusterName = "prod";

/** Makes a package of these sources, as if they were that version; resolves to its path. */
export async function makePackage(site: Site, version: string): Promise<string> {
  const folder = await mkdtemp(join(site.files.folder, "package-"));
  const args = ["--arch", "x64", "--version", version, "--out", folder];
  await run([process.execPath, packager, ...args], { timeoutMs: commandTimeoutMs });
  const file = join(folder, `swarm-${version}-linux-x64.tar.gz`);
  if (existsSync(file)) return file;
  throw new Fault("internal", `the packager made no ${file}`);
}

export interface ClusterFileOptions {
  readonly machines: readonly Machine[];
  readonly user?: User;
  /** What hosts have beside their address and name, by the name. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** All are managers and workers; resolves to the file's path. */
export async function writeClusterFile(site: Site, options: ClusterFileOptions): Promise<string> {
  const { machines, user = "root", labels = {} } = options;
  const { key, sshConfig, folder } = site.files;
  const hosts = machines.map(({ address, name }) => ({
    address,
    name,
    roles: ["manager", "worker"],
    labels: { zone: labels[name] ?? name },
  }));
  const file = join(folder, "cluster.yml");
  const content = {
    cluster: clusterName,
    ssh: { user, key, config: sshConfig },
    hosts,
    // Managers that wait for processors hear of each other late: what takes a second elsewhere takes half a minute here.
    options: { "default-address-pool": "10.0.0.0/8", "dispatcher-heartbeat": "20s" },
  };
  // JSON is YAML.
  await writeFile(file, JSON.stringify(content, undefined, 2));
  return file;
}

export async function swarmctlExec(
  site: Site,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  return await site.operate("swarmctl", args, { timeoutMs: commandTimeoutMs, ...options });
}

/** Resolves to what a command that must succeed wrote on stdout. */
export async function swarmctl(
  site: Site,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { status, stdout, stderr } = await swarmctlExec(site, args, options);
  if (status === 0) return stdout;
  throw new Fault("internal", `swarmctl ${args.join(" ")} failed (${status}): ${stdout}${stderr}`);
}

/** Of `swarmctl node ls --format json`, what is used. */
export interface NodeRow {
  readonly Hostname: string;
  readonly Status: string;
  readonly Availability: string;
  readonly ManagerStatus: string;
  readonly EngineVersion: string;
}

/** Of `swarmctl service ls --format json`, what is used. */
interface ServiceRow {
  readonly Name: string;
  readonly Replicas: string;
}

export async function nodes(site: Site): Promise<readonly NodeRow[]> {
  return rowsOf(await swarmctl(site, ["node", "ls", "--format", "json"])) as readonly NodeRow[];
}

/** Resolves when these are the nodes, ready and taking part as managers. */
export async function untilReady(site: Site, machines: readonly Machine[]): Promise<void> {
  const ready = async () => {
    const { status, stdout } = await swarmctlExec(site, ["node", "ls", "--format", "json"]);
    const rows = rowsOf(status === 0 ? stdout : "") as readonly NodeRow[];
    const up = rows.filter(
      ({ Status, ManagerStatus }) =>
        Status === "Ready" && /^(Leader|Reachable)$/.test(ManagerStatus),
    );
    const names = new Set(up.map(({ Hostname }) => Hostname));
    return machines.every(({ name }) => names.has(name)) && up.length === machines.length;
  };
  const names = machines.map(({ name }) => name).join(", ");
  await waitFor(`${names} to be ready`, ready, { timeoutMs: settleTimeoutMs });
}

/** Resolves when every service has all its replicas. */
export async function untilRunning(site: Site): Promise<void> {
  const complete = async () => {
    const { status, stdout } = await swarmctlExec(site, ["service", "ls", "--format", "json"]);
    const services = rowsOf(status === 0 ? stdout : "") as readonly ServiceRow[];
    return (
      services.length > 0 &&
      services.every(({ Replicas }) => {
        const [, there, wanted] = /^(\d+)\/(\d+)/.exec(Replicas) ?? [];
        return there !== undefined && there === wanted;
      })
    );
  };
  await waitFor("all replicas to run", complete, { timeoutMs: settleTimeoutMs });
}

function rowsOf(lines: string): readonly unknown[] {
  return lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as unknown);
}
