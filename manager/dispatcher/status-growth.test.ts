import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import {
  ContainerStatusSchema,
  Health,
  TaskState,
  type TaskStatus,
  TaskStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { compareStatus } from "./status-growth.ts";

function status(attempt: number, state: TaskState, atMs = 0): TaskStatus {
  return create(TaskStatusSchema, { attempt, state, timestamp: timestampFromMs(atMs) });
}

const { ASSIGNED, PREPARING, STARTING, RUNNING, COMPLETE, FAILED } = TaskState;

const cases = [
  [status(0, ASSIGNED), status(0, PREPARING), "grown"],
  [status(1, RUNNING), status(1, STARTING), "stale"],
  [status(1, RUNNING), status(2, STARTING), "grown"],
  [status(2, STARTING), status(1, RUNNING), "stale"],
  [status(1, PREPARING, 1), status(1, PREPARING, 2), "reworded"],
  [status(1, PREPARING, 2), status(1, PREPARING, 2), "stale"],
  [status(1, PREPARING, 2), status(1, PREPARING, 1), "stale"],
  [status(1, FAILED), status(2, STARTING), "stale"],
  [undefined, status(0, ASSIGNED), "grown"],
] as const;
for (const [known, reported, expected] of cases) {
  const from = known === undefined ? "nothing" : `(${known.attempt}, ${known.state})`;
  test(`After ${from}, (${reported.attempt}, ${reported.state}) is ${expected}`, () => {
    assert.equal(compareStatus(known, reported), expected);
  });
}

test("The health of what runs is more than words", () => {
  const of = (health: Health, atMs: number) => {
    const container = create(ContainerStatusSchema, { health });
    return { ...status(1, RUNNING, atMs), container };
  };
  const healthy = of(Health.HEALTHY, 1);
  assert.equal(compareStatus(healthy, of(Health.UNHEALTHY, 2)), "grown");
  assert.equal(compareStatus(healthy, of(Health.HEALTHY, 2)), "reworded");
  assert.equal(compareStatus(of(Health.UNHEALTHY, 2), healthy), "stale");
});

test("Reports in any order, any number of times, end in the same state", () => {
  const life = [
    status(0, PREPARING, 1),
    status(0, PREPARING, 2),
    status(1, STARTING, 3),
    status(1, RUNNING, 4),
    status(2, STARTING, 5),
    status(2, RUNNING, 6),
    status(2, COMPLETE, 7),
  ];
  const order = fc.shuffledSubarray([...life, ...life], { minLength: 14 });
  fc.assert(
    fc.property(order, (reports) => {
      let known: TaskStatus | undefined = status(0, ASSIGNED);
      for (const report of reports) {
        if (compareStatus(known, report) !== "stale") known = report;
      }
      assert.deepEqual([known?.attempt, known?.state], [2, COMPLETE]);
    }),
  );
});
