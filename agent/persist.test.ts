import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "#proto/system-ports.ts";
import { persist } from "./persist.ts";

test("persist, work that fails: again after pauses that double up to a minute, until it succeeds", async () => {
  const pauses: number[] = [];
  const clock = { ...systemClock, sleep: async () => {} };
  let left = 9;
  const work = async () => {
    if (left-- > 0) throw new Error("busy");
  };
  const { signal } = new AbortController();
  const onFailure = (_fault: Error, pauseMs: number) => void pauses.push(pauseMs);
  assert.equal(await persist(work, signal, { clock, onFailure }), true);
  assert.deepEqual(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
});

test("persist, aborted in a pause: ends without the work being done", async () => {
  const abort = new AbortController();
  const work = () => Promise.reject(new Error("busy"));
  const onFailure = () => abort.abort();
  assert.equal(await persist(work, abort.signal, { clock: systemClock, onFailure }), false);
});
