/**
 * The registry of a lab: Debian's docker-registry, on the LAN as `registry:5000`, with its storage in the lab's folder.
 * Tests make it fail: stopped (connections refused), paused (they hang), or with files of its storage changed.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Box } from "../box.ts";
import { Daemon } from "../daemon.ts";
import { registryAddress } from "../lan.ts";

const port = 5000;
const readyTimeoutMs = 20_000;
const pushTimeoutMs = 120_000;

const pushProgram = fileURLToPath(new URL("push-main.ts", import.meta.url));

export class Registry {
  /** Its blobs and links, as docker-registry lays them out: `docker/registry/v2/…`. */
  readonly storageRoot: string;
  /** Every request it has served is a line in it. */
  readonly logPath: string;
  readonly #box: Box;
  readonly #daemon: Daemon;
  readonly #configPath: string;

  constructor(box: Box) {
    this.#box = box;
    this.storageRoot = join(box.folder, "registry");
    this.#configPath = join(box.folder, "registry.yml");
    this.#daemon = new Daemon(box, {
      name: "registry",
      argv: ["docker-registry", "serve", this.#configPath],
      logPath: join(box.folder, "registry.log"),
    });
    this.logPath = this.#daemon.logPath;
  }

  /** Starts it and waits until it listens. */
  async start(signal?: AbortSignal): Promise<void> {
    writeFileSync(this.#configPath, this.#config());
    await this.#daemon.start();
    const options = signal === undefined ? {} : { signal };
    const listens = () => listening(this.#box, port);
    await this.#daemon.ready(listens, { timeoutMs: readyTimeoutMs, ...options });
  }

  /** Connections are refused from now on. */
  async stop(): Promise<void> {
    await this.#daemon.kill();
  }

  /** Connections are accepted by the kernel, and nobody answers. */
  async pause(): Promise<void> {
    await this.#daemon.pause();
  }

  resume(): void {
    this.#daemon.resume();
  }

  /** Pushes an OCI image layout as `name`, such as "busybox:1". */
  async push(layout: string, name: string, signal?: AbortSignal): Promise<void> {
    // Only from the LAN can the registry be reached.
    const args = [pushProgram, `http://${registryAddress}:${port}`, layout, name];
    const options = signal === undefined ? {} : { signal };
    await this.#box.run(process.execPath, args, { timeoutMs: pushTimeoutMs, ...options });
  }

  #config(): string {
    return JSON.stringify({
      version: "0.1",
      log: { level: "info", accesslog: { disabled: false } },
      storage: { filesystem: { rootdirectory: this.storageRoot }, delete: { enabled: true } },
      http: {
        addr: `${registryAddress}:${port}`,
        secret: "of no use: nobody shares this registry",
      },
    });
  }
}

/** Whether somebody listens on this TCP port in the box, from proc_pid_net(5): 0A is the state LISTEN. */
function listening(box: Box, tcpPort: number): boolean {
  const local = `:${tcpPort.toString(16).toUpperCase().padStart(4, "0")}`;
  const sockets = ["tcp", "tcp6"].flatMap((name) =>
    readFileSync(box.path(`/proc/1/net/${name}`), "utf8").split("\n"),
  );
  return sockets.some((line) => {
    const [, address, , state] = line.trim().split(/\s+/);
    return state === "0A" && address?.endsWith(local) === true;
  });
}
