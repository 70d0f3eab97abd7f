import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { passingFault, retried, retryAfterMs } from "./retry.ts";

const nowMs = Date.UTC(2026, 0, 1);

for (const [text, ms] of [
  ["0", 0],
  ["120", 120_000],
  [" 5 ", 5_000],
  ["Thu, 01 Jan 2026 00:01:00 GMT", 60_000],
  ["Wed, 31 Dec 2025 00:00:00 GMT", 0],
  ["soon", undefined],
  ["-1", undefined],
  ["1.5", undefined],
  ["", undefined],
] as const) {
  test(`Retry-After "${text}" is a pause of ${ms} ms`, () => {
    assert.equal(retryAfterMs({ "retry-after": text }, nowMs), ms);
  });
}

test("Retry-After of any text is a pause or none", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const ms = retryAfterMs({ "retry-after": text }, nowMs);
      assert.ok(ms === undefined || ms >= 0);
    }),
  );
});

test("attempts pause twice as long each time, a little randomly, and as long as they are told", async () => {
  const pauses: number[] = [];
  const clock = {
    now: () => nowMs,
    monotonic: () => 0,
    sleep: async (ms: number) => void pauses.push(ms),
    timer: () => ({ [Symbol.dispose]: () => {} }),
  };
  const random = { bytes: (count: number) => new Uint8Array(count), int: () => 1 };
  const faults = [undefined, 3_000, 10, undefined].map((ms) => passingFault("it is busy", ms));
  const options = { backoffMs: 100, attempts: 4, signal: new AbortController().signal };
  const attempt = async () => {
    const fault = faults.shift();
    throw Fault.wrap("Cannot pull", fault);
  };
  await assert.rejects(retried(options, { clock, random }, attempt), { code: "unavailable" });
  assert.deepEqual(pauses, [101, 3_001, 401]);
});
