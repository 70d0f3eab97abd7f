/**
 * The encrypted link where the kernel has no WireGuard: a process of `wireguard-go` makes it and carries every packet. It
 * is nobody's child: it puts itself into the background, in a session of its own, and lives on when swarmd ends or is
 * killed, because flows hang on it. The next swarmd finds it by its socket, and it ends with its device. One that hangs is
 * killed: the kernel says who listens on the socket, so that no number is remembered that may be another's by now.
 *
 * A connection to the socket is held all the time: it closes in the moment in which the process dies.
 */
import { mkdir, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { dirname } from "node:path";
import { commandIn } from "#agent/container/cgroup-layout.ts";
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import { encryptionDevice } from "./addresses.ts";

/** Where wireguard-go puts it and `wg` looks for it. */
const socketPath = `/var/run/wireguard/${encryptionDevice}.sock`;

const killMs = 5_000;

export interface UserSpaceLinkModules {
  readonly exec: Exec;
  readonly clock: Clock;
  /** Where the process goes, so that it outlives this program. */
  readonly cgroups?: readonly string[];
  /** Told that the process has ended and was not let go of before. */
  readonly onDeath: () => void;
}

export class UserSpaceLink {
  readonly #modules: UserSpaceLinkModules;
  #held: Socket | undefined;

  constructor(modules: UserSpaceLinkModules) {
    this.#modules = modules;
  }

  /** Holds on to the process that is there; says whether there is one. */
  async hold(): Promise<boolean> {
    if (this.#held !== undefined) return true;
    const socket = await connected(socketPath);
    if (socket === undefined) return false;
    this.#held = socket;
    // What it says is of no interest, but unread bytes would hide the end.
    socket.resume();
    socket.unref();
    socket.on("error", () => {});
    socket.once("close", () => {
      if (this.#held !== socket) return;
      this.#held = undefined;
      this.#modules.onDeath();
    });
    return true;
  }

  /** There must be no device of the name. */
  async start(): Promise<void> {
    this.release();
    await this.#killHanging();
    await mkdir(dirname(socketPath), { recursive: true, mode: 0o700 });
    await rm(socketPath, { force: true });
    // What is run here ends when device and socket are there, and leaves a process behind that has them.
    const { exec, cgroups = [] } = this.#modules;
    const [program, ...args] = commandIn(cgroups, ["setsid", "wireguard-go", encryptionDevice]);
    await exec.run(program, args, {
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
    });
    if (await this.hold()) return;
    throw new Fault("internal", "wireguard-go ended as soon as it was started");
  }

  /** It would keep the link's UDP port. */
  async #killHanging(): Promise<void> {
    const socket = await connected(socketPath);
    if (socket === undefined) return;
    const { stdout } = await this.#modules.exec.run("ss", ["-xlpH", "src", socketPath]);
    const pid = /\("wireguard-go",pid=(\d+),/.exec(stdout)?.[1];
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    socket.on("error", () => {});
    socket.once("close", () => resolve());
    socket.resume();
    if (pid !== undefined) process.kill(Number(pid), "SIGKILL");
    using _deadline = this.#modules.clock.timer(killMs, () => socket.destroy());
    await closed;
  }

  /** Lets go of the process, which lives on as long as its device. */
  release(): void {
    const socket = this.#held;
    this.#held = undefined;
    socket?.destroy();
  }
}

function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}
