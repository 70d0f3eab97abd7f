/** Hosts of a lab that look as if they had just been installed, with an SSH server, and a machine from which they are reached. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cgroupParent } from "#lab/cgroups.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { type Outcome, run } from "#lab/process.ts";
import { writePackages } from "#package/packages.ts";

const prepareScript = fileURLToPath(new URL("prepare.sh", import.meta.url));
const sudoerScript = fileURLToPath(new URL("sudoer.sh", import.meta.url));
const packageEpoch = 1_700_000_000;

export interface BareHostsOptions {
  readonly name: string;
  readonly hosts: number;
}

export class BareHosts implements AsyncDisposable {
  readonly lab: Lab;
  /** Keys, known hosts and packages are there, for whoever operates the hosts. */
  readonly folder: string;
  readonly hosts: readonly Host[];
  readonly operator: Host;

  constructor(lab: Lab, folder: string) {
    const hosts = [...lab.hosts];
    const operator = hosts.pop();
    if (operator === undefined) throw new TypeError("a lab without hosts");
    this.lab = lab;
    this.folder = folder;
    this.hosts = hosts;
    this.operator = operator;
  }

  static async open({ name, hosts }: BareHostsOptions): Promise<BareHosts> {
    const settings = { images: ["busybox"], cluster: false, ownedByThisProcess: true } as const;
    const lab = await Lab.up({ name, managers: hosts, workers: 1, ...settings });
    const all = new BareHosts(lab, await mkdtemp(join(tmpdir(), "bare-hosts-")));
    try {
      await all.#prepare();
      return all;
    } catch (thrown) {
      await all[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  get packages(): string {
    return join(this.folder, "packages");
  }

  /** `swarmctl` on the operator's machine, where no swarmd is. */
  swarmctl(args: readonly string[], options: { readonly input?: string } = {}): Promise<Outcome> {
    const home = `HOME=${join(this.folder, "home")}`;
    const program = ["swarmctl", ...args];
    return this.operator.exec("env", [home, ...program], { timeoutMs: 300_000, ...options });
  }

  /** A user who logs in with the same key, is not root, and may become it without a password. */
  async addSudoer(host: Host, user: string): Promise<void> {
    await host.box.run("sh", [sudoerScript, user]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.down();
    await rm(this.folder, { recursive: true, force: true });
  }

  async #prepare(): Promise<void> {
    const file = (name: string) => join(this.folder, name);
    for (const key of ["id", "other_id"]) {
      await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file(key)]);
    }
    const publicKey = await run(["cat", file("id.pub")]);
    const known: string[] = [];
    for (const { name, address, box } of this.hosts) {
      const own = join(box.folder, "bare");
      await mkdir(own);
      await writeFile(join(own, "authorized_keys"), publicKey);
      const parent = `/${cgroupParent(this.lab.name, name)}`;
      const hostKey = await box.run("sh", [prepareScript, own, name, parent]);
      known.push(`${address} ${hostKey.trim()}`);
    }
    const config = (path: string) =>
      `Host *\n  UserKnownHostsFile ${path}\n  GlobalKnownHostsFile none\n`;
    const wrong = known.map((line, index) => {
      const [address] = line.split(" ");
      return [
        address,
        ...(known
          .at(index - 1)
          ?.split(" ")
          .slice(1) ?? []),
      ].join(" ");
    });
    for (const [name, lines] of [
      ["known", known],
      ["wrong", wrong],
      ["unknown", []],
    ] as const) {
      await writeFile(file(`${name}_hosts`), lines.map((line) => `${line}\n`).join(""));
      await writeFile(file(`${name}_config`), config(file(`${name}_hosts`)));
    }
    await writePackages({
      version: "1.0.0",
      architectures: ["x64"],
      folder: this.packages,
      epoch: packageEpoch,
      onFile: () => {},
    });
  }
}
