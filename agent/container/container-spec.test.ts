/** What a container spec asks for, seen from inside of real containers. Each container looks at many things at once. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Task, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ContainerSpec, ContainerSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  MountType,
  ResourceRequirementsSchema,
  SeccompMode,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { TestNode } from "../task/testing/test-node.ts";

const timeout = 60_000;

type Container = Exclude<MessageInitShape<typeof ContainerSpecSchema>, ContainerSpec>;
type Resources = MessageInitShape<typeof ResourceRequirementsSchema>;

/** A command of the shell for each thing that is looked at; its output, on one line, is what is seen. */
type Looks = Readonly<Record<string, string>>;

interface Seen {
  readonly [name: string]: string;
}

async function look(
  node: TestNode,
  looks: Looks,
  { mounts = [], ...container }: Container,
): Promise<Seen> {
  const folder = mkdtempSync(join(node.root, "seen-"));
  chmodSync(folder, 0o777);
  const script = Object.entries(looks)
    .map(([name, command]) => `{ ${command}; } >/seen/${name} 2>&1`)
    .join("\n");
  const task = node.task({
    ...container,
    command: ["/bin/busybox", "sh", "-c", `${script}\ntrue`],
    mounts: [...mounts, { type: MountType.BIND, source: folder, target: "/seen" }],
  });
  node.worker.assign([task]);
  const end = await node.until(task.id, ({ state }) => state > TaskState.RUNNING);
  assert.equal(end.state, TaskState.COMPLETE, end.err);
  await node.removeAll();
  const words = (name: string) =>
    readFileSync(join(folder, name), "utf8").trim().split(/\s+/).join(" ");
  return Object.fromEntries(Object.keys(looks).map((name) => [name, words(name)]));
}

function withResources(task: Task, resources: Resources): Task {
  if (task.spec === undefined) return task;
  const spec = { ...task.spec, resources: create(ResourceRequirementsSchema, resources) };
  return create(TaskSchema, { ...task, spec });
}

const status = (field: string) => `busybox sed -n 's/^${field}:[[:space:]]*//p' /proc/self/status`;

/** Perl of the host, for system calls that no program of the image makes. */
const hostPrograms = ["/usr", "/lib", "/lib64"]
  .filter((path) => existsSync(path))
  .map((path) => ({ type: MountType.BIND, source: path, target: path, readOnly: true }));

/** keyctl(KEYCTL_GET_KEYRING_ID, session, 0): the keyrings of the host belong to no namespace. */
const keyctl = process.arch === "arm64" ? 219 : 250;
const askKeyring = `perl -e 'print syscall(${keyctl}, 0, -3, 0) < 0 ? "no: $!" : "yes"'`;

const looksAtRights = {
  seccomp: status("Seccomp"),
  noNewPrivs: status("NoNewPrivs"),
  effective: status("CapEff"),
  inheritable: status("CapInh"),
  unshare: "busybox unshare -m true && echo yes",
  mount: "busybox mount -t tmpfs none /tmp && echo yes",
  chroot: "busybox chroot / true && echo yes",
  keyctl: askKeyring,
};

test("container spec, by default Docker's capabilities, seccomp filter and hidden files", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const seen = await look(
    node,
    {
      ...looksAtRights,
      hidden: "busybox wc -c </proc/interrupts",
      firmware: "busybox ls /sys/firmware | busybox wc -l",
      procSys: "echo 1 >/proc/sys/kernel/shmmni",
      sys: "busybox grep ' /sys sysfs' /proc/mounts | busybox cut -d' ' -f4 | busybox cut -c1-2",
      shm: "busybox df -k /dev/shm | busybox tail -1 | busybox awk '{print $2}'",
      pid: "echo $$",
    },
    { mounts: hostPrograms },
  );
  assert.equal(seen["seccomp"], "2");
  assert.equal(seen["noNewPrivs"], "0");
  assert.equal(seen["effective"], "00000000a80425fb");
  assert.equal(seen["inheritable"], "0000000000000000");
  assert.match(seen["unshare"] ?? "", /Operation not permitted/);
  assert.match(seen["mount"] ?? "", /permission denied|Operation not permitted/i);
  assert.equal(seen["chroot"], "yes");
  assert.equal(seen["keyctl"], "no: Operation not permitted");
  assert.equal(seen["hidden"], "0");
  assert.equal(seen["firmware"], "0");
  assert.match(seen["procSys"] ?? "", /Read-only file system/);
  assert.equal(seen["sys"], "ro");
  assert.equal(seen["shm"], "65536");
  assert.equal(seen["pid"], "1");
});

