/** Layouts of cgroups, on hosts made of files: a test cannot change which one its own host has. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, posix } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  commandIn,
  layoutOf,
  ownCgroup,
  planCgroups,
  prepareCgroups,
  readCgroupFacts,
} from "./cgroup-layout.ts";

const v1Mounts = `tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
`;
const hybridMounts = `${v1Mounts}cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n`;
const v2Mounts = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n";
const service = "/system.slice/swarmd.service";

test("cgroups, the three layouts are told apart", () => {
  assert.deepEqual([v1Mounts, hybridMounts, v2Mounts].map(layoutOf), ["v1", "hybrid", "v2"]);
  assert.equal(ownCgroup("9:memory:/a\n0::/system.slice/x.service\n"), "/system.slice/x.service");
  assert.equal(ownCgroup("9:memory:/a\n"), "/");
  assert.equal(ownCgroup("9:memory:/a\n1:name=systemd:/b.service\n"), "/b.service");
});

const v2 = (own: string, { kernelRoot = true, hasUnit = false } = {}) =>
  ({ layout: "v2", own, kernelRoot, hasUnit }) as const;
const v1 = { layout: "v1", own: "/", kernelRoot: true, hasUnit: false } as const;
const unit = "/system.slice/swarm-containers.service";
const inUnit = { parent: `${unit.slice(1)}/swarm`, supervisors: `${unit}/supervisor` };
const inService = {
  parent: "system.slice/swarmd.service/swarm",
  handsOn: service,
  leaf: `${service}/supervisor`,
};
const table = [
  ["v1", v1, "swarm", { parent: "swarm" }],
  ["hybrid", { ...v1, layout: "hybrid", own: service }, "/a/b", { parent: "a/b" }],
  ["v1, beside a unit", { ...v1, own: service, hasUnit: true }, "swarm", inUnit],
  [
    "v2, beside a unit",
    v2(service, { hasUnit: true }),
    "swarm",
    { ...inUnit, handsOn: unit, leaf: `${unit}/supervisor` },
  ],
  [
    "v2, beside a unit, told to go below the root",
    v2(service, { hasUnit: true }),
    "/a",
    { parent: "a", handsOn: "/" },
  ],
  ["v2, a service", v2(service), "swarm", inService],
  ["v2, a service in its leaf", v2(`${service}/supervisor`), "swarm", inService],
  ["v2, a service told to go below the root", v2(service), "/a", { parent: "a", handsOn: "/" }],
  [
    "v2, a session",
    v2("/user.slice/user-0.slice/session-1.scope"),
    "swarm",
    { parent: "swarm", handsOn: "/" },
  ],
  [
    "v2, the root of a container",
    v2("/", { kernelRoot: false }),
    "swarm",
    { parent: "swarm", handsOn: "/", leaf: "/supervisor" },
  ],
  ["v2, the kernel's root", v2("/"), "swarm", { parent: "swarm", handsOn: "/" }],
] as const;
for (const [name, facts, parent, wanted] of table) {
  test(`cgroups, planned: ${name}`, () => assert.deepEqual(planCgroups(facts, parent), wanted));
}

class FileHost {
  readonly root = mkdtempSync(join(tmpdir(), "swarm-cgroups-"));

  write(files: Readonly<Record<string, string>>): void {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(this.root, dirname(path)), { recursive: true });
      writeFileSync(join(this.root, path), text);
    }
  }

  read(path: string): string {
    return readFileSync(join(this.root, path), "utf8");
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true });
  }
}

test("cgroups, on v2 swarmd goes into the leaf and hands on what there is", async () => {
  using host = new FileHost();
  const own = "sys/fs/cgroup/system.slice/swarmd.service";
  host.write({
    "proc/self/mounts": v2Mounts,
    "proc/self/cgroup": "0::/system.slice/swarmd.service\n",
    [`${own}/cgroup.procs`]: "",
    [`${own}/cgroup.controllers`]: "cpuset cpu io memory hugetlb pids\n",
    [`${own}/cgroup.subtree_control`]: "memory\n",
  });
  const made = await prepareCgroups("swarm", host.root);
  assert.deepEqual(made, { parent: "system.slice/swarmd.service/swarm", supervisors: [] });
  assert.equal(host.read(`${own}/cgroup.subtree_control`), "+cpu +cpuset +io +pids");
});

test("cgroups, on v2 all processes of the service are moved, one in each write", async () => {
  using host = new FileHost();
  const own = "sys/fs/cgroup/system.slice/swarmd.service";
  host.write({
    "proc/self/mounts": v2Mounts,
    "proc/self/cgroup": "0::/system.slice/swarmd.service\n",
    [`${own}/cgroup.procs`]: "10\n11\n",
    [`${own}/cgroup.controllers`]: "pids\n",
    [`${own}/cgroup.subtree_control`]: "pids\n",
  });
  await prepareCgroups("swarm", host.root);
  // In a file nobody leaves the list: they are told to go until it is given up.
  assert.match(host.read(`${own}/supervisor/cgroup.procs`), /^10\n11\n(?:10\n11\n)*$/);
  assert.equal(host.read(`${own}/cgroup.subtree_control`), "pids\n");
});

test("cgroups, on a real hierarchy of v2 the kernel takes the moves", async () => {
  using host = new FileHost();
  const top = join(host.root, "sys/fs/cgroup");
  mkdirSync(top, { recursive: true });
  // It can be mounted on hosts with v1, too; the controllers are v1's there.
  execFileSync("mount", ["-t", "cgroup2", "none", top]);
  const name = `swarm-test-${process.pid}.service`;
  const service = join(top, name);
  const leaf = join(service, "supervisor");
  mkdirSync(service);
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  try {
    writeFileSync(join(service, "cgroup.procs"), `${child.pid}`);
    const placeOf = () => ownCgroup(readFileSync(`/proc/${child.pid}/cgroup`, "utf8"));
    assert.equal(posix.basename(placeOf()), name);
    host.write({ "proc/self/mounts": v2Mounts, "proc/self/cgroup": `0::/${name}\n` });
    const made = { parent: `${name}/swarm`, supervisors: [] };
    assert.deepEqual(await prepareCgroups("swarm", host.root), made);
    assert.equal(posix.basename(placeOf()), "supervisor");
    // Started again inside the leaf: all is done already.
    host.write({ "proc/self/cgroup": `0::/${name}/supervisor\n` });
    assert.deepEqual(await prepareCgroups("swarm", host.root), made);
    assert.equal(readFileSync(join(service, "cgroup.procs"), "utf8"), "");
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
    if (existsSync(leaf)) rmdirSync(leaf);
    rmdirSync(service);
    execFileSync("umount", [top]);
  }
});

test("cgroups, beside a unit for containers swarmd stays where it is; supervisors go there", async () => {
  using host = new FileHost();
  const top = join(host.root, "sys/fs/cgroup");
  mkdirSync(top, { recursive: true });
  execFileSync("mount", ["-t", "cgroup2", "none", top]);
  const slice = join(top, `swarm-test-${process.pid}.slice`);
  const [own, units] = [join(slice, "swarmd.service"), join(slice, "swarm-containers.service")];
  for (const folder of [slice, own, units]) mkdirSync(folder);
  // What keeps the unit is in the way of handing on controllers until it is moved.
  const keeper = spawn("sleep", ["60"], { stdio: "ignore" });
  try {
    writeFileSync(join(units, "cgroup.procs"), `${keeper.pid}`);
    const ownPath = `/${posix.basename(slice)}/swarmd.service`;
    host.write({ "proc/self/mounts": v2Mounts, "proc/self/cgroup": `0::${ownPath}\n` });
    const { parent, supervisors } = await prepareCgroups("swarm", host.root);
    assert.equal(parent, `${posix.basename(slice)}/swarm-containers.service/swarm`);
    assert.deepEqual(supervisors, [join(units, "supervisor")]);
    assert.equal(readFileSync(join(units, "cgroup.procs"), "utf8"), "");
    const [program, ...args] = commandIn(supervisors, ["cat", "/proc/self/cgroup"]);
    const place = ownCgroup(execFileSync(program, args, { encoding: "utf8" }));
    assert.equal(posix.basename(place), "supervisor");
  } finally {
    keeper.kill("SIGKILL");
    await once(keeper, "exit");
    const leaf = join(units, "supervisor");
    for (const folder of [leaf, units, own, slice]) if (existsSync(folder)) rmdirSync(folder);
    execFileSync("umount", [top]);
  }
});

test("cgroups, a command of its own goes nowhere; one whose cgroup is gone does not run", () => {
  assert.deepEqual(commandIn([], ["true", "--"]), ["true", "--"]);
  const [program, ...args] = commandIn(["/nonexistent"], ["echo", "ran"]);
  assert.throws(() => execFileSync(program, args, { stdio: "pipe" }), /nonexistent/);
});

test("cgroups, on hybrid hosts the unit counts where systemd looks for it", async () => {
  using host = new FileHost();
  const path = "system.slice/swarm-containers.service";
  host.write({
    "proc/self/mounts": hybridMounts,
    "proc/self/cgroup": `0::${service}\n`,
    [`sys/fs/cgroup/unified/${path}/cgroup.procs`]: "",
  });
  assert.equal((await prepareCgroups("swarm", host.root)).parent, "swarm");
  host.write({ [`sys/fs/cgroup/systemd/${path}/cgroup.procs`]: "" });
  const { parent, supervisors } = await prepareCgroups("swarm", host.root);
  assert.equal(parent, `${path}/swarm`);
  const folders = ["unified", "systemd"].map((name) => join("sys/fs/cgroup", name, path));
  assert.deepEqual(
    supervisors,
    folders.map((folder) => join(host.root, folder, "supervisor")),
  );
});

test("cgroups, on v1 nothing is done; a v2 that is not delegated is named", async () => {
  using host = new FileHost();
  host.write({ "proc/self/mounts": hybridMounts, "proc/self/cgroup": "0::/x.service\n" });
  assert.equal((await prepareCgroups("swarm", host.root)).parent, "swarm");
  host.write({ "proc/self/mounts": v2Mounts });
  await assert.rejects(prepareCgroups("swarm", host.root), /is Delegate=yes in its unit\?/);
});

test("cgroups, this host's layout is one of them", () => {
  assert.match(readCgroupFacts().layout, /^(?:v1|hybrid|v2)$/);
});

test("cgroups, any text of the kernel has a layout and a path", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.match(layoutOf(text), /^(?:v1|hybrid|v2)$/);
      assert.ok(ownCgroup(text).startsWith("/"));
    }),
  );
});
