import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test, type TestContext } from "node:test";
import * as fc from "fast-check";
import { start } from "./process.ts";
import {
  childrenOf,
  commandOf,
  identify,
  innerPid,
  isAlive,
  parentOf,
  parseProcessId,
  sendSignal,
} from "./process-id.ts";

test("a process is alive until it ends, whoever has its pid then", async (t: TestContext) => {
  const child = start(["sleep", "1000"], { stdio: "ignore" });
  t.after(() => child.kill("SIGKILL"));
  const ended = new Promise((resolve) => child.on("close", (_, signal) => resolve(signal)));
  const id = identify(child.pid ?? 0);
  assert.ok(id !== undefined);
  assert.ok(isAlive(id));
  assert.ok(!isAlive({ ...id, startTime: id.startTime - 1 }));
  const self = readFileSync("/proc/self/comm", "utf8").trim();
  assert.deepEqual(parentOf(id, self), identify(process.pid));
  assert.equal(parentOf(id, "unshare"), undefined);
  assert.ok(childrenOf(process.pid).includes(id.pid));
  assert.equal(innerPid(id.pid), id.pid);
  assert.deepEqual(commandOf(id.pid), ["sleep", "1000"]);
  sendSignal({ ...id, startTime: id.startTime - 1 }, "SIGINT");
  sendSignal(id, "SIGKILL");
  assert.equal(await ended, "SIGKILL");
  assert.ok(!isAlive(id));
  assert.deepEqual(commandOf(id.pid), []);
  sendSignal(id, "SIGKILL");
});

test("parseProcessId() takes what was written and nothing else", () => {
  assert.deepEqual(parseProcessId({ pid: 12, startTime: 345 }), { pid: 12, startTime: 345 });
  assert.equal(parseProcessId({ pid: 1, startTime: 0 }), undefined);
  fc.assert(
    fc.property(fc.anything(), (value) => {
      const id = parseProcessId(value);
      assert.ok(id === undefined || (id.pid > 1 && Number.isSafeInteger(id.startTime)));
    }),
  );
});