test("container spec, a capability opens what belongs to it, and unconfined opens the rest", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const admin = await look(node, looksAtRights, {
    capabilityAdd: ["SYS_ADMIN"],
    capabilityDrop: ["CHOWN"],
    mounts: hostPrograms,
    privileges: { noNewPrivileges: true },
  });
  assert.deepEqual([admin["unshare"], admin["mount"]], ["yes", "yes"]);
  assert.equal(admin["keyctl"], "no: Operation not permitted");
  assert.equal(admin["effective"], "00000000a82425fa");
  assert.equal(admin["noNewPrivs"], "1");
  const unconfined = await look(node, looksAtRights, {
    mounts: hostPrograms,
    privileges: { seccomp: { mode: SeccompMode.UNCONFINED } },
  });
  assert.equal(unconfined["seccomp"], "0");
  assert.doesNotMatch(unconfined["keyctl"] ?? "", /not permitted/);
});

test("container spec, a seccomp profile of one's own is the only filter", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const profile = JSON.stringify({
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [
      { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 },
      { names: ["chmod", "fchmodat"], action: "SCMP_ACT_ERRNO", includes: { caps: ["CAP_BPF"] } },
    ],
  });
  const seen = await look(
    node,
    {
      mkdir: "busybox mkdir /tmp/a",
      chmod: "busybox chmod 700 /tmp && echo yes",
      ...looksAtRights,
    },
    {
      mounts: hostPrograms,
      privileges: { seccomp: { mode: SeccompMode.CUSTOM, profile: Buffer.from(profile) } },
    },
  );
  assert.match(seen["mkdir"] ?? "", /No space left on device/);
  assert.equal(seen["chmod"], "yes");
  assert.doesNotMatch(seen["keyctl"] ?? "", /not permitted/);
});

/** Devices of our own, whatever this host has: /dev/zero, /dev/full and /dev/kmsg by other names. */
function makeDevices(folder: string): void {
  mkdirSync(join(folder, "inner"), { recursive: true });
  for (const [path, minor] of [
    ["zeros", "5"],
    ["inner/full", "7"],
    ["log", "11"],
  ] as const) {
    assert.equal(spawnSync("mknod", ["-m", "660", join(folder, path), "c", "1", minor]).status, 0);
  }
  writeFileSync(join(folder, "no-device"), "");
}

