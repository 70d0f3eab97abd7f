/**
 * The encrypted link where the kernel has no WireGuard: a process of `wireguard-go` makes it and carries every packet. It
 * is nobody's child for long: it has a session of its own and lives on when swarmd ends or is killed, because flows hang
 * on it. The next swarmd finds it by its socket; the pid file, which names its start too, is for ending one that hangs.
 *
 * A connection to its socket is held all the time: it closes in the moment in which the process dies.
 */
import { watch } from "node:fs";
import { mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { basename, dirname, join } from "node:path";
import type { Exec } from "#agent/exec.ts";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import { encryptionDevice } from "./addresses.ts";

/** Where wireguard-go puts it and `wg` looks for it. */
const socketPath = `/var/run/wireguard/${encryptionDevice}.sock`;

/** It takes a few milliseconds; this is for a host that is out of breath. */
const startMs = 10_000;
const endMs = 5_000;

export interface UserSpaceLinkModules {
  readonly exec: Exec;
  readonly clock: Clock;
  /** Told that the process has ended without `stop`. */
  readonly onDeath: () => void;
}

export class UserSpaceLink {
  readonly #folder: string;
  readonly #modules: UserSpaceLinkModules;
  #held: Socket | undefined;

  /** `folder` need not survive a reboot. */
  constructor(folder: string, modules: UserSpaceLinkModules) {
    this.#folder = folder;
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

  /** Ends one that hangs, and starts another. */
  async start(): Promise<void> {
    this.release();
    await this.#kill();
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await mkdir(dirname(socketPath), { recursive: true, mode: 0o700 });
    await rm(socketPath, { force: true });
    await this.#spawn();
    if (await this.hold()) return;
    throw new Fault("internal", "wireguard-go ended as soon as it was started");
  }

  /** The process ends with its device. */
  async stop(): Promise<void> {
    this.release();
    await this.#kill();
    await rm(this.#pidFile, { force: true });
  }

  /** Lets go of the process, which lives on. */
  release(): void {
    const socket = this.#held;
    this.#held = undefined;
    socket?.destroy();
  }

  get #pidFile(): string {
    return join(this.#folder, "wireguard-go.pid");
  }

  async #spawn(): Promise<void> {
    const logPath = join(this.#folder, "wireguard-go.log");
    const log = await open(logPath, "w", 0o600);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = () => {
      void connected(socketPath).then((socket) => {
        if (socket === undefined) return;
        socket.destroy();
        resolve();
      });
    };
    using _watcher = watching(dirname(socketPath), (name) => {
      if (name === basename(socketPath)) look();
    });
    const late = new Fault("deadline-exceeded", `no link within ${startMs / 1000} s`);
    using _deadline = this.#modules.clock.timer(startMs, () => reject(late));
    try {
      const child = this.#modules.exec.start("wireguard-go", ["-f", encryptionDevice], {
        detached: true,
        stdio: ["ignore", log.fd, log.fd],
        env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
      });
      child.unref();
      child.once("error", reject);
      child.once("exit", (code) => reject(new Fault("internal", `it ended with status ${code}`)));
      if (child.pid !== undefined) await this.#remember(child.pid);
      // It may have been there before the folder was watched.
      look();
      await promise;
      child.removeAllListeners();
    } catch (thrown) {
      const said = (await readFile(logPath, "utf8")).trim().split("\n").at(-1) ?? "";
      throw Fault.wrap(`Cannot start wireguard-go${said === "" ? "" : ` (${said})`}`, thrown);
    } finally {
      await log.close();
    }
  }

  async #remember(pid: number): Promise<void> {
    await writeFile(this.#pidFile, `${pid} ${await startTime(pid)}\n`, { mode: 0o600 });
  }

  async #kill(): Promise<void> {
    const [pid = 0, start] = (await readIfThere(this.#pidFile)).trim().split(" ").map(Number);
    if (pid <= 1 || start === undefined || (await startTime(pid)) !== start) return;
    const ended = this.#ended();
    try {
      process.kill(pid, "SIGKILL");
    } catch (thrown) {
      if (errnoOf(thrown) !== "ESRCH") throw thrown;
    }
    await ended;
  }

  /** Resolves when nobody listens on the socket any more, or after a while. */
  async #ended(): Promise<void> {
    const socket = await connected(socketPath);
    if (socket === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.on("error", () => {});
    socket.once("close", () => resolve());
    socket.resume();
    using _deadline = this.#modules.clock.timer(endMs, resolve);
    await promise;
    socket.destroy();
  }
}

function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}

function watching(folder: string, onName: (name: string | null) => void): Disposable {
  const watcher = watch(folder, (_, name) => onName(name));
  watcher.on("error", () => {});
  return { [Symbol.dispose]: () => watcher.close() };
}

/** Of the process, in ticks since the host's start: a number is used again, with another start. NaN: it is not there. */
async function startTime(pid: number): Promise<number> {
  const stat = await readIfThere(`/proc/${pid}/stat`);
  // The command, in parentheses, may contain anything; 19 fields lie between it and the start.
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "none");
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT" || errnoOf(thrown) === "ESRCH") return "";
    throw thrown;
  }
}
