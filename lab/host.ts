/**
 * A virtual host: a box with a data root on the real disk, cgroups, a cable to the LAN, and `swarmd`. Its life: booted,
 * then killed (power loss: everything on it ends at once) or stopped (in good order), then booted again with its data.
 */
import type { ChildProcess, SpawnOptions } from "node:child_process";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";
import { Connection, type ConnectionOptions } from "#proto/grpc.ts";
import { Box, type BoxOptions } from "./box.ts";
import { cgroupParent, removeCgroups } from "./cgroups.ts";
import { Daemon } from "./daemon.ts";
import { writePrograms } from "./lab-folder.ts";
import { addressOf, hostNetwork, type Lan, type Plug } from "./lan.ts";
import type { Outcome, RunOptions } from "./process.ts";
import { childrenOf, identify, isAlive, type ProcessId, sendSignal } from "./process-id.ts";
import { waitFor } from "./wait.ts";

export type HostState = "running" | "cut" | "killed" | "stopped";

export type HostRole = "manager" | "worker";

/** How long containers may take to end when a host is stopped, before the power goes. */
const stopGraceMs = 3_000;
const readyTimeoutMs = 20_000;

export interface HostOptions extends Plug {
  readonly lab: string;
  readonly role: HostRole;
  readonly box: BoxOptions;
}

/** The sockets of a host that a lab speaks to. */
export type HostSocket = "swarmd" | "manager";

export class Host {
  readonly name: string;
  readonly role: HostRole;
  /** Its address on the LAN. */
  readonly address: string;
  /** Its /var/lib/swarm, as the machine sees it. */
  readonly dataRoot: string;
  readonly box: Box;
  readonly swarmd: Daemon;
  readonly #options: HostOptions;
  readonly #lan: Lan;

  constructor(options: HostOptions, modules: { readonly lan: Lan }) {
    this.name = options.name;
    this.role = options.role;
    this.address = addressOf(options);
    this.dataRoot = join(options.box.folder, "data");
    this.box = new Box(options.box);
    this.#options = options;
    this.#lan = modules.lan;
    const parent = `/${cgroupParent(options.lab, options.name)}`;
    this.swarmd = new Daemon(this.box, {
      name: "swarmd",
      argv: ["swarmd", "--insecure-registry", "registry:5000", "--cgroup-parent", parent],
      logPath: join(this.dataRoot, "swarmd.log"),
    });
  }

  async state(): Promise<HostState> {
    if (this.box.init === undefined) return this.box.wasBooted ? "killed" : "stopped";
    return (await this.#lan.cutOff()).has(this.name) ? "cut" : "running";
  }

  /** Boots the host, without swarmd. `lanReady` settles when cables can be laid. */
  async boot(signal?: AbortSignal, lanReady: Promise<void> = Promise.resolve()): Promise<void> {
    if (this.box.init !== undefined) {
      throw new Fault("failed-precondition", `"${this.name}" runs already`);
    }
    writeFileSync(join(this.box.folder, "network"), hostNetwork(this.#options));
    const plug = async (init: ProcessId) => {
      await lanReady;
      await this.#lan.plug(this.#options, init);
    };
    await this.box.boot(signal === undefined ? { plug } : { plug, signal });
  }

  /** Starts swarmd and waits until it answers. */
  async startSwarmd(signal?: AbortSignal, extraArgs: readonly string[] = []): Promise<void> {
    await this.swarmd.start(extraArgs);
    const options = signal === undefined ? {} : { signal };
    const listens = () => accepts(this.#socketPath("swarmd"));
    await this.swarmd.ready(listens, { timeoutMs: readyTimeoutMs, ...options });
  }

  /** From the next start on its programs are the bundles in this folder, be they of another version. */
  useBundles(folder: string): void {
    writePrograms(join(this.box.folder, "bin"), folder);
  }

  /** Boots the host again, with the data it had, and starts swarmd. */
  async start(signal?: AbortSignal): Promise<void> {
    await this.boot(signal);
    await this.startSwarmd(signal);
  }

  /** Power loss: everything on the host ends at once; what was written to disk stays. */
  async kill(): Promise<void> {
    // The cable first, or the kernel would say goodbye for the dying processes, which no dead host does.
    await this.#unplug();
    await this.box.kill();
    await this.#cleanUp();
  }

  /** Shuts down in good order: swarmd, then all else, then the host. */
  async stop(): Promise<void> {
    await this.swarmd.stop();
    const rest = this.#programs();
    for (const program of rest) sendSignal(program, "SIGTERM");
    const ended = () => rest.every((program) => !isAlive(program));
    const deadline = performance.now() + stopGraceMs;
    const endedOrLate = () => ended() || performance.now() > deadline;
    await waitFor("programs to end", endedOrLate, { timeoutMs: 2 * stopGraceMs });
    await this.box.kill();
    this.box.forget();
    await this.#cleanUp();
  }

  exec(command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Outcome> {
    return this.box.exec(command, args, options);
  }

  /** Like `exec` for what must succeed; resolves to what it wrote on stdout. */
  run(command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<string> {
    return this.box.run(command, args, options);
  }

  spawn(command: string, args: readonly string[] = [], options: SpawnOptions = {}): ChildProcess {
    return this.box.spawn(command, args, options);
  }

  /** A connection to swarmd, or to the manager, over the host's own socket. */
  connect(socket: HostSocket, options: ConnectionOptions = {}): Connection {
    return new Connection(`unix:${this.#socketPath(socket)}`, options);
  }

  /** The cable and the cgroups go with the host. */
  async #cleanUp(): Promise<void> {
    await this.#unplug();
    await removeCgroups(this.#options.lab, this.name);
  }

  async #unplug(): Promise<void> {
    if (this.#lan.box.init !== undefined) await this.#lan.unplug(this.#options);
  }

  /** Everything on the host but its init and what init waits for. */
  #programs(): readonly ProcessId[] {
    const init = this.box.init;
    if (init === undefined) return [];
    const [waited, ...rest] = childrenOf(init.pid);
    const programs: ProcessId[] = [];
    for (const pid of waited === undefined ? [] : rest) {
      const program = identify(pid);
      if (program !== undefined) programs.push(program);
    }
    return programs;
  }

  #socketPath(socket: HostSocket): string {
    return this.box.path(`/run/swarm/${socket}.sock`);
  }
}

/** Whether somebody accepts connections on this unix socket. */
function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
