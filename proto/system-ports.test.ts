import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "./system-ports.ts";

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
