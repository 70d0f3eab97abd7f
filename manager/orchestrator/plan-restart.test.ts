import assert from "node:assert/strict";
import { test } from "node:test";
import { RestartCondition, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { durationFromMs, timestampFromMs } from "#proto/time.ts";
import { testTask, testTaskSpec } from "../testing/fixtures.ts";
import { planRestart } from "./plan-restart.ts";

const nowMs = 1_700_000_000_000;
const { ANY, NONE, ON_FAILURE } = RestartCondition;

interface DeadOptions {
  readonly policy?: {
    condition: RestartCondition;
    delayMs?: number;
    maxAttempts?: number;
    windowMs?: number;
  };
  readonly state?: TaskState;
  readonly attempt?: number;
  readonly diedMsAgo?: number;
  readonly version?: number;
}

function dead(id: string, options: DeadOptions = {}): Task {
  const { policy, state = TaskState.FAILED, attempt = 1, diedMsAgo = 0, version = 1 } = options;
  const restart = policy && {
    condition: policy.condition,
    maxAttempts: BigInt(policy.maxAttempts ?? 0),
    ...(policy.delayMs === undefined ? {} : { delay: durationFromMs(policy.delayMs) }),
    ...(policy.windowMs === undefined ? {} : { window: durationFromMs(policy.windowMs) }),
  };
  return testTask(id, {
    spec: testTaskSpec(restart === undefined ? {} : { restart }),
    specVersion: { index: BigInt(version) },
    status: { state, attempt },
    atMs: nowMs - diedMsAgo,
  });
}

const conditions = [
  ["unset", undefined, TaskState.COMPLETE, true],
  ["any", ANY, TaskState.COMPLETE, true],
  ["any", ANY, TaskState.FAILED, true],
  ["any", ANY, TaskState.REJECTED, true],
  ["on-failure", ON_FAILURE, TaskState.COMPLETE, false],
  ["on-failure", ON_FAILURE, TaskState.FAILED, true],
  ["on-failure", ON_FAILURE, TaskState.SHUTDOWN, true],
  ["none", NONE, TaskState.FAILED, false],
] as const;
for (const [name, condition, state, restarts] of conditions) {
  test(`Condition ${name}, a task in state ${state} is ${restarts ? "" : "not "}replaced`, () => {
    const task = dead("a", condition === undefined ? { state } : { state, policy: { condition } });
    assert.equal(planRestart(task, [task], nowMs).restart, restarts);
  });
}

function delayMs(tasks: readonly Task[]): number | undefined {
  const [newest] = tasks;
  assert.ok(newest);
  const plan = planRestart(newest, tasks, nowMs);
  return plan.restart ? plan.dueAtMs - nowMs : undefined;
}

function deadSlot(count: number, options: DeadOptions): readonly Task[] {
  return Array.from({ length: count }, (_, index) =>
    dead(`t${index}`, { ...options, diedMsAgo: index * 1_000 }),
  );
}

test("The wait is 5 s by default, and doubles with each recent death up to a minute", () => {
  const waits = [1, 2, 3, 4, 5, 6].map((count) => delayMs(deadSlot(count, {})));
  assert.deepEqual(waits, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
});

test("A delay of 0 restarts at once the first time, then ever later", () => {
  const policy = { condition: ANY, delayMs: 0 };
  const waits = [1, 2, 3, 6].map((count) => delayMs(deadSlot(count, { policy })));
  assert.deepEqual(waits, [0, 200, 400, 3_200]);
});

test("A delay beyond the cap is kept", () => {
  const policy = { condition: ANY, delayMs: 120_000 };
  assert.equal(delayMs(deadSlot(3, { policy })), 120_000);
});

test("Deaths of other versions and of long ago do not lengthen the wait", () => {
  const others = [dead("b", { version: 2 }), dead("c", { diedMsAgo: 400_000 })];
  assert.equal(delayMs([dead("a"), ...others]), 5_000);
});

test("All runs of the slot's version count against the most attempts, those in place too", () => {
  const policy = { condition: ANY, maxAttempts: 3 };
  assert.notEqual(delayMs([dead("a", { policy, attempt: 3 })]), undefined);
  assert.equal(delayMs([dead("a", { policy, attempt: 4 })]), undefined);
  const earlier = dead("b", { policy, attempt: 2 });
  assert.notEqual(delayMs([dead("a", { policy }), earlier]), undefined);
  assert.equal(delayMs([dead("a", { policy, attempt: 2 }), earlier]), undefined);
  const other = dead("b", { policy, attempt: 9, version: 2 });
  assert.notEqual(delayMs([dead("a", { policy }), other]), undefined);
});

test("With a window only the runs that ended within it count", () => {
  const policy = { condition: ANY, maxAttempts: 1, windowMs: 60_000 };
  const recent = dead("b", { policy, diedMsAgo: 30_000 });
  const old = dead("c", { policy, diedMsAgo: 90_000 });
  assert.equal(delayMs([dead("a", { policy }), recent]), undefined);
  assert.notEqual(delayMs([dead("a", { policy }), old]), undefined);
});

test("A node whose clock is ahead does not hold up its task's successor", () => {
  const task = dead("a");
  assert.ok(task.status);
  task.status.timestamp = timestampFromMs(nowMs + 3_600_000);
  assert.equal(delayMs([task]), 5_000);
});
