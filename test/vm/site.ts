/**
 * What the tests of real machines stand on: a LAN, machines on it (m1, m2, …), a registry, and the operator's own host, which
 * has nothing but ssh and swarmctl. LAN, registry and operator's host are a lab; when it goes, the machines go with it.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import type { Outcome, RunOptions } from "#lab/process.ts";
import type { EnsureOptions } from "#lab/cache.ts";
import { ensureMachineFiles } from "#lab/vm/disk.ts";
import { Fault } from "#proto/fault.ts";
import { makeIdentity, makeKey } from "./identity.ts";
import { machineDisk } from "./image.ts";
import { Machine } from "./machine.ts";

/** Machines' addresses begin after this. */
const firstAddress = 10;

export interface SiteOptions extends EnsureOptions {
  /** How many; they are off. */
  readonly machines: number;
}

/** The operator's ssh: its files, for `swarmctl`'s own use of ssh too. */
export interface OperatorFiles {
  readonly folder: string;
  readonly key: string;
  readonly sshConfig: string;
}

export class Site implements AsyncDisposable {
  readonly machines: readonly Machine[];
  readonly files: OperatorFiles;
  readonly lab: Lab;

  static async open(options: SiteOptions): Promise<Site> {
    const files = await ensureMachineFiles(machineDisk, options);
    await using stack = new AsyncDisposableStack();
    const name = `vm-${process.pid}`;
    const lab = stack.use(await Lab.up({ name, cluster: false, ownedByThisProcess: true }));
    const operator = lab.host("h1");
    const folder = join(operator.box.folder, "operator");
    const sockets = join(folder, "sockets");
    await mkdir(sockets, { recursive: true, mode: 0o700 });
    const key = await makeKey(join(folder, "key"));
    const sshConfig = join(folder, "ssh_config");
    const names = Array.from({ length: options.machines }, (_, index) => ({
      name: `m${index + 1}`,
      address: `172.31.0.${firstAddress + index + 1}`,
    }));
    const machines: Machine[] = [];
    for (const machine of names) {
      const own = join(lab.lan.box.folder, "machines", machine.name);
      await mkdir(own, { recursive: true });
      const others = names.filter(({ name }) => name !== machine.name);
      const made = { folder: own, authorizedKey: key.publicKey, others };
      const identity = await makeIdentity(machine, made);
      const operate: Host["exec"] = (...args) => operator.exec(...args);
      const modules = { lan: lab.lan, files, operate, sshConfig, sockets, folder: own };
      machines.push(await Machine.make(identity, modules));
    }
    const known = machines.map(({ identity }) => `${identity.knownHost}\n`).join("");
    await writeFile(join(folder, "known_hosts"), known);
    await writeFile(sshConfig, formatSshConfig({ folder, key: key.path, sockets, names }));
    stack.move();
    return new Site(lab, machines, { folder, key: key.path, sshConfig });
  }

  constructor(lab: Lab, machines: readonly Machine[], files: OperatorFiles) {
    this.lab = lab;
    this.machines = machines;
    this.files = files;
  }

  get operator(): Host {
    return this.lab.host("h1");
  }

  machine(number: number): Machine {
    const machine = this.machines[number - 1];
    if (machine !== undefined) return machine;
    throw new Fault("not-found", `there is no machine ${number}`);
  }

  /** Runs a program on the operator's host, whatever its status. */
  async operate(
    command: string,
    args: readonly string[],
    options: RunOptions = {},
  ): Promise<Outcome> {
    // Contexts and what swarmctl keeps are in his home.
    const env = { ...this.operator.box.env, HOME: this.files.folder };
    return await this.operator.exec(command, args, { env, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]();
  }
}

interface SshSettings {
  readonly folder: string;
  readonly key: string;
  readonly sockets: string;
  readonly names: readonly { readonly name: string; readonly address: string }[];
}

function formatSshConfig({ folder, key, sockets, names }: SshSettings): string {
  const hosts = names.map(({ name, address }) => `Host ${name}\n  HostName ${address}\n`);
  return `${hosts.join("")}Host *
  IdentityFile ${key}
  IdentitiesOnly yes
  UserKnownHostsFile ${join(folder, "known_hosts")}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  LogLevel ERROR
  ServerAliveInterval 5
  ServerAliveCountMax 6
  ControlMaster auto
  ControlPath ${sockets}/%r@%n
  ControlPersist 60
`;
}
