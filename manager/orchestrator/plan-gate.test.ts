import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ReplicatedJobSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  DependencyCondition,
  DependencySchema,
  RestartCondition,
  RestartPolicySchema,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { asCreated, asUpdated } from "../job.ts";
import { openTestStore, testNode, testService, testTask } from "../testing/fixtures.ts";
import { newTask } from "./new-task.ts";
import { planGate } from "./plan-gate.ts";

const nowMs = 1_700_000_000_000;

function waiting(
  condition: DependencyCondition,
  options: { optional?: boolean; job?: boolean } = {},
): Service {
  const { optional = false, job: isJob = false } = options;
  const service = isJob ? job("web") : testService({ name: "web" });
  assert.ok(service.spec);
  service.spec.dependsOn = [create(DependencySchema, { service: "db", condition, optional })];
  return service;
}

function job(name: string, total = 2): Service {
  const service = testService({ name });
  assert.ok(service.spec);
  const value = create(ReplicatedJobSchema, {
    maxConcurrent: 1n,
    totalCompletions: BigInt(total),
  });
  service.spec.mode = { case: "replicatedJob", value };
  return asCreated(service, nowMs);
}

/** Its tasks are not restarted. */
function once(service: Service): Service {
  assert.ok(service.spec?.task);
  service.spec.task.restart = create(RestartPolicySchema, { condition: RestartCondition.NONE });
  return service;
}

function taskOf(service: Service, slot: number, state: TaskState): Task {
  const iteration = service.jobStatus?.jobIteration;
  return testTask(`${service.id}-${slot}`, {
    serviceId: service.id,
    slot: BigInt(slot),
    nodeId: "node1",
    status: { state },
    ...(iteration && { jobIteration: iteration }),
    ...(service.spec?.task && { spec: service.spec.task }),
  });
}

interface Gate {
  /** What the waiting task says, or the desired state that it gets. */
  readonly says: string;
  readonly met: boolean;
}

async function gate(
  service: Service,
  dependency?: Service,
  states: TaskState[] = [],
): Promise<Gate> {
  const { store, put } = openTestStore();
  await put("node", testNode(1));
  const others = dependency === undefined ? [] : [dependency];
  await put("service", service, ...others);
  const held = newTask(
    { service, nowMs, newTaskId: () => "held", logDriver: undefined },
    { slot: 1 },
  );
  assert.equal(held.desiredState, TaskState.READY);
  await put("task", held);
  if (dependency !== undefined) {
    await put("task", ...states.map((state, index) => taskOf(dependency, index + 1, state)));
  }
  await store.write((view) => planGate(view.get("service", service.id) ?? service, view, nowMs));
  assert.deepEqual(planGate(store.get("service", service.id) ?? service, store, nowMs), []);
  const task = store.get("task", "held");
  const names = new Map<number, string>([
    [TaskState.RUNNING, "goes on to run"],
    [TaskState.COMPLETE, "goes on to complete"],
  ]);
  return {
    says: names.get(task?.desiredState ?? 0) ?? task?.status?.message ?? "",
    met: store.get("service", service.id)?.dependenciesMet ?? false,
  };
}

const { STARTED, HEALTHY, COMPLETED } = DependencyCondition;
const { STARTING, RUNNING, COMPLETE, FAILED } = TaskState;
const db = testService({ name: "db", replicas: 2 });

const cases: readonly (readonly [string, DependencyCondition, Service, TaskState[], string])[] = [
  ["one task has started", STARTED, db, [RUNNING, STARTING], "goes on to run"],
  ["none has started", STARTED, db, [STARTING], "waiting for db to start"],
  ["all run", HEALTHY, db, [RUNNING, RUNNING], "goes on to run"],
  [
    "one is not healthy yet",
    HEALTHY,
    db,
    [RUNNING, STARTING],
    "waiting for db to run and be healthy (1 of 2 do)",
  ],
  ["a job has completed", COMPLETED, job("db"), [COMPLETE, COMPLETE], "goes on to run"],
  ["a job goes on", COMPLETED, job("db"), [COMPLETE, RUNNING], "waiting for db to complete"],
  [
    "a job has failed for good",
    COMPLETED,
    once(job("db")),
    [COMPLETE, FAILED],
    "waiting for db to complete, which has failed: run it again",
  ],
  ["a job tries again", COMPLETED, job("db"), [COMPLETE, FAILED], "waiting for db to complete"],
  ["a service's tasks have ended well", COMPLETED, db, [COMPLETE, COMPLETE], "goes on to run"],
  ["one of them failed", COMPLETED, db, [COMPLETE, FAILED], "waiting for db to complete"],
  ["a job has started", STARTED, job("db"), [COMPLETE], "goes on to run"],
];

for (const [name, condition, dependency, states, says] of cases) {
  test(`dependency gate, ${name}: ${says}`, async () => {
    const outcome = await gate(waiting(condition), dependency, states);
    assert.deepEqual(outcome, { says, met: says.startsWith("goes on") });
  });
}

test("dependency gate, a service that is not there is waited for, unless it is optional", async () => {
  const says = "waiting for service db, which does not exist";
  assert.deepEqual(await gate(waiting(STARTED)), { says, met: false });
  const optional = await gate(waiting(STARTED, { optional: true }));
  assert.deepEqual(optional, { says: "goes on to run", met: true });
});

test("dependency gate, a job's task goes on to complete", async () => {
  const outcome = await gate(waiting(STARTED, { job: true }), db, [RUNNING]);
  assert.deepEqual(outcome, { says: "goes on to complete", met: true });
});

test("dependency gate, what was met stays so, whatever becomes of it", async () => {
  const { store, put } = openTestStore();
  const service = { ...waiting(HEALTHY), dependenciesMet: true };
  await put("service", service, db);
  const task = newTask(
    { service, nowMs, newTaskId: () => "new", logDriver: undefined },
    { slot: 1 },
  );
  assert.equal(task.desiredState, TaskState.RUNNING);
  assert.deepEqual(planGate(service, store, nowMs), []);
});

test("dependency gate, a service that runs already does not begin to wait; one that waits goes on to", () => {
  const waits = waiting(STARTED);
  const runs = testService({ name: "web" });
  assert.equal(asUpdated(runs, waits, nowMs).dependenciesMet, true);
  assert.equal(asUpdated(waits, waits, nowMs).dependenciesMet, false);
});

test("dependency gate, tasks go on when there is nothing to wait for any more", async () => {
  const { store, put } = openTestStore();
  const service = waiting(STARTED);
  const context = { service, nowMs, newTaskId: () => "held", logDriver: undefined };
  await put("task", newTask(context, { slot: 1 }));
  const [action] = planGate(testService({ name: "web" }), store, nowMs);
  assert.ok(action?.kind === "task");
  assert.equal(action.object.desiredState, TaskState.RUNNING);
});
