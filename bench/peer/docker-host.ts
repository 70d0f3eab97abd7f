/** Docker on one virtual host: dockerd from the peers' root as a daemon of the host, and its API. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cgroupParent } from "#lab/cgroups.ts";
import { Daemon } from "#lab/daemon.ts";
import type { Host } from "#lab/host.ts";
import { Fault } from "#proto/fault.ts";
import { DockerApi } from "./docker-api.ts";

const readyTimeoutMs = 60_000;

const enterScript = fileURLToPath(new URL("enter.sh", import.meta.url));

export interface DockerHostOptions {
  readonly lab: string;
  /** The peers' root. */
  readonly root: string;
}

export class DockerHost implements Disposable {
  readonly host: Host;
  readonly api: DockerApi;
  readonly #daemon: Daemon;

  constructor(host: Host, options: DockerHostOptions) {
    this.host = host;
    this.api = new DockerApi(() => host.box.path("/run/docker.sock"));
    const flags = {
      "--host": "unix:///run/docker.sock",
      "--cgroup-parent": `/${cgroupParent(options.lab, host.name)}`,
      "--insecure-registry": "registry:5000",
    };
    this.#daemon = new Daemon(host.box, {
      name: "dockerd",
      argv: ["sh", enterScript, options.root, "dockerd", ...Object.entries(flags).flat()],
      logPath: join(host.box.folder, "dockerd.log"),
    });
  }

  /** Starts dockerd on the running host and waits until it answers. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#daemon.start();
    await this.#daemon.ready(() => this.#answers(signal), { timeoutMs: readyTimeoutMs, signal });
  }

  /** Ends dockerd without a word; resolves, when it is gone, with the moment of the blow (ms since 1970). */
  async kill(): Promise<number> {
    const at = Date.now();
    await this.#daemon.kill();
    return at;
  }

  [Symbol.dispose](): void {
    this.api[Symbol.dispose]();
  }

  async #answers(signal: AbortSignal): Promise<boolean> {
    try {
      await this.api.call("GET", "/info", { signal });
      return true;
    } catch (thrown) {
      const { code } = Fault.from(thrown);
      if (code === "not-found" || code === "unavailable") return false;
      throw thrown;
    }
  }
}
