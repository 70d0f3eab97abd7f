/**
 * A host to install on: this machine's own files with a folder laid over them that takes every change. Each command runs
 * in namespaces of its own, which are gone with it; the folder stays until the host is disposed of. No systemd runs in it.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Of one command, on a machine that does much else. */
const timeout = 300_000;

/** It ends with this process, in whatever way that ends. */
const apart = [
  "--pdeathsig",
  "KILL",
  "unshare",
  "--mount",
  "--pid",
  "--net",
  "--uts",
  "--fork",
  "--kill-child=KILL",
];

/** A disk of its own is at /var/lib/swarm: overlays cannot be on an overlay. */
const enter = `set -e
host=$1 package=$2 megabytes=$3
shift 3
mount --make-rprivate /
cd "$host"
if [ -n "$megabytes" ]; then
  mount -t tmpfs -o "size=\${megabytes}M" tmpfs disk
  mkdir disk/upper disk/work
fi
mount -t overlay overlay -o lowerdir=/,upperdir=disk/upper,workdir=disk/work root
cd root
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p var/lib/swarm mnt
mount --bind "$host/data" var/lib/swarm
mount --bind "$package" mnt
ip link set lo up
exec chroot . env -i PATH="$PATH" HOME=/root sh -c 'cd /; exec "$@"' sh "$@"
`;

const besideSwarmd = `
const [program, ...args] = process.argv.slice(1);
require("node:net").createServer().listen("\\0swarm-engine", () => {
  const child = require("node:child_process").spawn(program, args, { stdio: "inherit" });
  child.on("exit", (status) => process.exit(status ?? 1));
});
`;

export interface Said {
  readonly status: number;
  /** What it wrote, on both streams. */
  readonly text: string;
}

export interface HostOptions {
  /** What it can change in one command, and is forgotten after it; default: as much as this machine has room for. */
  readonly diskMegabytes?: number;
}

export class ThrowawayHost implements AsyncDisposable {
  readonly #folder: string;
  /** Seen at /mnt. */
  readonly #packageFolder: string;
  readonly #options: HostOptions;

  /** For `open`. */
  constructor(folder: string, packageFolder: string, options: HostOptions) {
    this.#folder = folder;
    this.#packageFolder = packageFolder;
    this.#options = options;
  }

  static async open(packageFolder: string, options: HostOptions = {}): Promise<ThrowawayHost> {
    const folder = await mkdtemp(join(tmpdir(), "throwaway-host-"));
    const host = new ThrowawayHost(folder, packageFolder, options);
    for (const name of ["root", "data"]) await mkdir(join(folder, name));
    const parts = options.diskMegabytes === undefined ? ["upper", "work"] : [""];
    for (const name of parts) await mkdir(join(folder, "disk", name), { recursive: true });
    return host;
  }

  run(...argv: readonly string[]): Promise<Said> {
    const size = String(this.#options.diskMegabytes ?? "");
    const inside = ["sh", "-c", enter, "sh", this.#folder, this.#packageFolder, size, ...argv];
    return new Promise((resolve) => {
      execFile("setpriv", [...apart, ...inside], { timeout }, (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ status, text: `${stdout}${stderr}` });
      });
    });
  }

  /** On a host with swarm, while the name is taken that a swarmd holds as long as it runs, however it was started. */
  runBesideSwarmd(...argv: readonly string[]): Promise<Said> {
    return this.run("/usr/lib/swarm/node", "-e", besideSwarmd, "--", ...argv);
  }

  /** What a shell says to a line, without the last newline. */
  async sh(line: string): Promise<string> {
    return (await this.run("sh", "-c", line)).text.trimEnd();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}
