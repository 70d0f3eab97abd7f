import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLabName, planHosts } from "./lab-folder.ts";
import { hostNetwork } from "./lan.ts";

test("planHosts() numbers the hosts, managers first", () => {
  assert.deepEqual(planHosts(1, 1), [
    { name: "h1", index: 1, role: "manager" },
    { name: "h2", index: 2, role: "worker" },
  ]);
  const roles = planHosts(3, 1).map(({ role }) => role);
  assert.deepEqual(roles, ["manager", "manager", "manager", "worker"]);
  assert.throws(() => planHosts(0, 2), /needs a manager/);
  assert.throws(() => planHosts(1, 200), /at most 200/);
});

test("parseLabName() takes what can be part of paths, cgroups and host names", () => {
  assert.equal(parseLabName("my-lab-2"), "my-lab-2");
  for (const name of ["", "-x", "x-", "A", "a.b", "a/b", "..", "x".repeat(33)]) {
    assert.throws(() => parseLabName(name), { code: "invalid-argument" }, name);
  }
});

test("hostNetwork() gives a host its address and the way out", () => {
  assert.match(hostNetwork({ name: "h7", index: 7 }), /address add 172.31.0.7\/24 dev eth0/);
});