test("container spec, devices: one, a folder of them, and no others", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const folder = join(node.root, "devices");
  makeDevices(folder);
  const seen = await look(
    node,
    {
      read: "busybox head -c 4 /dev/zeros | busybox wc -c",
      mode: "busybox stat -c '%a %t %T' /dev/zeros",
      folder: "busybox find /dev/mine -type c | busybox sort",
      full: "echo x >/dev/mine/inner/full",
      writeOnly: "true >/dev/mine/log && echo yes",
      readOnly: "true </dev/mine/log && echo yes",
      // It can be made, but not opened.
      other: "busybox mknod /tmp/memory c 1 1 && true </tmp/memory",
    },
    {
      devices: [
        {
          pathOnHost: join(folder, "zeros"),
          pathInContainer: "/dev/zeros",
          cgroupPermissions: "r",
        },
        { pathOnHost: folder, pathInContainer: "/dev/mine", cgroupPermissions: "w" },
      ],
    },
  );
  assert.equal(seen["read"], "4");
  assert.equal(seen["mode"], "660 1 5");
  assert.equal(seen["folder"], "/dev/mine/inner/full /dev/mine/log /dev/mine/zeros");
  assert.match(seen["full"] ?? "", /No space left on device/);
  assert.equal(seen["writeOnly"], "yes");
  assert.match(seen["readOnly"] ?? "", /Operation not permitted/);
  assert.match(seen["other"] ?? "", /Operation not permitted/);
  const refused = [
    [{ pathOnHost: join(folder, "none") }, /is not on this host/],
    [{ pathOnHost: join(folder, "no-device") }, /is no device/],
  ] as const;
  for (const [device, message] of refused) {
    const task = node.task({ devices: [device] });
    node.worker.assign([task]);
    assert.match((await node.untilState(task.id, TaskState.REJECTED)).err, message);
  }
});

test("container spec, privileged: all that swarmd has itself", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const own = /^CapEff:\s*(\S+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  const seen = await look(
    node,
    {
      ...looksAtRights,
      sys: "busybox grep ' /sys sysfs' /proc/mounts | busybox cut -d' ' -f4 | busybox cut -c1-2",
      kmsg: "busybox test -c /dev/kmsg && echo yes",
      other: "busybox mknod /dev/other c 1 11 && true </dev/other && echo yes",
      hidden: "busybox grep -c ' /proc/interrupts ' /proc/mounts",
    },
    { privileged: true, mounts: hostPrograms },
  );
  assert.equal(seen["effective"], own);
  assert.equal(seen["seccomp"], "0");
  assert.deepEqual([seen["unshare"], seen["mount"], seen["other"]], ["yes", "yes", "yes"]);
  assert.equal(seen["sys"], "rw");
  assert.equal(seen["hidden"], "0");
  assert.equal(seen["kmsg"], existsSync("/dev/kmsg") ? "yes" : "");
});

test("container spec, namespaces of the host where it asks for them", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const looks = {
    pid: "busybox readlink /proc/self/ns/pid",
    ipc: "busybox readlink /proc/self/ns/ipc",
    user: "busybox readlink /proc/self/ns/user",
    shm: "busybox grep -c ' /dev/shm ' /proc/mounts",
    shmSize: "busybox df -k /dev/shm | busybox tail -1 | busybox awk '{print $2}'",
    first: "busybox cat /proc/1/comm",
  };
  const own = (name: string) => readlinkSync(`/proc/self/ns/${name}`);
  const shared = await look(node, looks, { pidMode: "host", ipcMode: "host", usernsMode: "host" });
  assert.deepEqual(
    [shared["pid"], shared["ipc"], shared["user"], shared["first"]],
    [own("pid"), own("ipc"), own("user"), readFileSync("/proc/1/comm", "utf8").trim()],
  );
  // What it leaves behind among the host's processes is found by its cgroup, which the end of the test expects to be gone.
  const parent = node.task({ args: ["sh", "-c", "sleep 1000 & exit 0"], pidMode: "host" });
  node.worker.assign([parent]);
  await node.untilState(parent.id, TaskState.COMPLETE);
  await node.removeAll();
  const apart = await look(node, looks, { ipcMode: "shareable", shmSizeBytes: 8n << 20n });
  assert.notEqual(apart["pid"], own("pid"));
  assert.notEqual(apart["ipc"], own("ipc"));
  assert.equal(apart["user"], own("user"));
  assert.equal(apart["shmSize"], "8192");
  const none = await look(node, looks, { ipcMode: "none" });
  assert.equal(none["shm"], "0");
});

