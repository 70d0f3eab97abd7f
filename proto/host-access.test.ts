import assert from "node:assert/strict";
import { posix } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "./fault.ts";
import {
  checkCgroupParent,
  checkDevice,
  checkIpcMode,
  checkPidMode,
  checkUsernsMode,
  isIpcSysctl,
} from "./host-access.ts";
import { isNamespacedSysctl } from "./kernel-names.ts";

function passes(check: () => void): boolean {
  try {
    check();
    return true;
  } catch (thrown) {
    assert.ok(thrown instanceof Fault, String(thrown));
    assert.equal(thrown.code, "invalid-argument");
    return false;
  }
}

const paths = fc.oneof(
  fc.string(),
  fc.array(fc.constantFrom("/", ".", "..", "a", "b-1", " ", "\0", "\n")).map((p) => p.join("")),
);

test("cgroup parents, whatever passes stays where containers are kept", () => {
  let passed = 0;
  fc.assert(
    fc.property(paths, (path) => {
      if (!passes(() => checkCgroupParent(path))) return;
      passed++;
      const absolute = path.startsWith("/");
      const folder = absolute ? path : `/swarm/${path}`;
      assert.ok(posix.normalize(folder).startsWith(absolute ? "/" : "/swarm/"), path);
      assert.ok(!/[\s\0]/.test(path) && !path.split("/").includes(".."), path);
    }),
    { numRuns: 1000 },
  );
  assert.ok(passed > 10, "some pass");
  for (const path of ["", "batch", "/batch/", "a.slice/b@1"]) checkCgroupParent(path);
  for (const path of ["/", "a//b", ".", "a/../b"]) {
    assert.ok(!passes(() => checkCgroupParent(path)), path);
  }
});

test("devices, whatever passes has absolute paths without a way up", () => {
  fc.assert(
    fc.property(paths, paths, fc.string(), (pathOnHost, pathInContainer, cgroupPermissions) => {
      const device = { pathOnHost, pathInContainer, cgroupPermissions };
      if (!passes(() => checkDevice(device))) return;
      for (const path of [pathOnHost, pathInContainer || "/"]) {
        assert.ok(path.startsWith("/") && !path.split("/").includes(".."), path);
      }
      assert.match(cgroupPermissions, /^[rwm]{0,3}$/);
    }),
  );
});

test("modes of namespaces, nothing passes but the words", () => {
  fc.assert(
    fc.property(fc.string(), (mode) => {
      const known = {
        pid: passes(() => checkPidMode(mode)),
        ipc: passes(() => checkIpcMode(mode)),
      };
      const userns = passes(() => checkUsernsMode(mode));
      assert.equal(known.pid, mode === "" || mode === "host");
      assert.equal(userns, known.pid);
      assert.equal(known.ipc, ["", "none", "private", "shareable", "host"].includes(mode));
    }),
  );
  for (const mode of ["none", "private", "shareable", "host"]) checkIpcMode(mode);
});

test("sysctls, those of the IPC namespace are told from the network's", () => {
  for (const name of [
    "kernel.msgmax",
    "kernel.sem",
    "kernel.shm_rmid_forced",
    "fs.mqueue.msg_max",
  ]) {
    assert.ok(isIpcSysctl(name) && isNamespacedSysctl(name), name);
  }
  for (const name of ["net.core.somaxconn", "kernel.domainname"]) {
    assert.ok(!isIpcSysctl(name) && isNamespacedSysctl(name), name);
  }
});
