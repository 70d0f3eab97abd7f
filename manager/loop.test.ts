import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";
import { silentLog } from "#proto/system-ports.ts";
import { DirtySet, Loop } from "./loop.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";

test("A loop runs one round at a time, and one more for all that came meanwhile", async () => {
  const clock = new FakeClock();
  const gates: (() => void)[] = [];
  let running = 0;
  const round = async () => {
    assert.equal(++running, 1);
    await new Promise<void>((resolve) => gates.push(resolve));
    running--;
    return undefined;
  };
  await using loop = new Loop({ name: "test", round }, { clock, log: silentLog });
  for (let i = 0; i < 5; i++) loop.wake();
  await turn();
  for (let i = 0; i < 5; i++) loop.wake();
  assert.equal(gates.length, 1);
  gates[0]?.();
  await turn();
  assert.equal(gates.length, 2);
  gates[1]?.();
  await turn();
  assert.equal(gates.length, 2);
});

test("A loop runs again when a round asked for it, and the latest wish counts", async () => {
  const clock = new FakeClock();
  const atMs: number[] = [];
  const start = clock.now();
  const round = async () => {
    atMs.push(clock.now() - start);
    return atMs.length === 1 ? start + 500 : undefined;
  };
  await using loop = new Loop({ name: "test", round }, { clock, log: silentLog });
  loop.wake();
  await turn();
  clock.advance(499);
  await turn();
  assert.deepEqual(atMs, [0]);
  clock.advance(1);
  await turn();
  clock.advance(10_000);
  await turn();
  assert.deepEqual(atMs, [0, 500]);
});

test("A loop tries again after faults that pass, ever later", async () => {
  const clock = new FakeClock();
  const atMs: number[] = [];
  const start = clock.now();
  const round = async () => {
    atMs.push(clock.now() - start);
    if (atMs.length < 4) throw new Fault("unavailable", "not yet");
    return undefined;
  };
  await using loop = new Loop({ name: "test", round }, { clock, log: silentLog });
  loop.wake();
  for (let i = 0; i < 40; i++) {
    await turn();
    clock.advance(50);
  }
  assert.deepEqual(atMs, [0, 50, 150, 350]);
});

test("A loop ends with a fault that does not pass, and says so", async () => {
  const clock = new FakeClock();
  let rounds = 0;
  const round = async () => {
    rounds++;
    throw new Fault("data-loss", "the disk is gone");
  };
  await using loop = new Loop({ name: "test loop", round }, { clock, log: silentLog });
  loop.wake();
  await assert.rejects(loop.failed, {
    code: "data-loss",
    message: "The test loop cannot go on: the disk is gone",
  });
  loop.wake();
  await turn();
  assert.equal(rounds, 1);
});

test("What a failed round took is dirty again", async () => {
  const dirty = new DirtySet<string>();
  dirty.add("a");
  const failing = dirty.drain(async (items) => {
    assert.deepEqual([...items], ["a"]);
    dirty.add("b");
    throw new Fault("unavailable", "no");
  });
  await assert.rejects(failing);
  assert.deepEqual([dirty.size, dirty.has("a"), dirty.has("b")], [2, true, true]);
  await dirty.drain(async (items) => assert.equal(items.size, 2));
  assert.equal(dirty.size, 0);
});

test("What waits for a moment is dirty when it has come, unless it was called off", async () => {
  const dirty = new DirtySet<string>();
  dirty.awaits("early", 10);
  dirty.awaits("late", 20);
  dirty.awaits("never", 5);
  dirty.awaits("never", undefined);
  const seen: string[][] = [];
  const look = async (items: ReadonlySet<string>) => void seen.push([...items]);
  assert.equal(await dirty.drainDue(9, look), 10);
  assert.equal(await dirty.drainDue(10, look), 20);
  const failing = () => Promise.reject(new Error("no"));
  await assert.rejects(dirty.drainDue(20, failing));
  assert.equal(await dirty.drainDue(20, look), undefined);
  assert.deepEqual(seen, [[], ["early"], ["late"]]);
});

test("When the clock was set back, everything that waits for a moment is looked at again", async () => {
  const dirty = new DirtySet<string>();
  dirty.awaits("tomorrow", 1_000);
  const seen: string[][] = [];
  const look = async (items: ReadonlySet<string>) => void seen.push([...items]);
  await dirty.drainDue(900, look);
  assert.equal(await dirty.drainDue(100, look), undefined);
  assert.deepEqual(seen, [[], ["tomorrow"]]);
});
