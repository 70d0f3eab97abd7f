/**
 * What is on the disk of every machine: a Debian 12 server with systemd and sshd, and the packages that ours depends on, so
 * that installing it needs no network. What tells one machine from another is on a second disk, a tar file
 * (`identity.ts`), which the first unit that runs unpacks over the root folder.
 */
import type { DiskRecipe } from "#lab/vm/disk.ts";

/** In place before anything reads what it brings: the network's settings, host keys, users' keys. */
const identityUnit = `[Unit]
Description=Takes over this machine's identity
DefaultDependencies=no
After=systemd-remount-fs.service
Before=sysinit.target systemd-networkd.service systemd-sysusers.service

[Service]
Type=oneshot
ExecStart=tar --extract --file /dev/vdb --directory / --no-same-owner

[Install]
WantedBy=sysinit.target
`;

/** Enough to find the disk: Debian's usual set takes long to unpack where the processor is emulated. */
const initramfs = `MODULES=list
COMPRESS=gzip
COMPRESSLEVEL=1
`;

/** What a server's administrator would have switched off, or nobody needs who has no network but this one. */
const masked = [
  "apt-daily.timer",
  "apt-daily-upgrade.timer",
  "dpkg-db-backup.timer",
  "e2scrub_all.timer",
  "e2scrub_reap.service",
  "fstrim.timer",
];

export const machineDisk: DiskRecipe = {
  packages: [
    "apparmor",
    "bsdextrautils",
    "busybox-static",
    "conmon",
    "conntrack",
    "curl",
    "dbus",
    "initramfs-tools",
    "iproute2",
    "iputils-ping",
    "kmod",
    "libarchive-tools",
    "linux-image-amd64",
    "mount",
    "nftables",
    "openssh-server",
    "procps",
    "runc",
    "socat",
    "sudo",
    "systemd",
    "systemd-sysv",
    "systemd-timesyncd",
    "tini",
    "udev",
    "util-linux",
    "wireguard-tools",
  ],
  changes: [
    `cat >"$1/etc/systemd/system/machine-identity.service" <<'END'\n${identityUnit}END`,
    `cat >"$1/etc/initramfs-tools/conf.d/machine" <<'END'\n${initramfs}END`,
    'printf "virtio_pci\\nvirtio_blk\\next4\\n" >>"$1/etc/initramfs-tools/modules"',
    'chroot "$1" update-initramfs -u -k all',
    'chroot "$1" systemctl enable machine-identity systemd-networkd ssh',
    `chroot "$1" systemctl mask ${masked.join(" ")}`,
    // Empty: systemd takes the one that the kernel's command line gives, and it is no first boot, at which it would ask.
    ': >"$1/etc/machine-id"',
    'rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/hostname"',
    'chroot "$1" useradd --create-home --shell /bin/bash admin',
    'echo "admin ALL=(ALL) NOPASSWD: ALL" >"$1/etc/sudoers.d/admin"',
    'chroot "$1" useradd --create-home --shell /bin/bash guest',
  ],
  /** The files take about a half of it. */
  size: "3G",
};
