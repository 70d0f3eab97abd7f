import assert from "node:assert/strict";
import { test } from "node:test";
import { cgroupRoots } from "./cgroups.ts";

test("cgroupRoots() finds the hierarchies of both versions", () => {
  const mounts = `proc /proc proc rw 0 0
tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
`;
  assert.deepEqual(cgroupRoots(mounts), ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"]);
  assert.deepEqual(cgroupRoots(""), []);
});
