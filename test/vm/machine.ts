/**
 * A virtual machine on the LAN of a lab. It is a process in the LAN's box, so that it ends with the lab whatever happens. Its
 * processor is emulated: it is about ten times slower than this one. Its disk is a layer over the common one, and stays when
 * the power goes.
 */
import { readFileSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Daemon } from "#lab/daemon.ts";
import type { Lan } from "#lab/lan.ts";
import { type Outcome, type RunOptions, run } from "#lab/process.ts";
import type { MachineFiles } from "#lab/vm/disk.ts";
import { waitFor } from "#lab/wait.ts";
import { Fault } from "#proto/fault.ts";
import type { Identity, User } from "./identity.ts";

/** A machine boots in some twenty seconds where nobody else computes. */
const bootTimeoutMs = 300_000;
const shutdownTimeoutMs = 180_000;
const commandTimeoutMs = 120_000;
const copyTimeoutMs = 300_000;
const memoryMb = 1280;
/** What ssh returns when it cannot reach the machine. */
const sshFailed = 255;

/** Runs a program where the machines can be reached. */
type RunAt = (command: string, args: readonly string[], o?: RunOptions) => Promise<Outcome>;

export interface MachineModules {
  readonly lan: Lan;
  readonly files: MachineFiles;
  /** On the operator's host. */
  readonly operate: RunAt;
  readonly sshConfig: string;
  /** Of ssh's control sockets. */
  readonly sockets: string;
  /** The machine's own. */
  readonly folder: string;
}

export interface StartOptions {
  /** Words for the kernel's command line. */
  readonly kernel?: readonly string[];
}

export interface ExecOptions extends RunOptions {
  readonly user?: User;
}

export class Machine {
  readonly name: string;
  readonly address: string;
  readonly identity: Identity;
  /** What the kernel and the first programs say, over all boots. */
  readonly consolePath: string;
  readonly #modules: MachineModules;
  readonly #diskPath: string;

  /** Gives the machine its disk and its cable; it is off. */
  static async make(identity: Identity, modules: MachineModules): Promise<Machine> {
    const machine = new Machine(identity, modules);
    const base = ["-F", "raw", "-b", modules.files.disk];
    await run(["qemu-img", "create", "-q", "-f", "qcow2", ...base, machine.#diskPath]);
    const { name } = identity;
    const network = `tuntap add dev ${name} mode tap\nlink set ${name} master lan up\n`;
    await modules.lan.box.run("ip", ["-batch", "-"], { input: network });
    return machine;
  }

  constructor(identity: Identity, modules: MachineModules) {
    this.name = identity.name;
    this.address = identity.address;
    this.identity = identity;
    this.consolePath = join(modules.folder, "console");
    this.#diskPath = join(modules.folder, "disk.qcow2");
    this.#modules = modules;
  }

  get isOn(): boolean {
    return this.#power().process !== undefined;
  }

  /** Resolves when it lets somebody in. */
  async start(options: StartOptions = {}): Promise<void> {
    this.#forgetConnections();
    const power = this.#power(options.kernel);
    await power.start();
    await power.ready(() => this.#answers(), { timeoutMs: bootTimeoutMs });
  }

  /** Power loss. */
  async cutPower(): Promise<void> {
    await this.#power().kill();
    this.#forgetConnections();
  }

  /** Shuts down in good order, and is off. */
  async shutDown(): Promise<void> {
    await this.exec("systemctl poweroff");
    const off = () => !this.isOn;
    await waitFor(`${this.name} to be off`, off, { timeoutMs: shutdownTimeoutMs });
    this.#forgetConnections();
  }

  /** Resolves when it is up again. */
  async reboot(): Promise<void> {
    const before = await this.#bootId();
    await this.exec("systemctl reboot");
    this.#forgetConnections();
    const rebooted = async () => {
      const now = await this.#bootId().catch(() => before);
      if (now === before) this.#forgetConnections();
      return now !== before;
    };
    const timeoutMs = shutdownTimeoutMs + bootTimeoutMs;
    await waitFor(`${this.name} to have booted again`, rebooted, { timeoutMs });
  }

  /** Runs a line of shell in the machine to its end, whatever its status. */
  async exec(script: string, { user = "root", ...options }: ExecOptions = {}): Promise<Outcome> {
    const args = ["-F", this.#modules.sshConfig, "-l", user, this.name, script];
    return await this.#modules.operate("ssh", args, { timeoutMs: commandTimeoutMs, ...options });
  }

  /** Like `exec` for what must succeed; resolves to what it wrote on stdout. */
  async run(script: string, options: ExecOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.exec(script, options);
    if (status === 0) return stdout;
    const said = stderr.trim() || stdout.trim() || "it said nothing";
    const what = status === sshFailed ? "cannot be reached, or" : "says:";
    throw new Fault("internal", `"${script}" failed (${status}), ${this.name} ${what} ${said}`);
  }

  /** Copies a file of this computer there. */
  async put(file: string, target: string): Promise<void> {
    const input = await readFile(file);
    await this.run(`cat >'${target}'`, { input, timeoutMs: copyTimeoutMs });
  }

  /** The last of what the console shows. */
  console(): string {
    return readFileSync(this.consolePath, "utf8").slice(-4_000);
  }

  async #answers(): Promise<boolean> {
    const options = ["-o", "ConnectTimeout=10", "-o", "ControlMaster=no"];
    const args = ["-F", this.#modules.sshConfig, ...options, this.name, "true"];
    return (await this.#modules.operate("ssh", args)).status === 0;
  }

  async #bootId(): Promise<string> {
    return await this.run("cat /proc/sys/kernel/random/boot_id", { timeoutMs: 30_000 });
  }

  /** A connection to a machine that is no more would be waited for. */
  #forgetConnections(): void {
    for (const user of ["root", "admin", "guest"]) {
      rmSync(join(this.#modules.sockets, `${user}@${this.name}`), { force: true });
    }
  }

  #power(kernel: readonly string[] = []): Daemon {
    const { name, machineId, disk } = this.identity;
    const { files, lan } = this.#modules;
    const append = [
      "root=/dev/vda rw console=ttyS0 quiet loglevel=4 mitigations=off tsc=nowatchdog",
    ];
    append.push(`systemd.hostname=${name} systemd.machine_id=${machineId}`);
    append.push("systemd.getty_auto=0 systemd.show_status=false", ...kernel);
    const drive = "if=virtio,cache=writeback";
    const argv = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max"];
    argv.push("-smp", "1", "-m", String(memoryMb), "-nodefaults", "-display", "none");
    argv.push("-kernel", files.kernel, "-initrd", files.initrd, "-append", append.join(" "));
    argv.push("-drive", `file=${this.#diskPath},format=qcow2,${drive}`);
    argv.push("-drive", `file=${disk},format=raw,readonly=on,${drive}`);
    argv.push("-netdev", `tap,id=lan,ifname=${name},script=no,downscript=no`);
    argv.push("-device", `virtio-net-pci,netdev=lan,mac=${hardwareAddress(this.address)}`);
    argv.push("-device", "virtio-rng-pci", "-serial", "stdio");
    return new Daemon(lan.box, { name: `machine-${name}`, argv, logPath: this.consolePath });
  }
}

/** Unique on the LAN, and the same after a reboot. */
function hardwareAddress(address: string): string {
  const bytes = address.split(".").map((byte) => Number(byte).toString(16).padStart(2, "0"));
  return ["52", "54", ...bytes].join(":");
}
