import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { durationFromMs, msFromTimestamp } from "#proto/time.ts";
import { scaledByUser } from "../service-spec.ts";
import { testService } from "../testing/fixtures.ts";
import { ScaledService, scaledService, startMs } from "./testing/scaled-service.ts";

const minuteMs = 60_000;

/** The load is shared by all tasks, in percent of one task's CPU. */
const loadOf = (percent: number) => (running: number) => percent / Math.max(running, 1);

function running(
  replicas: number,
  load: number | undefined,
  init: Parameters<typeof scaledService>[0] = {},
): ScaledService {
  const scaled = new ScaledService(scaledService(init, { replicas }));
  scaled.round();
  if (load !== undefined) scaled.cpuPercent = loadOf(load);
  return scaled;
}

describe("autoscale", () => {
  it("a service that is new to it keeps its replicas, within the bounds, and says what it waits for", () => {
    const scaled = running(3, undefined, { minReplicas: 4n });
    assert.equal(scaled.replicas, 4);
    assert.match(scaled.service.autoscaleStatus?.message ?? "", /nothing was measured/);
    assert.equal(scaled.round().service, undefined);
  });

  it("more load: more replicas at once, no more than twice as many and four in a step", () => {
    const scaled = running(1, 2_000);
    scaled.pass(5_000);
    assert.equal(scaled.replicas, 5);
    assert.match(
      scaled.service.autoscaleStatus?.message ?? "",
      /^scaled from 1 to 5: CPU at 2000 %, 50 % wanted$/,
    );
    scaled.pass(10_000);
    assert.equal(scaled.replicas, 5);
    scaled.pass(5 * minuteMs);
    assert.equal(scaled.replicas, 40);
  });

  it("no more than are allowed, which it says", () => {
    const scaled = running(3, 1_000, { maxReplicas: 5n });
    scaled.pass(2 * minuteMs);
    assert.equal(scaled.replicas, 5);
    assert.match(
      scaled.service.autoscaleStatus?.message ?? "",
      /^CPU at 200 %, 50 % wanted: 20 are wished for, more than 5 are not allowed$/,
    );
  });

  it("less load: fewer replicas after five minutes in which no more were wished for", () => {
    const scaled = running(10, 500);
    scaled.pass(minuteMs);
    scaled.cpuPercent = loadOf(100);
    scaled.pass(4 * minuteMs);
    scaled.cpuPercent = loadOf(300);
    scaled.pass(5_000);
    scaled.cpuPercent = loadOf(100);
    scaled.pass(4.9 * minuteMs);
    // One round of the last five minutes wished for six.
    assert.equal(scaled.replicas, 6);
    scaled.pass(minuteMs);
    assert.equal(scaled.replicas, 2);
    assert.match(scaled.service.autoscaleStatus?.message ?? "", /^(scaled from 6 to 2: )?CPU at/);
  });

  it("settings of how long: up late, down at once", () => {
    const scaled = running(2, 400, {
      scaleUpAfter: durationFromMs(minuteMs),
      scaleDownAfter: durationFromMs(0),
    });
    scaled.pass(55_000);
    assert.equal(scaled.replicas, 2);
    scaled.pass(10_000);
    assert.equal(scaled.replicas, 6);
    scaled.pass(2 * minuteMs);
    assert.equal(scaled.replicas, 8);
    scaled.cpuPercent = loadOf(100);
    scaled.pass(5_000);
    assert.equal(scaled.replicas, 2);
  });

  it("a new leader does not jump: it keeps what there is until it has measurements, and waits anew to scale down", () => {
    const scaled = running(2, 400);
    scaled.pass(5 * minuteMs);
    assert.equal(scaled.replicas, 8);
    scaled.forget();
    const load = scaled.cpuPercent;
    scaled.cpuPercent = undefined;
    scaled.pass(50_000);
    assert.equal(scaled.replicas, 8);
    assert.doesNotMatch(scaled.service.autoscaleStatus?.message ?? "", /nothing was measured/);
    scaled.cpuPercent = load;
    scaled.pass(minuteMs);
    assert.equal(scaled.replicas, 8);
    scaled.cpuPercent = loadOf(50);
    scaled.pass(4 * minuteMs);
    scaled.forget();
    scaled.pass(4.9 * minuteMs);
    assert.equal(scaled.replicas, 8);
    scaled.pass(minuteMs);
    assert.equal(scaled.replicas, 1);
  });

  it("without measurements for a minute it says so, and changes nothing", () => {
    const scaled = running(4, 200);
    scaled.pass(minuteMs);
    scaled.cpuPercent = undefined;
    scaled.pass(55_000);
    assert.doesNotMatch(scaled.service.autoscaleStatus?.message ?? "", /nothing was measured/);
    scaled.pass(10 * minuteMs);
    assert.match(scaled.service.autoscaleStatus?.message ?? "", /nothing was measured/);
    assert.equal(scaled.replicas, 4);
    // Nor has the time without any counted for scaling down.
    scaled.cpuPercent = loadOf(50);
    scaled.pass(4.9 * minuteMs);
    assert.equal(scaled.replicas, 4);
  });

  it("what a user sets holds as long as any other wish, and the spec keeps its number", () => {
    const scaled = running(2, 100);
    scaled.pass(10 * minuteMs);
    const { spec } = testService({ replicas: 9 });
    assert.ok(spec && scaled.service.spec);
    const sent = { ...scaled.service.spec, mode: spec.mode };
    const set = scaledByUser({ service: scaled.service, spec: sent, nowMs: scaled.nowMs });
    assert.deepEqual(set.spec, scaled.service.spec);
    scaled.service = set.service;
    assert.equal(scaled.replicas, 9);
    assert.equal(scaled.service.autoscaleStatus?.message, "set to 9 by a user");
    scaled.pass(4.9 * minuteMs);
    assert.equal(scaled.replicas, 9);
    scaled.pass(minuteMs);
    assert.equal(scaled.replicas, 2);
    const beyond = { ...sent, mode: testService({ replicas: 101 }).spec?.mode ?? sent.mode };
    assert.throws(() => scaledByUser({ service: scaled.service, spec: beyond, nowMs: 0 }), {
      message: /Cannot scale service "web" to 101: it is autoscaled from 1 to 100 replicas; use/,
    });
  });

  it("other bounds hold at once and are said; without any the status goes", () => {
    const scaled = running(20, 1_000);
    scaled.pass(minuteMs);
    const { spec } = scaledService({ maxReplicas: 7n }, { replicas: 20 });
    scaled.service = { ...scaled.service, ...(spec && { spec }) };
    assert.equal(scaled.replicas, 7);
    scaled.pass(5_000);
    assert.equal(scaled.service.autoscaleStatus?.replicas, 7n);
    assert.equal(
      scaled.service.autoscaleStatus?.message,
      "scaled from 20 to 7: more are not allowed",
    );
    const plain = testService({ replicas: 20 }).spec;
    scaled.service = { ...scaled.service, ...(plain && { spec: plain }) };
    const { service, memory } = scaled.round();
    assert.deepEqual([service?.autoscaleStatus, memory], [undefined, undefined]);
    assert.equal(scaled.round().service, undefined);
  });

  it("is written at once where the number changes, else every half minute where words do", () => {
    const scaled = running(2, 100);
    let writes = 0;
    let turn = 0;
    scaled.cpuPercent = () => 49 + (turn++ % 3);
    for (let rounds = 0; rounds < 60; rounds++) {
      scaled.nowMs += 5_000;
      if (scaled.round().service !== undefined) writes++;
    }
    assert.ok(writes >= 5 && writes <= 10, `${writes} writes`);
    scaled.cpuPercent = () => 50;
    scaled.pass(minuteMs);
    const measuredMs = msFromTimestamp(scaled.service.autoscaleStatus?.measuredAt);
    scaled.pass(4 * minuteMs);
    assert.equal(msFromTimestamp(scaled.service.autoscaleStatus?.measuredAt), measuredMs);
    scaled.pass(2 * minuteMs);
    assert.ok(msFromTimestamp(scaled.service.autoscaleStatus?.measuredAt) > measuredMs);
  });

  it("with any load, the bounds hold, steps are no larger than allowed, and fewer come only after five quiet minutes", () => {
    const loads = fc.array(
      fc.record({
        load: fc.option(fc.integer({ min: 0, max: 5_000 })),
        rounds: fc.integer({ min: 1, max: 90 }),
        isNew: fc.boolean(),
      }),
      { minLength: 1, maxLength: 12 },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), loads, (replicas, phases) => {
        const scaled = running(replicas, undefined, { minReplicas: 2n, maxReplicas: 30n });
        const wished: { readonly atMs: number; readonly replicas: number }[] = [];
        let beganMs = startMs;
        for (const { load, rounds, isNew } of phases) {
          if (isNew) {
            scaled.forget();
            beganMs = scaled.nowMs;
          }
          scaled.cpuPercent = load === null ? undefined : loadOf(load);
          for (let round = 0; round < rounds; round++) {
            const before = scaled.replicas;
            scaled.nowMs += 5_000;
            scaled.round();
            const after = scaled.replicas;
            assert.ok(after >= 2 && after <= 30);
            assert.ok(after <= Math.max(2 * before, before + 4));
            if (load === null) assert.equal(after, before);
            // What the load would have wanted, with all tasks warm, is a bound for every wish to scale down.
            if (load !== null) wished.push({ atMs: scaled.nowMs, replicas: load / 50 });
            if (after < before) {
              assert.ok(scaled.nowMs - beganMs >= 5 * minuteMs);
              const recent = wished.filter(({ atMs }) => scaled.nowMs - atMs < 5 * minuteMs);
              assert.ok(recent.every((wish) => Math.min(wish.replicas, before) * 0.9 <= after));
            }
          }
        }
      }),
      { numRuns: 25 },
    );
  });

  it("noise within the tolerance never changes the number, and a steady load comes to rest", () => {
    const noise = fc.array(fc.double({ min: 0.91, max: 1.09, noNaN: true }), {
      minLength: 200,
      maxLength: 200,
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), noise, (replicas, factors) => {
        const scaled = running(replicas, undefined);
        for (const factor of factors) {
          scaled.cpuPercent = () => 50 * factor;
          scaled.pass(5_000);
          assert.equal(scaled.replicas, replicas);
        }
      }),
      { numRuns: 10 },
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 0, max: 1_500 }),
        (replicas, load) => {
          const scaled = running(replicas, load, { maxReplicas: 30n });
          scaled.pass(15 * minuteMs);
          const { replicas: rest } = scaled;
          const use = load / rest / 50;
          assert.ok(use <= 1.1 || rest === 30);
          assert.ok(rest === 1 || load / (rest - 1) / 50 > 0.9);
          scaled.pass(10 * minuteMs);
          assert.equal(scaled.replicas, rest);
        },
      ),
      { numRuns: 40 },
    );
  });
});
