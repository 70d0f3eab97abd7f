/**
 * check-host on hosts that lack one thing each: this machine in namespaces of its own, where a program is hidden, a port taken,
 * a disk full. Whatever a host lacks, there is one line that says so and what to do.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type HostReport, parseHostReport } from "#proto/host-report.ts";

const script = fileURLToPath(new URL("check-host.sh", import.meta.url));
const shells = ["dash", "bash", "busybox sh"];
const timeout = 60_000;

let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "check-host-"));
});

after(async () => {
  await rm(folder, { recursive: true, force: true });
});

interface Outcome {
  readonly status: number | null;
  readonly stderr: string;
  readonly report: HostReport;
}

/** A shell's commands, in namespaces that end with them; `$tmp` is an empty folder. */
async function inNamespaces(commands: string, stdin?: string) {
  const tmp = await mkdtemp(join(folder, "run-"));
  const kinds = ["--mount", "--net", "--uts", "--propagation", "private"];
  // What is left running ends with the first process.
  const namespaces = [...kinds, "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
  const argv = [...namespaces, "sh", "-c", `set -eu\ntmp=$1\n${commands}`, "sh", tmp];
  const child = spawn("unshare", argv, { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => {});
  child.stdin.end(stdin);
  const ended = Promise.withResolvers<number | null>();
  child.once("error", ended.reject);
  child.once("close", ended.resolve);
  const [stdout, stderr, status] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    ended.promise,
  ]);
  return { tmp, stdout, stderr, status };
}

/** Runs check-host after `prepare`. Its data would be in `$tmp/data`. */
async function checkHost(
  prepare: string,
  { shell = "dash", flags = "", as = "" } = {},
): Promise<Outcome> {
  const run = `${as} ${shell} ${script} --data-root "$tmp/data" ${flags}`;
  const { stdout, stderr, status } = await inNamespaces(`${prepare}\nexec ${run}`);
  assert.ok(status === 0 || status === 3, stderr);
  return { status, stderr, report: parseHostReport(stdout) };
}

function find({ report }: Outcome, name: string) {
  const found = report.checks.filter((check) => check.name === name);
  assert.equal(found.length, 1, `one line for ${name}`);
  const [check = assert.fail()] = found;
  return check;
}

function lacking({ report }: Outcome): readonly string[] {
  return report.checks.filter(({ result }) => result === "missing").map(({ name }) => name);
}

for (const shell of shells) {
  test(`check-host, a host that has all, with ${shell}`, { timeout }, async () => {
    const outcome = await checkHost("", { shell });
    assert.deepEqual(lacking(outcome), []);
    assert.equal(outcome.status, 0);
    assert.equal(outcome.stderr, "");
    const { facts } = outcome.report;
    assert.equal(facts.arch, process.arch);
    assert.equal(facts.userId, 0);
    assert.ok(Math.abs(facts.epochMs - Date.now()) < 60_000);
    assert.ok(facts.cpus > 0 && facts.memoryBytes > 0 && facts.diskFreeBytes > 0);
    assert.deepEqual(facts.missingPackages, []);
  });
}

interface Case {
  readonly name: string;
  readonly prepare: string;
  readonly check: string;
  readonly result?: "warning" | "ok";
  readonly detail: RegExp;
  readonly how: RegExp;
  readonly flags?: string;
  readonly as?: string;
}

/** A program of the test's in place of one of the host's. */
const instead = (program: string, body: string) => `
printf '#!/bin/sh\\n%s\\n' '${body}' >"$tmp/${program}"
chmod 755 "$tmp/${program}"
PATH=$tmp:$PATH`;

/** Listens, and says when it does. */
const listen = (address: string) => `
socat ${address} EXEC:cat >/dev/null 2>&1 &
until ss -Hlntu | grep -q ':${/:(\d+)/.exec(address)?.[1] ?? ""} '; do sleep 0.05; done`;

const kernelConfig = (line: string) => `
printf '%s\\n' CONFIG_OVERLAY_FS=y '${line}' | gzip >"$tmp/config.gz"
mount --bind "$tmp/config.gz" /proc/config.gz
mkdir "$tmp/module"
mount --bind "$tmp/module" /sys/module`;

const noVxlan = instead(
  "ip",
  'case "$*" in *vxlan*) echo "Error: Unknown device type." >&2; exit 2 ;; *) exec /usr/bin/ip "$@" ;; esac',
);

