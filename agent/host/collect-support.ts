/**
 * The texts that tell others how this node is. Each is bounded, the newest part of it is kept, and none holds a secret: nothing
 * is collected that is one (specifications of tasks, environments, command lines, keys), and what looks like one is taken out.
 */
import { open, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type CollectSupportResponse,
  CollectSupportResponseSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { redactText } from "#proto/redact.ts";
import { version } from "#proto/version.ts";
import { type CheckModules, type CheckOptions, checkHost } from "./check-host.ts";

export interface SupportOptions extends CheckOptions {
  readonly fileBytesMax: number;
}

type Collect = () => Promise<string>;

const fileBytesDefault = 2 * 1024 * 1024;
const chunkBytes = 256 * 1024;
const programMs = 20_000;
const logLines = 20_000;
const logBytesMax = 16 * 1024 * 1024;

const unitProperties =
  "LoadState,UnitFileState,FragmentPath,DropInPaths,NeedDaemonReload,ActiveState,SubState,Result,StatusText,MainPID,NRestarts," +
  "ExecMainStartTimestamp,ExecMainCode,ExecMainStatus,StateChangeTimestamp,WatchdogTimestamp,MemoryCurrent,TasksCurrent";

/** Where texts come from that programs of the host print: file, program, arguments. */
const programs: readonly (readonly [file: string, program: string, ...args: string[]])[] = [
  ["addresses.txt", "ip", "-d", "-s", "address", "show"],
  ["clock.txt", "timedatectl", "status"],
  ["conntrack.txt", "conntrack", "-S"],
  ["disks.txt", "df", "-kT"],
  ["fdb.txt", "bridge", "fdb", "show"],
  ["inodes.txt", "df", "-i"],
  ["kernel-log.txt", "dmesg"],
  ["neighbours.txt", "ip", "neighbour", "show"],
  ["nftables.txt", "nft", "list", "ruleset"],
  ["packages.txt", "dpkg-query", "-W"],
  ["routes.txt", "ip", "route", "show", "table", "all"],
  ["rules.txt", "ip", "rule", "show"],
  ["rules6.txt", "ip", "-6", "rule", "show"],
  ["sockets.txt", "ss", "-tulnp"],
  ["system.txt", "uname", "-a"],
  // Its status would show what runs in its cgroups, with command lines: containers', too.
  ["unit.txt", "systemctl", "show", "--no-pager", `--property=${unitProperties}`, "swarmd.service"],
  // In this form it prints "(hidden)" for keys that are secret.
  ["wireguard.txt", "wg", "show"],
];

const files: readonly (readonly [file: string, path: string])[] = [
  ["cgroup.txt", "/proc/self/cgroup"],
  ["limits.txt", "/proc/self/limits"],
  ["memory.txt", "/proc/meminfo"],
  ["modules.txt", "/proc/modules"],
  ["mounts.txt", "/proc/self/mountinfo"],
  ["os-release.txt", "/etc/os-release"],
  ["pressure-cpu.txt", "/proc/pressure/cpu"],
  ["pressure-io.txt", "/proc/pressure/io"],
  ["pressure-memory.txt", "/proc/pressure/memory"],
  ["swarmd.yml", "/etc/swarm/swarmd.yml"],
];

/** Of files that cannot be had, a note says why. Ends early for nothing but the caller's end. */
export async function* collectSupport(
  options: SupportOptions,
  modules: CheckModules,
): AsyncGenerator<CollectSupportResponse> {
  const { fileBytesMax } = options;
  for (const [file, collect] of collectors(options, modules)) {
    yield* await collected(file, collect, fileBytesMax || fileBytesDefault);
  }
}

function collectors(options: SupportOptions, modules: CheckModules): Map<string, Collect> {
  const { exec, network } = modules;
  const { dataRoot } = options;
  const run = async (program: string, args: readonly string[]) =>
    (await exec.run(program, args, { timeoutMs: programMs })).stdout;
  return new Map<string, Collect>([
    ["check-host.txt", () => checkHost(options, modules)],
    ["swarmd.json", () => Promise.resolve(describeProcess())],
    ["swarmd.log", () => readLog(run)],
    ["network.json", () => Promise.resolve(json(network.status()))],
    ["processes.txt", () => listProcesses()],
    ["sizes.txt", () => run("du", ["-xk", "--max-depth=3", dataRoot])],
    ["tasks.txt", async () => (await readdir(join(dataRoot, "agent/tasks"))).join("\n")],
    ...programs.map(([file, program, ...args]) => [file, () => run(program, args)] as const),
    ...files.map(([file, path]) => [file, () => readFile(path, "utf8")] as const),
  ]);
}

async function collected(
  file: string,
  collect: Collect,
  bytesMax: number,
): Promise<CollectSupportResponse[]> {
  try {
    const whole = Buffer.from(redactText(await collect()));
    const data = whole.subarray(Math.max(0, whole.length - bytesMax));
    const cut = whole.length - data.length;
    const note = cut === 0 ? "" : `the first ${cut} of ${whole.length} bytes are left out`;
    const messages = [create(CollectSupportResponseSchema, { file, note })];
    for (let at = 0; at < data.length; at += chunkBytes) {
      const piece = data.subarray(at, at + chunkBytes);
      messages.push(create(CollectSupportResponseSchema, { file, data: piece }));
    }
    return messages;
  } catch (thrown) {
    const note = redactText(Fault.from(thrown).message);
    return [create(CollectSupportResponseSchema, { file, note })];
  }
}

/** What the process is busy with, in place of what other languages' stacks of threads tell. */
function describeProcess(): string {
  const resources = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo()) {
    resources.set(name, (resources.get(name) ?? 0) + 1);
  }
  return json({
    version,
    node: process.version,
    pid: process.pid,
    uptimeSeconds: Math.round(process.uptime()),
    memory: process.memoryUsage(),
    usage: process.resourceUsage(),
    active: Object.fromEntries(resources),
  });
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** From the journal where systemd keeps it, else from the file that swarmd's lines go to. */
async function readLog(
  run: (program: string, args: readonly string[]) => Promise<string>,
): Promise<string> {
  if (process.env["JOURNAL_STREAM"] !== undefined) {
    const unit = ["--unit=swarmd.service", "--no-pager", "--output=short-iso-precise"];
    return await run("journalctl", [...unit, `--lines=${logLines}`]);
  }
  const path = await readlink("/proc/self/fd/2");
  await using file = await open(path).catch((thrown: unknown) => {
    throw new Fault(
      "not-found",
      `swarmd's log is neither in systemd's journal nor in a file: it goes to ${path}`,
      { cause: thrown },
    );
  });
  const stat = await file.stat();
  if (!stat.isFile()) {
    throw new Fault("not-found", `swarmd's log is neither in systemd's journal nor in a file`);
  }
  const bytes = Math.min(stat.size, logBytesMax);
  const buffer = Buffer.alloc(bytes);
  const { bytesRead } = await file.read(buffer, 0, bytes, stat.size - bytes);
  return buffer.subarray(0, bytesRead).toString();
}

/** Without their command lines, which may hold anything. */
async function listProcesses(): Promise<string> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const rows = await Promise.all(pids.map(describePid));
  return ["pid ppid state threads resident_kib name", ...rows.filter((row) => row !== "")].join(
    "\n",
  );
}

/** Empty where it has ended meanwhile. */
async function describePid(pid: string): Promise<string> {
  const text = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  if (text === "") return "";
  const of = (key: string) => new RegExp(`^${key}:\\s*(\\S+)`, "m").exec(text)?.[1] ?? "-";
  return [pid, of("PPid"), of("State"), of("Threads"), of("VmRSS"), of("Name")].join(" ");
}
