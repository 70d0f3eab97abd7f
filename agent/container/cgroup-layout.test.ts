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
});

const v2 = (own: string, kernelRoot = true) => ({ layout: "v2", own, kernelRoot }) as const;
const inService = {
  parent: "system.slice/swarmd.service/swarm",
  handsOn: service,
  leaf: `${service}/supervisor`,
};
const table = [
  ["v1", { layout: "v1", own: "/", kernelRoot: true }, "swarm", { parent: "swarm" }],
  ["hybrid", { layout: "hybrid", own: service, kernelRoot: true }, "/a/b", { parent: "a/b" }],
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
    v2("/", false),
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
  const parent = await prepareCgroups("swarm", host.root);
  assert.equal(parent, "system.slice/swarmd.service/swarm");
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
    assert.equal(await prepareCgroups("swarm", host.root), `${name}/swarm`);
    assert.equal(posix.basename(placeOf()), "supervisor");
    // Started again inside the leaf: all is done already.
    host.write({ "proc/self/cgroup": `0::/${name}/supervisor\n` });
    assert.equal(await prepareCgroups("swarm", host.root), `${name}/swarm`);
    assert.equal(readFileSync(join(service, "cgroup.procs"), "utf8"), "");
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
    if (existsSync(leaf)) rmdirSync(leaf);
    rmdirSync(service);
    execFileSync("umount", [top]);
  }
});

test("cgroups, on v1 nothing is done; a v2 that is not delegated is named", async () => {
  using host = new FileHost();
  host.write({ "proc/self/mounts": hybridMounts, "proc/self/cgroup": "0::/x.service\n" });
  assert.equal(await prepareCgroups("swarm", host.root), "swarm");
  host.write({ "proc/self/mounts": v2Mounts });
  await assert.rejects(prepareCgroups("swarm", host.root), /is Delegate=yes in swarmd's unit\?/);
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
