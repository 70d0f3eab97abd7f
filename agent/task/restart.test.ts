import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { RestartCondition, RestartPolicySchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { noRestarts, planRestart, type RestartHistory } from "./restart.ts";

const { NONE, ON_FAILURE, ANY } = RestartCondition;

function policy(init: MessageInitShape<typeof RestartPolicySchema>) {
  return create(RestartPolicySchema, init);
}

const quick = { failed: true, upMs: 1_000, endedAtMs: 1_000 };
const healthy = { failed: true, upMs: 10_000, endedAtMs: 10_000 };

test("planRestart, conditions: none never, on-failure after failures, any always", () => {
  const rows = [
    [NONE, true, false],
    [NONE, false, false],
    [ON_FAILURE, true, true],
    [ON_FAILURE, false, false],
    [ANY, true, true],
    [ANY, false, true],
  ] as const;
  for (const [condition, failed, restart] of rows) {
    assert.equal(
      planRestart(policy({ condition }), noRestarts, { ...quick, failed }).restart,
      restart,
    );
  }
});

test("planRestart, no policy: any, after five seconds", () => {
  const plan = planRestart(undefined, noRestarts, quick);
  assert.ok(plan.restart);
  assert.equal(plan.delayMs, 5_000);
});

function delays(delayMs: number, count: number): number[] {
  let history: RestartHistory = noRestarts;
  return Array.from({ length: count }, () => {
    const plan = planRestart(
      policy({ condition: ANY, delay: durationFromMs(delayMs) }),
      history,
      quick,
    );
    assert.ok(plan.restart);
    history = plan.history;
    return plan.delayMs;
  });
}

test("planRestart, quick failures: the policy's delay, then doubling up to a minute", () => {
  assert.deepEqual(delays(5_000, 6), [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  assert.deepEqual(delays(0, 5), [0, 100, 200, 400, 800]);
  assert.equal(delays(0, 30).at(-1), 60_000);
  assert.deepEqual(delays(90_000, 3), [90_000, 90_000, 90_000]);
});

test("planRestart, a run of ten seconds: the policy's delay again", () => {
  const zero = policy({ condition: ANY, delay: durationFromMs(0) });
  const plan = planRestart(zero, { restartsAtMs: [], lastDelayMs: 800 }, healthy);
  assert.deepEqual(plan, { restart: true, delayMs: 0, history: { restartsAtMs: [] } });
});

test("planRestart, max_attempts: so many restarts, with a window only those within it", () => {
  const limited = policy({ condition: ANY, maxAttempts: 2n });
  const history = { restartsAtMs: [100, 900] };
  assert.equal(planRestart(limited, history, quick).restart, false);
  const windowed = policy({ condition: ANY, maxAttempts: 2n, window: durationFromMs(500) });
  const plan = planRestart(windowed, history, quick);
  assert.ok(plan.restart);
  assert.deepEqual(plan.history.restartsAtMs, [900, 1_000]);
});

test("planRestart, a clock that was put back by hours: restarts of before are in no window", () => {
  const windowed = policy({ condition: ANY, maxAttempts: 2n, window: durationFromMs(60_000) });
  const hoursMs = 5 * 3_600_000;
  const plan = planRestart(windowed, { restartsAtMs: [hoursMs, hoursMs + 1] }, quick);
  assert.ok(plan.restart);
  assert.deepEqual(plan.history.restartsAtMs, [1_000]);
});
