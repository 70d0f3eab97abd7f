import assert from "node:assert/strict";
import { test } from "node:test";
import { identify } from "#lab/process-id.ts";
import { parseCpuMs, parseRssMb, readUsage } from "./usage.ts";

test("CPU time is that of user space and the kernel, whatever the process is called", () => {
  const fields = "S 1 2 3 0 -1 4194304 500 0 0 0 250 50 7 8 20 0 11 0 12345 1000000 2000";
  assert.equal(parseCpuMs(`42 (a) S 9 (b) ${fields}`), 3_000);
});

test("memory is what is resident", () => {
  assert.equal(parseRssMb("Name:\tnode\nVmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\n"), 100);
});

test("a process that works uses CPU time; one that is gone is named", () => {
  const self = identify(process.pid);
  assert.ok(self !== undefined);
  const before = readUsage(self, "this test");
  const usedMs = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  while (usedMs() < before.cpuMs + 60);
  const after = readUsage(self, "this test");
  assert.ok(after.cpuMs > before.cpuMs && after.atMs > before.atMs && after.rssMb > 10);
  const gone = { ...self, startTime: self.startTime + 1 };
  assert.throws(() => readUsage(gone, "the manager of h1"), {
    message: /^the manager of h1 ended/,
  });
});