test("container spec, the process: init, user, groups, directory, limits, sysctls", {
  timeout,
}, async () => {
  await using node = new TestNode();
  const layer = node.image.layers[0] ?? "";
  writeFileSync(join(layer, "etc/passwd"), "web:x:33:34::/srv:/bin/sh\n");
  writeFileSync(join(layer, "etc/group"), "www:x:34:\nlogs:x:40:\n");
  await node.open();
  const seen = await look(
    node,
    {
      first: "busybox cat /proc/1/comm",
      program:
        "busybox tr '\\0' ' ' </proc/1/cmdline | busybox head -n 1 | busybox cut -d' ' -f1-2",
      id: "busybox id -u; busybox id -g; busybox id -G",
      pwd: "pwd",
      files: "ulimit -n; ulimit -Hn",
      somaxconn: "busybox cat /proc/sys/net/core/somaxconn",
      msgmax: "busybox cat /proc/sys/kernel/msgmax",
      root: "echo x >/x",
      oom: "busybox cat /proc/self/oom_score_adj",
      hostname: "busybox hostname",
      colour: "echo $COLOUR",
    },
    {
      init: true,
      user: "web",
      groups: ["logs", "50"],
      dir: "/made/for/it",
      ulimits: [{ name: "nofile", soft: 100n, hard: 200n }],
      sysctls: { "net.core.somaxconn": "77", "kernel.msgmax": "4096" },
      readOnly: true,
      oomScoreAdj: 300n,
      hostname: "inside",
      env: ["COLOUR=red"],
    },
  );
  assert.deepEqual(seen, {
    first: "swarm-init",
    program: "/sbin/swarm-init --",
    id: "33 34 34 40 50",
    pwd: "/made/for/it",
    files: "100 200",
    somaxconn: "77",
    msgmax: "4096",
    root: seen["root"],
    oom: "300",
    hostname: "inside",
    colour: "red",
  });
  assert.match(seen["root"] ?? "", /Read-only file system/);
});

test("container spec, a terminal, and an input that waits for who attaches", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const seen = await look(node, { tty: "busybox tty <&0", term: "echo $TERM" }, { tty: true });
  assert.deepEqual(seen, { tty: "/dev/pts/0", term: "xterm" });
  const reader = node.task({ args: ["cat"], openStdin: true, stopSignal: "KILL" });
  const closed = node.task({ args: ["cat"] });
  node.worker.assign([reader, closed]);
  await node.untilState(closed.id, TaskState.COMPLETE);
  await node.untilState(reader.id, TaskState.RUNNING);
  assert.equal(node.worker.statuses().get(reader.id)?.state, TaskState.RUNNING);
});

test("container spec, resources and a cgroup of one's own choice", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const files = {
    memory: ["memory/P/memory.limit_in_bytes", "P/memory.max"],
    pids: ["pids/P/pids.max", "P/pids.max"],
    cpu: ["cpu/P/cpu.cfs_quota_us", "P/cpu.max"],
  };
  const inner = "batch/night";
  const value = { pidsLimit: 50n, cgroupParent: inner, args: ["sleep", "100"], stopSignal: "KILL" };
  const task = withResources(node.task(value), {
    limits: { nanoCpus: 500_000_000n, memoryBytes: 64n << 20n },
    reservations: { nanoCpus: 1_000_000_000n },
  });
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  const path = `${node.cgroupParent}/${inner}/${task.id}`;
  const read = (name: keyof typeof files) => {
    const [file] = files[name]
      .map((candidate) => join("/sys/fs/cgroup", candidate.replace("P", path)))
      .filter((candidate) => existsSync(candidate));
    assert.ok(file !== undefined, `the task's cgroup has ${name}`);
    return readFileSync(file, "utf8").trim();
  };
  assert.equal(read("memory"), `${64 << 20}`);
  assert.equal(read("pids"), "50");
  assert.match(read("cpu"), /^50000(?: 100000)?$/);
  await node.removeAll();
  // The folders that the user named stay: they may hold limits that somebody set.
  for (const root of node.cgroups()) {
    for (const folder of [inner, "batch"]) rmdirSync(join(root, folder));
  }
});
