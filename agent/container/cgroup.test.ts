import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { newId } from "#proto/ids.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { untilSeen } from "#proto/testing/until.ts";
import {
  parseCgroupPaths,
  readCgroupPaths,
  readCgroupsPath,
  readOomKills,
  removeCgroups,
} from "./cgroup.ts";

test("parseCgroupPaths, runc's state: the folders by controller", () => {
  const paths = { "": "/sys/fs/cgroup/unified/a", memory: "/sys/fs/cgroup/memory/a" };
  const text = JSON.stringify({ id: "a", cgroup_paths: paths });
  assert.deepEqual(Object.fromEntries(parseCgroupPaths(text)), paths);
});

test("parseCgroupPaths, any text: absolute folders or nothing", () => {
  const state = fc.record({ cgroup_paths: fc.dictionary(fc.string(), fc.anything()) });
  const texts = fc.oneof(
    fc.string(),
    fc.json(),
    state.map((value) => JSON.stringify(value)),
  );
  fc.assert(
    fc.property(texts, (text) => {
      for (const path of parseCgroupPaths(text).values()) assert.ok(path.startsWith("/"));
    }),
  );
});

test("readOomKills, what the kernel counted on v1 and on v2", () => {
  using cleanup = new DisposableStack();
  const root = mkdtempSync(join(tmpdir(), "swarm-cgroup-"));
  cleanup.defer(() => rmSync(root, { recursive: true }));
  writeFileSync(
    join(root, "memory.events"),
    "low 0\nhigh 0\nmax 6\noom 2\noom_kill 2\noom_group_kill 0\n",
  );
  assert.equal(readOomKills(new Map([["", root]])), 2);
  writeFileSync(join(root, "memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
  const hybrid = new Map([
    ["", "/nowhere"],
    ["memory", root],
  ]);
  assert.equal(readOomKills(hybrid), 1);
  assert.equal(readOomKills(new Map([["", "/nowhere"]])), undefined);
  assert.equal(readOomKills(new Map()), undefined);
});

/** v2's own killing, and v1's freezer, where this host has them. */
const hierarchies = ["/sys/fs/cgroup/freezer", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"].filter(
  (root) => existsSync(join(root, "cgroup.controllers")) || existsSync(join(root, "release_agent")),
);

for (const root of hierarchies) {
  test(`removeCgroups, processes that fork as fast as they can (${root})`, async () => {
    const path = `/swarm-cgroup-${newId(systemRandom)}`;
    const folder = join(root, path, "probe");
    mkdirSync(folder, { recursive: true });
    const script = 'f() { sleep 9 & if [ "$n" -lt 40 ]; then n=$((n+1)); f; fi; }; n=0; f; wait';
    const child = spawn("sh", ["-c", `read x; ${script}`], { stdio: ["pipe", "ignore", "ignore"] });
    const ended = once(child, "exit");
    writeFileSync(join(folder, "cgroup.procs"), `${child.pid}`);
    child.stdin.end("go\n");
    const pids = () => readFileSync(join(folder, "cgroup.procs"), "utf8").split("\n").length;
    await untilSeen(() => pids() >= 10);
    await removeCgroups(path, systemClock);
    assert.equal(existsSync(join(root, path)), false);
    const [, signal] = await ended;
    assert.equal(signal, "SIGKILL");
  });
}

test("removeCgroups, a process that is frozen in one hierarchy and stands in others", async () => {
  const path = `/swarm-cgroup-${newId(systemRandom)}`;
  const roots = ["/sys/fs/cgroup/blkio", ...hierarchies].filter((root) => existsSync(root));
  const child = spawn("sleep", ["100"], { stdio: "ignore" });
  const ended = once(child, "exit");
  for (const root of roots) {
    mkdirSync(join(root, path));
    writeFileSync(join(root, path, "cgroup.procs"), `${child.pid}`);
  }
  for (const root of hierarchies) {
    const legacy = join(root, path, "freezer.state");
    if (existsSync(legacy)) writeFileSync(legacy, "FROZEN");
    else writeFileSync(join(root, path, "cgroup.freeze"), "1");
  }
  await removeCgroups(path, systemClock);
  for (const root of roots) assert.equal(existsSync(join(root, path)), false);
  assert.equal((await ended)[1], "SIGKILL");
});

test("readCgroupPaths and readCgroupsPath, nothing there or half of it: nothing", async () => {
  using cleanup = new DisposableStack();
  const root = mkdtempSync(join(tmpdir(), "swarm-cgroup-"));
  cleanup.defer(() => rmSync(root, { recursive: true }));
  assert.equal(readCgroupPaths(root, "a").size, 0);
  assert.equal(await readCgroupsPath(root), undefined);
  mkdirSync(join(root, "a"));
  writeFileSync(join(root, "a", "state.json"), '{"cgroup_pa');
  writeFileSync(join(root, "config.json"), '{"linux":{"cgroupsPath":"/swarm/a"}');
  assert.equal(readCgroupPaths(root, "a").size, 0);
  assert.equal(await readCgroupsPath(root), undefined);
  writeFileSync(join(root, "config.json"), '{"linux":{"cgroupsPath":"/swarm/a"}}');
  assert.equal(await readCgroupsPath(root), "/swarm/a");
});