const cases: readonly Case[] = [
  {
    name: "a program that is not there",
    prepare: "for file in /usr/sbin/nft /sbin/nft; do mount --bind /dev/null $file; done",
    check: "program:nft",
    detail: /^nft is not there; it filters and translates packets$/,
    how: /install.* nftables$/,
  },
  {
    name: "a program that is too old",
    prepare: instead("conntrack", "echo conntrack v1.4.6"),
    check: "program:conntrack",
    detail: /^conntrack 1\.4\.6 is older than 1\.4\.7/,
    how: /^install conntrack 1\.4\.7 or later/,
  },
  {
    name: "a program older than any that is tested",
    prepare: instead("runc", "echo runc version 1.0.3"),
    check: "program:runc",
    result: "warning",
    detail: /^runc 1\.0\.3 is older than 1\.1\.5/,
    how: /^install runc/,
  },
  {
    name: "a program that does not run",
    prepare: instead("conmon", "echo cannot load libgone.so >&2; exit 127"),
    check: "program:conmon",
    detail: /conmon does not run: cannot load libgone\.so/,
    how: /install --reinstall conmon$/,
  },
  {
    name: "a user who is not root",
    prepare: "",
    as: "setpriv --reuid 65534 --clear-groups",
    check: "root",
    detail: /^user 65534 is not root$/,
    how: /sudo/,
  },
  {
    name: "a port that another program has",
    prepare: listen("TCP-LISTEN:2377,fork"),
    check: "port:2377/tcp",
    detail: /^process \d+ \(socat\) has it; it is for managers$/,
    how: /^stop process \d+$/,
  },
  {
    name: "a UDP port that another program has",
    prepare: listen("UDP-LISTEN:4789,fork"),
    check: "port:4789/udp",
    detail: /^process \d+ \(socat\) has it; it is for overlay networks$/,
    how: /or choose another with swarmctl cluster init --data-path-port$/,
  },
  {
    name: "a port that a network device has",
    prepare: `
ip link set lo up
ip link add other type vxlan id 7 dstport 4789 local 127.0.0.1
ip link set other up`,
    check: "port:4789/udp",
    detail: /^a network device that is not ours has it/,
    how: /ip -d link show/,
  },
  {
    name: "another port for overlays",
    prepare: listen("UDP-LISTEN:4790,fork"),
    flags: "--data-path-port 4790",
    check: "port:4790/udp",
    detail: /socat/,
    how: /--data-path-port/,
  },
  {
    name: "a full disk",
    prepare:
      'mkdir "$tmp/data"; mount -t tmpfs -o size=64k none "$tmp/data"; head -c 64k /dev/zero >"$tmp/data/full" || true',
    check: "disk:DATA",
    detail: /^0 MiB are free, 1024 MiB are needed$/,
    how: /^free some space at /,
  },
  {
    name: "a disk that cannot be written",
    prepare:
      'mkdir "$tmp/data"; mount --bind "$tmp/data" "$tmp/data"; mount -o remount,bind,ro "$tmp/data"',
    check: "disk:DATA",
    detail: /cannot be written$/,
    how: /read-write/,
  },
  {
    name: "a file system that takes no overlay",
    prepare: `
mkdir "$tmp/lower" "$tmp/upper" "$tmp/work" "$tmp/data"
mount -t overlay -o "lowerdir=$tmp/lower,upperdir=$tmp/upper,workdir=$tmp/work" none "$tmp/data"`,
    check: "kernel:overlayfs",
    detail: /^the file system at .* \(overlayfs\) takes no overlay: /,
    how: /^mount ext4, or xfs/,
  },
  {
    name: "a kernel without VXLAN",
    prepare: kernelConfig("# CONFIG_VXLAN is not set") + noVxlan,
    check: "kernel:vxlan",
    detail: /has no vxlan \(CONFIG_VXLAN\)$/,
    how: /^boot the distribution's own kernel/,
  },
  {
    name: "a kernel whose modules are gone",
    prepare: kernelConfig("CONFIG_VXLAN=m") + noVxlan,
    check: "kernel:vxlan",
    detail: /^module vxlan of kernel \S+ is not on this disk$/,
    how: /^reboot, if the kernel was updated/,
  },
  {
    name: "a kernel that takes no rules as ours",
    prepare: instead(
      "nft",
      'case "$*" in *-c*) echo "Error: Could not process rule: Operation not supported" >&2; exit 1 ;; *) echo "nftables v1.0.6" ;; esac',
    ),
    check: "kernel:nftables",
    detail:
      /^the kernel takes no rules as overlay networks have them: Error: Could not process rule/,
    how: /kernel/,
  },
  {
    name: "cgroups without memory",
    prepare:
      'mkdir "$tmp/cgroup"; echo cpu cpuset io pids >"$tmp/cgroup/cgroup.controllers"; mount --bind "$tmp/cgroup" /sys/fs/cgroup',
    check: "kernel:cgroups",
    detail: /^cgroups v2 lack memory$/,
    how: /^add cgroup_enable=memory to the kernel's command line/,
  },
  {
    name: "no cgroups",
    prepare: 'mkdir "$tmp/cgroup"; mount --bind "$tmp/cgroup" /sys/fs/cgroup',
    check: "kernel:cgroups",
    detail: /^no cgroups are mounted/,
    how: /systemd/,
  },
  {
    name: "forwarding that a file turns off",
    prepare:
      'mkdir "$tmp/etc"; echo "net.ipv4.ip_forward = 0" >"$tmp/etc/router.conf"; mount --bind "$tmp/etc" /etc/sysctl.d',
    check: "kernel:forwarding",
    result: "warning",
    detail: /^\/etc\/sysctl\.d\/router\.conf turns forwarding off/,
    how: /^set net\.ipv4\.ip_forward = 1 in /,
  },
  {
    name: "forwarding that cannot be turned on",
    prepare:
      "echo 0 >/proc/sys/net/ipv4/ip_forward; mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys",
    check: "kernel:forwarding",
    detail: /^packets are not forwarded, and .* cannot be written$/,
    how: /sysctl -w net\.ipv4\.ip_forward=1/,
  },
  {
    name: "a machine of another architecture",
    prepare: instead(
      "uname",
      'case "$1" in -m) echo riscv64 ;; *) exec /usr/bin/uname "$@" ;; esac',
    ),
    check: "architecture",
    detail: /^riscv64 is neither/,
    how: /./,
  },
  {
    name: "a clock that starts with the epoch",
    prepare: instead("date", 'case "$1" in +%Y) echo 1970 ;; *) exec /usr/bin/date "$@" ;; esac'),
    check: "clock",
    detail: /^it says /,
    how: /^set the clock/,
  },
  {
    name: "a host without a name",
    prepare: "hostname localhost",
    check: "hostname",
    result: "warning",
    detail: /^"localhost" tells nobody/,
    how: /hostnamectl set-hostname/,
  },
  {
    name: "a host without a machine-id",
    prepare: "mount --bind /dev/null /etc/machine-id",
    check: "machine-id",
    result: "warning",
    detail: /has none$/,
    how: /^systemd-machine-id-setup$/,
  },
];

