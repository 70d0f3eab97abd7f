/** A host of the lab as provisioning sees hosts. To install a package there means to run the bundles of its version. */
import type { Host } from "#lab/host.ts";
import type { Remote, RemoteSocket, RunOptions, RunResult } from "#provision/remote.ts";

export class LabRemote implements Remote {
  readonly name: string;
  readonly #host: Host;
  /** By the path of the package. */
  readonly #bundles: ReadonlyMap<string, string>;
  #copied = "";

  constructor(host: Host, bundles: ReadonlyMap<string, string>) {
    this.name = host.name;
    this.#host = host;
    this.#bundles = bundles;
  }

  async run(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const [program = "", ...args] = command;
    if (args.some((arg) => arg.includes("install.sh"))) return await this.#install();
    if (program !== "swarmctl") return { status: 0, stdout: "", stderr: "" };
    const { status, stdout, stderr } = await this.#host.exec(program, args, options);
    return { status: status ?? 255, stdout, stderr };
  }

  async copy(file: string): Promise<void> {
    this.#copied = file;
  }

  async socket(which: RemoteSocket): Promise<string> {
    return this.#host.box.path(`/run/swarm/${which}.sock`);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #install(): Promise<RunResult> {
    const bundles = this.#bundles.get(this.#copied);
    if (bundles === undefined) return { status: 1, stdout: "", stderr: "no such package" };
    this.#host.useBundles(bundles);
    await this.#host.swarmd.stop();
    await this.#host.startSwarmd();
    return { status: 0, stdout: "", stderr: "" };
  }
}
