/**
 * The disk that a virtual machine starts from: a Debian 12 with its kernel, made from packages, once per machine. Its name
 * carries the recipe's digest: a changed recipe is another disk. Whoever finds the folder finds it complete.
 */
import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type EnsureOptions, ensureCached } from "#lab/cache.ts";
import { mmdebstrap } from "#lab/mmdebstrap.ts";
import { run } from "#lab/process.ts";
import { Fault } from "#proto/fault.ts";

/**
 * The machine's first process, after Debian's initramfs has mounted /proc, /sys, /dev and /run: it mounts what the host
 * shares, runs the program that the kernel's command line names, and switches off. What the program writes goes into a
 * folder of the host's, since a serial line lost characters; its errors go to the console.
 */
const init = `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t tmpfs tmpfs /tmp
ip link set lo up
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro repository /repository
mount -t 9p -o trans=virtio,version=9p2000.L result /result
for word in $(cat /proc/cmdline); do
  case $word in program=*) program=\${word#program=} ;; esac
done
cd /repository && node_modules/node/bin/node "$program" >/result/output 2>/dev/console
sync
echo o >/proc/sysrq-trigger
sleep 60
`;

const recipe = {
  version: 1,
  suite: "bookworm",
  packages: [
    "conntrack",
    "initramfs-tools",
    "iperf3",
    "iproute2",
    "iputils-ping",
    "kmod",
    "linux-image-amd64",
    "nftables",
    "procps",
    "socat",
    "wireguard-tools",
  ],
  init,
};

/** Of what `mke2fs` makes; the files take half of it. */
const diskSize = "1500M";

export interface MachineFiles {
  readonly kernel: string;
  readonly initrd: string;
  readonly disk: string;
}

/** Built if this machine does not have it yet. */
export async function ensureMachineFiles(options: EnsureOptions): Promise<MachineFiles> {
  const what = "the disk of the virtual machine";
  const folder = await ensureCached({ name: `vm-${recipeKey()}`, what, build }, options);
  return {
    kernel: join(folder, "vmlinuz"),
    initrd: join(folder, "initrd.img"),
    disk: join(folder, "disk"),
  };
}

async function build(work: string, signal: AbortSignal | undefined): Promise<void> {
  const root = join(work, "root");
  const { suite, packages } = recipe;
  const options = [
    `--include=${packages.join(",")}`,
    '--customize-hook=mkdir "$1/repository" "$1/result"',
    `--customize-hook=cat >"$1/init" <<'END'\n${init}END`,
    '--customize-hook=chmod 755 "$1/init"',
  ];
  await mmdebstrap({ suite, target: root, work, options, signal });
  const result = join(work, "result");
  await mkdir(result);
  const boot = join(root, "boot");
  const files = await readdir(boot);
  for (const kind of ["vmlinuz", "initrd.img"]) {
    const file = files.find((name) => name.startsWith(`${kind}-`));
    if (file === undefined) throw new Fault("internal", `the kernel's package made no ${kind}`);
    await copyFile(join(boot, file), join(result, kind));
  }
  const disk = join(result, "disk");
  await run(["mke2fs", "-q", "-t", "ext4", "-d", root, disk, diskSize], {
    timeoutMs: 300_000,
    ...(signal === undefined ? {} : { signal }),
  });
  await rm(root, { recursive: true });
}

function recipeKey(): string {
  return createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 12);
}