for (const { name, prepare, check, result = "missing", detail, how, flags, as } of cases) {
  test(`check-host, ${name}`, { timeout }, async () => {
    const outcome = await checkHost(prepare, { ...(flags && { flags }), ...(as && { as }) });
    const wanted = outcome.report.checks.find(
      ({ name }) => name.startsWith("disk:/") && !name.endsWith("/usr"),
    );
    const found = find(outcome, check === "disk:DATA" ? (wanted?.name ?? "") : check);
    assert.equal(found.result, result, found.detail);
    assert.match(found.detail, detail);
    assert.match(found.how, how);
    assert.equal(outcome.status, lacking(outcome).length > 0 ? 3 : 0);
    if (result === "missing") assert.equal(outcome.status, 3);
  });
}

test("check-host, programs that are missing are told as packages, once each", {
  timeout,
}, async () => {
  const hide =
    "for file in /usr/bin/ss /sbin/bridge /usr/sbin/bridge /usr/bin/socat; do [ ! -e $file ] || mount --bind /dev/null $file; done";
  const { report } = await checkHost(hide);
  assert.deepEqual(report.facts.missingPackages, ["iproute2", "socat"]);
});

test("check-host, ssh's standard input can be the program, and nothing reads it but the shell", {
  timeout,
}, async () => {
  const outcome = await inNamespaces(
    'exec sh -s -- --data-root "$tmp/data" --engine-port 2399',
    await readFile(script, "utf8"),
  );
  const report = parseHostReport(outcome.stdout);
  assert.ok(report.checks.some(({ name }) => name === "port:2399/tcp"));
  assert.deepEqual(await readdir(outcome.tmp), [], "it leaves nothing behind");
});

test("check-host, a word that it does not know changes nothing", { timeout }, async () => {
  for (const words of ["--verbose", "--engine-port", "--engine-port x", "--nothing 1"]) {
    const { status, stdout, stderr } = await inNamespaces(`exec sh ${script} ${words}`);
    assert.equal(status, 2);
    assert.equal(stdout, "");
    assert.match(stderr, /^usage: check-host /);
  }
});
