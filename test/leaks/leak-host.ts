/**
 * A virtual host whose engine can be killed, and what is left on it: processes, mounts in whatever namespace, cgroups,
 * namespaces, links, packet filter, files.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { EventEmitter, once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, toBinary } from "@bufbuild/protobuf";
import { network } from "#agent/network/testing/ground.ts";
import { Namespace } from "#agent/network/testing/namespace.ts";
import { NetworkEndpointSchema, PeerSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { type Task, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import type { Assignment, Report } from "./node-process.ts";

const commands = ["sh", "sleep", "setsid", "true", "false", "tail", "cat"];
const hostAddress = "172.31.98.1";

/** How long anything that is waited for may take. */
const waitMs = 90_000;

export const overlay = network("leaknet", "10.77.0.0/16");

export class LeakHost implements AsyncDisposable {
  readonly root: string;
  readonly cgroupParent: string;
  /** Tasks that were seen RUNNING. */
  readonly ran = new Set<string>();
  readonly #runs = new EventEmitter();
  readonly #namespace: Namespace;
  #engine: ChildProcess | undefined;
  #idle = Promise.withResolvers<void>();
  #tasks: readonly Task[] = [];
  /** Of the last assignment. */
  #number = 0;
  /** What the host looks like without a task. */
  #clean: ReadonlySet<string> = new Set();

