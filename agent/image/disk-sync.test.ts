import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "#proto/fault.ts";
import type { Exec } from "../exec.ts";
import { DiskSync } from "./disk-sync.ts";

/** Every sync waits until it is let go; `ran` holds those that began. */
function held() {
  const ran: { readonly end: () => void; readonly fail: () => void }[] = [];
  const began: (() => void)[] = [];
  const run: Exec["run"] = (command, args) => {
    assert.deepEqual([command, ...args], ["sync", "-f", "/data"]);
    const { promise, resolve, reject } = Promise.withResolvers<{
      stdout: string;
      stderr: string;
    }>();
    ran.push({
      end: () => resolve({ stdout: "", stderr: "" }),
      fail: () => reject(new Fault("internal", "input/output error")),
    });
    began.shift()?.();
    return promise;
  };
  const start: Exec["start"] = () => assert.fail("nothing is started");
  const next = () => new Promise<void>((resolve) => began.push(resolve));
  return { sync: new DiskSync("/data", { exec: { run, start } }), ran, next };
}

test("disk sync, those who ask during one share the next", async () => {
  const { sync, ran, next } = held();
  const first = next();
  const one = sync.flush();
  await first;
  const second = next();
  const others = [sync.flush(), sync.flush(), sync.flush()];
  ran[0]?.end();
  await one;
  await second;
  assert.equal(ran.length, 2);
  ran[1]?.end();
  await Promise.all(others);
  assert.equal(ran.length, 2);
});

test("disk sync, much that is written begins one, and its failure is the next asker's affair", async () => {
  const { sync, ran, next } = held();
  sync.onWritten(20_000_000);
  const first = next();
  sync.onWritten(20_000_000);
  await first;
  ran[0]?.fail();
  const second = next();
  const flushed = sync.flush();
  await second;
  ran[1]?.end();
  await flushed;
});

test("disk sync, who asks is told that the disk failed", async () => {
  const { sync, ran, next } = held();
  const first = next();
  const flushed = sync.flush();
  await first;
  ran[0]?.fail();
  await assert.rejects(flushed, /input\/output error/);
});
