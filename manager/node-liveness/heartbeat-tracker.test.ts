import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { HeartbeatTracker } from "./heartbeat-tracker.ts";

test("A node expires exactly at the end of its grace, once", () => {
  const tracker = new HeartbeatTracker();
  tracker.beat("a", 0, 300);
  tracker.beat("b", 50, 300);
  assert.equal(tracker.nextDeadline(), 300);
  assert.deepEqual(tracker.expire(299), []);
  assert.deepEqual(tracker.expire(300), ["a"]);
  assert.deepEqual(tracker.expire(1_000), ["b"]);
  assert.equal(tracker.nextDeadline(), undefined);
});

test("A pardon lengthens every grace that would end sooner, and shortens none", () => {
  const tracker = new HeartbeatTracker();
  tracker.beat("a", 0, 300);
  tracker.beat("b", 0, 9_000);
  tracker.pardon(1_000, 300);
  assert.deepEqual(tracker.expire(1_299), []);
  assert.deepEqual(tracker.expire(1_300), ["a"]);
  assert.equal(tracker.nextDeadline(), 9_000);
});

test("A node that beats within its grace never expires; one that does not, always does", () => {
  const gaps = fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(gaps, (waits) => {
      const tracker = new HeartbeatTracker();
      let nowMs = 0;
      tracker.beat("a", nowMs, 300);
      for (const waitMs of waits) {
        nowMs += waitMs;
        assert.deepEqual(tracker.expire(nowMs), waitMs >= 300 ? ["a"] : []);
        tracker.beat("a", nowMs, 300);
      }
    }),
  );
});