  static async open(): Promise<LeakHost> {
    await using opened = new AsyncDisposableStack();
    const host = opened.use(new LeakHost(await Namespace.open()));
    await host.#namespace.batch([
      "link add lan0 type bridge",
      `addr add ${hostAddress}/24 dev lan0`,
      "link set lan0 up",
    ]);
    await host.startEngine();
    host.assign([]);
    await host.untilIdle();
    host.#clean = new Set(await host.#look());
    opened.move();
    return host;
  }

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
    this.root = mkdtempSync(join(tmpdir(), "swarm-leaks-"));
    this.cgroupParent = `swarm-leaks-${process.pid}-${newId(systemRandom).slice(0, 6)}`;
    for (const folder of ["bin", "etc", "tmp"]) {
      mkdirSync(join(this.#layer, folder), { recursive: true });
    }
    cpSync("/bin/busybox", join(this.#layer, "bin/busybox"));
    for (const command of commands) symlinkSync("busybox", join(this.#layer, "bin", command));
  }

  get #layer(): string {
    return join(this.root, "image", "layers", "base");
  }

  get tasksFolder(): string {
    return join(this.root, "tasks");
  }

  async startEngine(): Promise<void> {
    const path = fileURLToPath(new URL("node-process.ts", import.meta.url));
    const args = [path, this.root, this.#layer, this.cgroupParent];
    const engine = this.#namespace.start(process.execPath, args, "ipc");
    this.#engine = engine;
    const ready = Promise.withResolvers<void>();
    engine.on("message", (report: Report) => {
      if (report.kind === "ready") ready.resolve();
      if (report.kind === "status" && report.state === TaskState.RUNNING) {
        this.ran.add(report.taskId);
        this.#runs.emit("running");
      }
      if (report.kind === "idle" && report.number === this.#number) this.#idle.resolve();
      if (report.kind === "failed") this.#idle.reject(new Error(report.message));
    });
    engine.on("close", () => ready.reject(new Error("the engine ended")));
    await ready.promise;
  }

  /** As `kill -9` of swarmd. */
  async killEngine(): Promise<void> {
    assert.ok(this.#engine !== undefined);
    const closed = once(this.#engine, "close");
    this.#engine.kill("SIGKILL");
    await closed;
    this.#engine = undefined;
  }

  /** What swarmd is told by its managers again when it is back. */
  assignAgain(): void {
    this.assign(this.#tasks);
  }

  assign(tasks: readonly Task[]): void {
    this.#tasks = tasks;
    this.#number += 1;
    this.#idle = Promise.withResolvers();
    this.#idle.promise.catch(() => undefined);
    const assignment: Assignment = {
      number: this.#number,
      network: {
        services: [],
        dataPathPort: 0,
        self: create(PeerSchema, {
          nodeId: "node1",
          number: 1,
          dataPathAddress: hostAddress,
          addresses: [hostAddress],
        }),
        peers: [],
        networks: [overlay],
        endpoints: tasks.flatMap(endpointsOf),
      },
      tasks: tasks.map((task) => toBinary(TaskSchema, task)),
    };
    this.#engine?.send(assignment);
  }

  async untilIdle(): Promise<void> {
    const late = Promise.withResolvers<never>();
    using _timer = systemClock.timer(waitMs, () =>
      late.reject(
        new Error(`tasks are not gone after ${waitMs} ms: ${this.#folders().join(", ")}`),
      ),
    );
    await Promise.race([this.#idle.promise, late.promise]);
  }

  /** Until a task runs, for so long at most. */
  async untilRunning(ms: number): Promise<void> {
    const late = new AbortController();
    using _timer = systemClock.timer(ms, () => late.abort());
    await once(this.#runs, "running", { signal: late.signal }).catch(() => undefined);
  }

  /** Numbers that an attempt of the task wrote into its files of this name. */
  pidsOf(taskId: string, name: "pid" | "conmon.pid"): number[] {
    const folder = join(this.tasksFolder, taskId);
    if (!existsSync(folder)) return [];
    return readdirSync(folder)
      .filter((entry) => /^[0-9]+$/.test(entry))
      .map((attempt) => Number(readIfThere(join(folder, attempt, name))))
      .filter((pid) => pid > 1);
  }

  /** As somebody may do behind the engine's back. */
  freeze(taskId: string): void {
    for (const top of cgroupTops(this.cgroupParent)) {
      writeIfThere(join(top, taskId, "freezer.state"), "FROZEN");
      writeIfThere(join(top, taskId, "cgroup.freeze"), "1");
    }
  }

  /** What is there now and was not there before the first task, a line each; waits a while for it to go. */
  async remains(): Promise<string[]> {
    const deadline = systemClock.monotonic() + 10_000;
    for (;;) {
      const left = (await this.#look()).filter((line) => !this.#clean.has(line));
      if (left.length === 0 || systemClock.monotonic() > deadline) return left;
      await systemClock.sleep(100);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#namespace[Symbol.asyncDispose]();
    for (const folder of cgroupTops(this.cgroupParent)) {
      for (const below of foldersBelow(folder).toReversed()) await rmdir(below);
      await rmdir(folder);
    }
    await rm(this.root, { recursive: true });
  }

  #folders(): readonly string[] {
    return existsSync(this.tasksFolder) ? readdirSync(this.tasksFolder) : [];
  }

  async #look(): Promise<string[]> {
    const run = async (program: string, args: readonly string[]) =>
      (await this.#namespace.run(program, args)).stdout.split("\n").filter((line) => line !== "");
    // What goes while we look is no failure.
    const find = `find /run/swarm ${this.root} -mindepth 2`;
    return [
      ...this.#processes(),
      ...this.#mounts(),
      ...cgroupTops(this.cgroupParent)
        .flatMap(foldersBelow)
        .map((folder) => `cgroup: ${folder}`),
      ...(await run("ip", ["netns", "list"])).map((line) => `namespace: ${line}`),
      ...(await run("ip", ["-brief", "link"])).map((line) => `link: ${line}`),
      ...(await run("ip", ["-4", "route", "show", "table", "all"])).map((line) => `route: ${line}`),
      ...(await run("nft", ["list", "ruleset"])).map((line) => `packet filter: ${line}`),
      ...(await run("sh", ["-c", `${find} || true`])).map((line) => `file: ${line}`),
    ];
  }

  #processes(): string[] {
    return processIds().flatMap((pid) => {
      const cgroup = readIfThere(`/proc/${pid}/cgroup`);
      const command = readIfThere(`/proc/${pid}/cmdline`).replaceAll("\0", " ");
      const ours = cgroup.includes(this.cgroupParent) || command.includes(this.root);
      const isEngine = command.includes("node-process.ts");
      return ours && !isEngine && command !== "" ? [`process: ${command}`] : [];
    });
  }

  /** Of each mount namespace of the machine, by one of its processes. */
  #mounts(): string[] {
    const seen = new Set<string>();
    const own = linkIfThere(`/proc/${this.#namespace.pid}/ns/mnt`);
    return processIds().flatMap((pid) => {
      const namespace = linkIfThere(`/proc/${pid}/ns/mnt`);
      if (seen.has(namespace)) return [];
      seen.add(namespace);
      return readIfThere(`/proc/${pid}/mountinfo`)
        .split("\n")
        .filter(
          (line) => line.includes(this.root) || (namespace === own && / \/run\/swarm/.test(line)),
        )
        .map((line) => `mount: ${line}`);
    });
  }
}

function endpointsOf({ id, networks }: Task) {
  return networks.flatMap(({ network: { id: networkId = "" } = {}, addresses: [address = ""] }) =>
    create(NetworkEndpointSchema, {
      id: `${id}/${networkId}`,
      taskId: id,
      networkId,
      nodeId: "node1",
      address: address.replace(/\/.*/, ""),
      serviceName: "web",
      taskName: `web.${id}`,
      serving: true,
    }),
  );
}

function processIds(): string[] {
  return readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name));
}

/** The parent of the tasks' cgroups in each hierarchy; it stays with the host. */
function cgroupTops(parent: string): string[] {
  const root = "/sys/fs/cgroup";
  return [root, ...readdirSync(root).map((name) => join(root, name))]
    .map((top) => join(top, parent))
    .filter((path) => existsSync(path));
}

function foldersBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => [join(folder, name), ...foldersBelow(join(folder, name))]);
}

/** Empty where it went while we looked. */
function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function writeIfThere(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: "r+" });
  } catch {
    // The task has no container now.
  }
}

function linkIfThere(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
