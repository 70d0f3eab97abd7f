/**
 * A network and mount namespace that lives as long as a `cat` waits for our end of its pipe: it is gone when it is
 * disposed, and also when the test's process dies in whatever way.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { type RunOptions, type RunResult, systemExec } from "#agent/exec.ts";

/** A wireguard-go outlives the agent that started it, and ends with its link. */
const holding = "cat; exec ip link del sw-wg0 2> /dev/null";

export class Namespace {
  readonly pid: number;
  readonly #holder: ChildProcess;
  readonly #children = new Set<ChildProcess>();

  static async open(): Promise<Namespace> {
    const args = ["--net", "--mount", "--propagation", "private", "sh", "-c", holding];
    const holder = systemExec.start("unshare", args, { stdio: ["pipe", "pipe", "inherit"] });
    const echoed = holder.stdout === null ? Promise.reject() : once(holder.stdout, "data");
    // What comes back comes from inside: both namespaces are made.
    holder.stdin?.write("ready\n");
    await echoed;
    const namespace = new Namespace(holder);
    // Its own /run/netns, and nothing of the machine's.
    await namespace.run("mount", ["-t", "tmpfs", "tmpfs", "/run"]);
    await namespace.run("ip", ["link", "set", "lo", "up"]);
    return namespace;
  }

  constructor(holder: ChildProcess) {
    assert(holder.pid !== undefined);
    this.#holder = holder;
    this.pid = holder.pid;
  }

  run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return systemExec.run("nsenter", this.#enter(command, args), { timeoutMs: 10_000, ...options });
  }

  batch(lines: readonly string[]): Promise<RunResult> {
    return this.run("ip", ["-batch", "-"], { input: `${lines.join("\n")}\n` });
  }

  /** Runs until it is killed or the namespace is disposed. */
  start(command: string, args: readonly string[], stdio: "pipe" | "ipc"): ChildProcess {
    // A server would not notice that the test's process has died.
    const dying = ["--pdeathsig", "KILL", "nsenter", ...this.#enter(command, args)];
    const child = systemExec.start("setpriv", dying, {
      stdio:
        stdio === "ipc" ? ["ignore", "inherit", "inherit", "ipc"] : ["pipe", "pipe", "inherit"],
      serialization: "advanced",
    });
    this.#children.add(child);
    child.on("close", () => this.#children.delete(child));
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = [...this.#children].map((child) => once(child, "close"));
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(closed);
    const released = once(this.#holder, "close");
    this.#holder.stdin?.end();
    await released;
  }

  #enter(command: string, args: readonly string[]): readonly string[] {
    return [`--net=/proc/${this.pid}/ns/net`, `--mount=/proc/${this.pid}/ns/mnt`, command, ...args];
  }
}
