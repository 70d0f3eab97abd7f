import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLog, systemRandom } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { announce } from "./announced-key.ts";
import { HostKeys } from "./host-keys.ts";
import { KeyRotation } from "./key-rotation.ts";

const periodMs = 12 * 3_600_000;
const settleMs = 2_000;

/** A host whose random choices all come to 0. */
async function open() {
  const folder = await mkdtemp(join(tmpdir(), "key-rotation-"));
  const clock = new FakeClock();
  const random = { ...systemRandom, int: () => 0 };
  const keys = await HostKeys.open(join(folder, "keys.json"), { clock, random, log: silentLog });
  const done: string[] = [];
  let onStep = () => {};
  const note = (what: string) => {
    done.push(what);
    onStep();
  };
  const modules = {
    keys,
    clock,
    random,
    log: silentLog,
    peers: () => 2,
    onAnnouncement: () => note(announce(keys)),
    changeOver: async () => note("changed over"),
  };
  return {
    clock,
    keys,
    done,
    rotation: new KeyRotation(modules),
    again: () => new KeyRotation(modules),
    /** Resolves when as many things were done. */
    async until(count: number): Promise<void> {
      const { promise, resolve } = Promise.withResolvers<void>();
      onStep = () => {
        if (done.length >= count) resolve();
      };
      onStep();
      await promise;
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

const deadline = { timeout: 10_000 };

test(
  "KeyRotation, renews when the period is over, and changes over when the news has settled",
  deadline,
  async () => {
    await using host = await open();
    const { clock, keys, rotation, done } = host;
    const before = keys.inUse.publicKey;
    const say = () => rotation.onNews({ announced: announce(keys), periodMs, rotations: 0 });
    say();
    clock.advance(periodMs - 1);
    assert.deepEqual(done, []);
    clock.advance(1);
    await host.until(1);
    const next = keys.next?.publicKey ?? "";
    assert.deepEqual(done, [`${before} ${next}`]);
    // No manager has confirmed it.
    clock.advance(periodMs);
    assert.equal(keys.inUse.publicKey, before);
    say();
    clock.advance(settleMs - 1);
    assert.equal(keys.inUse.publicKey, before);
    clock.advance(1);
    await host.until(3);
    assert.deepEqual(done.slice(1), ["changed over", next]);
    assert.equal(keys.inUse.publicKey, next);
  },
);

test("KeyRotation, renews on command, once for each", deadline, async () => {
  await using host = await open();
  const { clock, keys, rotation, done } = host;
  const say = (rotations: number) =>
    rotation.onNews({ announced: announce(keys), periodMs, rotations });
  say(1);
  clock.advance(0);
  await host.until(1);
  say(1);
  clock.advance(settleMs);
  await host.until(3);
  say(1);
  clock.advance(periodMs / 2);
  assert.equal(done.length, 3);
  assert.equal(keys.inUse.rotation, 1);
  say(2);
  clock.advance(0);
  await host.until(4);
});

test("KeyRotation, goes on where an earlier one ended", deadline, async () => {
  await using host = await open();
  const { clock, keys, rotation } = host;
  await keys.renew(1);
  rotation[Symbol.dispose]();
  const news = { announced: announce(keys), periodMs, rotations: 1 };
  rotation.onNews(news);
  clock.advance(settleMs);
  assert.notEqual(keys.next, undefined);
  using again = host.again();
  again.onNews(news);
  clock.advance(settleMs);
  await host.until(2);
  assert.equal(keys.next, undefined);
});
