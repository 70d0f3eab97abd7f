import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "#proto/fault.ts";
import { summarize } from "./summary.ts";
import type { Usage } from "./usage.ts";

const minuteMs = 60_000;

function samples(seconds: number, at: (second: number) => Omit<Usage, "atMs">): readonly Usage[] {
  return Array.from({ length: seconds + 1 }, (_, second) => {
    return { atMs: 5_000 + 1_000 * second, ...at(second) };
  });
}

test("CPU time is told as a share of one core, in all and of each whole window", () => {
  // Busy for 600 ms in the first minute, for 1200 in the second, for 300 in the half that follows.
  const busyMs = (second: number) => Math.min(second, 60) * 10 + Math.max(0, second - 60) * 20;
  const { cpuPercent, cpuPercentEach } = summarize(
    samples(150, (second) => ({ cpuMs: 700 + busyMs(second), rssMb: 80 })),
    minuteMs,
  );
  assert.deepEqual(cpuPercentEach, [1, 2]);
  assert.equal(cpuPercent, 1.6);
});

test("less than one window is a window", () => {
  const each = summarize(
    samples(10, (second) => ({ cpuMs: 5 * second, rssMb: 80 })),
    minuteMs,
  ).cpuPercentEach;
  assert.deepEqual(each, [0.5]);
});

test("memory that grows steadily grows by so much in an hour, and one that swings does not grow", () => {
  const growing = samples(600, (second) => ({ cpuMs: 0, rssMb: 100 + second / 60 }));
  const { rssMbPerHour, rssMbStart, rssMbEnd } = summarize(growing, minuteMs);
  assert.ok(Math.abs(rssMbPerHour - 60) < 1e-6);
  assert.ok(Math.abs(rssMbStart - 100.5) < 1e-6);
  assert.ok(Math.abs(rssMbEnd - 109.5) < 1e-6);
  const swinging = samples(600, (second) => ({ cpuMs: 0, rssMb: 100 + (second % 20) }));
  assert.ok(Math.abs(summarize(swinging, minuteMs).rssMbPerHour) < 6);
});

test("one look is no measurement", () => {
  assert.throws(
    () =>
      summarize(
        samples(0, () => ({ cpuMs: 0, rssMb: 1 })),
        minuteMs,
      ),
    Fault,
  );
});
