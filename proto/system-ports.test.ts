import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock, systemRandom } from "./system-ports.ts";

const tooLongForNodeMs = 30 * 24 * 3_600_000;

test("system clock, a wait of a month does not end at once", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let rang = false;
  using _timer = systemClock.timer(tooLongForNodeMs, () => {
    rang = true;
  });
  t.mock.timers.tick(2 ** 31);
  assert.equal(rang, false);
  t.mock.timers.tick(tooLongForNodeMs);
  assert.equal(rang, true);
});

test("system clock, a disposed timer does not ring", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let rang = false;
  const timer = systemClock.timer(10, () => {
    rang = true;
  });
  timer[Symbol.dispose]();
  t.mock.timers.tick(20);
  assert.equal(rang, false);
});

test("system clock, a long sleep ends when it is aborted", async () => {
  const controller = new AbortController();
  const sleep = systemClock.sleep(tooLongForNodeMs, controller.signal);
  controller.abort(new Error("enough"));
  await assert.rejects(sleep, { name: "AbortError" });
});

test("system randomness, no byte is handed out twice, and what was handed out stays", () => {
  const texts = new Set<string>();
  const kept: { readonly bytes: Uint8Array; readonly text: string }[] = [];
  for (let count = 0; count < 2_000; count++) {
    const bytes = systemRandom.bytes(8 + (count % 300));
    assert.equal(bytes.length, 8 + (count % 300));
    const text = Buffer.from(bytes).toString("hex");
    assert.ok(!texts.has(text.slice(0, 16)));
    texts.add(text.slice(0, 16));
    kept.push({ bytes, text });
  }
  for (const { bytes, text } of kept) assert.equal(Buffer.from(bytes).toString("hex"), text);
});
