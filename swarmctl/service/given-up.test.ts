import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { RestartCondition, RestartPolicySchema, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs, timestampFromMs } from "#proto/time.ts";
import { findGivenUp } from "./given-up.ts";

const { ANY, ON_FAILURE } = RestartCondition;
const { COMPLETE, FAILED, RUNNING, SHUTDOWN } = TaskState;

type Restart = MessageInitShape<typeof RestartPolicySchema>;

interface Wanted {
  readonly restart: Restart;
  readonly state: TaskState;
  readonly attempt: number;
  readonly desiredState?: TaskState;
  readonly createdAtMs?: number;
}

function task({ restart, state, attempt, desiredState = SHUTDOWN, createdAtMs = 0 }: Wanted) {
  return create(TaskSchema, {
    slot: 1n,
    desiredState,
    meta: { createdAt: timestampFromMs(createdAtMs) },
    spec: create(TaskSpecSchema, { restart: create(RestartPolicySchema, restart) }),
    status: { state, attempt },
  });
}

const twice: Restart = { condition: ANY, maxAttempts: 2n };
const used = task({ restart: twice, state: FAILED, attempt: 3 });
const early = task({ restart: twice, state: FAILED, attempt: 1 });

const cases = [
  ["restarts used up in place", [used], true],
  ["restarts used up by several tasks", [early, early, early], true],
  ["restarts left", [early], false],
  ["no limit", [task({ restart: { condition: ANY }, state: FAILED, attempt: 99 })], false],
  [
    "a window",
    [task({ restart: { ...twice, window: durationFromMs(1000) }, state: FAILED, attempt: 3 })],
    false,
  ],
  ["completed", [task({ restart: { condition: ON_FAILURE }, state: COMPLETE, attempt: 1 })], true],
  [
    "completed, but again",
    [task({ restart: { condition: ANY }, state: COMPLETE, attempt: 1 })],
    false,
  ],
  [
    "replaced",
    [
      used,
      task({ restart: twice, state: RUNNING, attempt: 1, desiredState: RUNNING, createdAtMs: 9 }),
    ],
    false,
  ],
  ["removed", [{ ...used, desiredState: TaskState.REMOVE }], false],
] as const;

for (const [name, tasks, wanted] of cases) {
  test(`a slot, given up: ${name}`, () => {
    assert.equal(findGivenUp(tasks) !== undefined, wanted);
  });
}
