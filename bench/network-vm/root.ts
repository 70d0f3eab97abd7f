/** What is on the disk of the virtual machine: a Debian with its kernel, and a first process that runs one program. */
import type { DiskRecipe } from "#lab/vm/disk.ts";

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

export const diskRecipe: DiskRecipe = {
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
  changes: [
    'mkdir "$1/repository" "$1/result"',
    `cat >"$1/init" <<'END'\n${init}END`,
    'chmod 755 "$1/init"',
  ],
  /** The files take half of it. */
  size: "1500M",
};
