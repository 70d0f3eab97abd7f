import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { GlobalJobSchema, ReplicatedJobSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  NodeAvailability,
  RestartCondition,
  RestartPolicySchema,
  RunState,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { asCreated, iterationOf, withRun } from "../job.ts";
import { isTerminal, isWanted, stateOf } from "../task.ts";
import { testNode, testService } from "../testing/fixtures.ts";
import { planJob, verdictOf } from "./plan-job.ts";
import { ModeGround } from "./testing/mode-ground.ts";

interface JobOptions {
  readonly total?: number;
  readonly concurrent?: number;
  readonly condition?: RestartCondition;
  readonly maxAttempts?: number;
}

function job({ total = 1, concurrent = 1, condition, maxAttempts = 0 }: JobOptions = {}): Service {
  const restart =
    condition === undefined
      ? undefined
      : create(RestartPolicySchema, {
          condition,
          delay: durationFromMs(0),
          maxAttempts: BigInt(maxAttempts),
        });
  const service = testService({ name: "job", task: { ...(restart && { restart }) } });
  assert.ok(service.spec);
  const value = create(ReplicatedJobSchema, {
    maxConcurrent: BigInt(concurrent),
    totalCompletions: BigInt(total),
  });
  service.spec.mode = { case: "replicatedJob", value };
  return asCreated(service, 0);
}

function globalJob(): Service {
  const service = job();
  assert.ok(service.spec);
  service.spec.mode = { case: "globalJob", value: create(GlobalJobSchema) };
  return service;
}

function groundOf(service: Service, nodes = 3): ModeGround {
  return new ModeGround(
    service,
    nodes,
    (look) => planJob(look.tasks, { ...look, logDriver: undefined }).actions,
  );
}

function verdict(ground: ModeGround): RunState {
  const { service, nodes, nowMs } = ground;
  const iteration = iterationOf(service);
  const tasks = ground.tasks.filter(({ jobIteration }) => jobIteration?.index === iteration);
  const node = (id: string) => nodes.find((one) => one.id === id);
  return verdictOf(tasks, { service, nodes, node, nowMs });
}

const going = (task: Task) => isWanted(task) && !isTerminal(task);
const completed = (task: Task) => stateOf(task) === TaskState.COMPLETE;

test("job, as many at a time as may be, until as many have completed as shall", () => {
  const ground = groundOf(job({ total: 5, concurrent: 2 }));
  ground.plan();
  assert.equal(ground.tasks.length, 2);
  const [first] = ground.tasks;
  assert.equal(first?.annotations?.name, `job.1.${first?.id}`);
  assert.equal(first?.desiredState, TaskState.COMPLETE);
  assert.equal(first?.jobIteration?.index, 1n);
  assert.equal(verdict(ground), RunState.RUNNING);
  ground.settle(TaskState.COMPLETE);
  assert.equal(verdict(ground), RunState.COMPLETED);
  assert.deepEqual(
    ground.tasks.map(({ slot }) => slot),
    [1n, 2n, 3n, 4n, 5n],
  );
  assert.ok(ground.tasks.every(completed));
});

test("job, a policy that restarts any task restarts those that fail", () => {
  for (const condition of [undefined, RestartCondition.ANY]) {
    const ground = groundOf(job(condition === undefined ? {} : { condition }));
    ground.plan();
    assert.equal(ground.tasks[0]?.spec?.restart?.condition, RestartCondition.ON_FAILURE);
  }
});

test("job, one task that fails for good leaves the run failed, and the others complete", () => {
  const ground = groundOf(
    job({ total: 3, concurrent: 3, condition: RestartCondition.ON_FAILURE, maxAttempts: 1 }),
  );
  ground.plan();
  for (let attempt = 0; attempt < 2; attempt++) {
    const task = ground.tasks.find((one) => one.slot === 2n && going(one));
    assert.ok(task);
    ground.report(task, TaskState.FAILED);
    ground.nowMs += 60_000;
    ground.plan();
  }
  assert.equal(verdict(ground), RunState.RUNNING);
  ground.settle(TaskState.COMPLETE);
  assert.equal(verdict(ground), RunState.FAILED);
  assert.equal(ground.tasks.filter(completed).length, 2);
});

test("job, a new iteration runs anew and the tasks of the one before are removed", () => {
  const ground = groundOf(job({ total: 2, concurrent: 1 }));
  ground.settle(TaskState.COMPLETE);
  const before = ground.tasks.map(({ id }) => id);
  ground.service = withRun(ground.service, { nowMs: ground.nowMs });
  assert.equal(verdict(ground), RunState.RUNNING);
  ground.settle(TaskState.COMPLETE);
  assert.equal(verdict(ground), RunState.COMPLETED);
  assert.equal(ground.tasks.length, 2);
  assert.ok(ground.tasks.every(({ id }) => !before.includes(id)));
});

test("job, a lost or drained node's unfinished tasks run elsewhere, finished ones never", () => {
  const ground = groundOf(job({ total: 3, concurrent: 3 }));
  ground.plan();
  while (ground.tasks.some((task) => stateOf(task) !== TaskState.RUNNING)) ground.news(0);
  const [first, second, third] = ground.tasks;
  assert.ok(first && second && third);
  ground.report(first, TaskState.COMPLETE);
  for (const { number, id } of ground.nodes) {
    const node = testNode(number);
    assert.ok(node.spec);
    if (id === second.nodeId) node.spec.availability = NodeAvailability.DRAIN;
    if (id === first.nodeId || id === third.nodeId) ground.removeNode(id);
    else ground.setNode(node);
  }
  ground.setNode(testNode(4));
  ground.settle(TaskState.COMPLETE);
  assert.equal(verdict(ground), RunState.COMPLETED);
  const left = ground.tasks.find(({ id }) => id === second.id);
  assert.equal(left?.desiredMessage, "its node is drained");
  const done = ground.tasks.filter(completed).map(({ slot }) => slot);
  assert.deepEqual(
    done.toSorted((a, b) => Number(a - b)),
    [1n, 2n, 3n],
  );
  assert.equal(ground.tasks.length, 5);
});

test("job, with the condition none nothing runs twice, not even when its node is lost", () => {
  const ground = groundOf(job({ condition: RestartCondition.NONE }));
  ground.plan();
  ground.news(0);
  ground.news(0);
  for (const { id } of ground.nodes) ground.removeNode(id);
  ground.plan();
  assert.equal(ground.tasks.length, 1);
  assert.equal(verdict(ground), RunState.FAILED);
});

test("global job, once on each node, also on one that joins later", () => {
  const ground = groundOf(globalJob(), 2);
  ground.settle(TaskState.COMPLETE);
  assert.equal(verdict(ground), RunState.COMPLETED);
  assert.deepEqual(
    ground.tasks.map(({ nodeId }) => nodeId),
    ["node1", "node2"],
  );
  const drained = testNode(1);
  assert.ok(drained.spec);
  drained.spec.availability = NodeAvailability.DRAIN;
  ground.setNode(drained);
  ground.setNode(testNode(3));
  ground.settle(TaskState.COMPLETE);
  ground.setNode(testNode(1));
  ground.settle(TaskState.COMPLETE);
  assert.equal(ground.tasks.length, 3);
  assert.ok(ground.tasks.every(completed));
  ground.removeNode("node1");
  ground.settle(TaskState.COMPLETE);
  assert.equal(ground.tasks.length, 2);
});

const options = fc.record({
  total: fc.integer({ min: 1, max: 6 }),
  concurrent: fc.integer({ min: 1, max: 4 }),
});

test("job, whatever happens: never more at a time or in all than may be, nothing twice, replans do nothing, and it completes", () => {
  const choices = fc.array(fc.nat(999), { maxLength: 80 });
  const property = fc.property(options, choices, (given, list) => {
    const ground = groundOf(job(given));
    for (const choice of list) {
      const created = ground.plan().filter(({ action }) => action === "create");
      const done = ground.tasks.filter(completed).map(({ slot }) => slot);
      for (const { object } of created) {
        assert.ok(!done.includes((object as Task).slot), "a completed slot starts again");
      }
      assert.deepEqual(ground.actions(), [], "a replan does something");
      assert.ok(ground.tasks.filter(going).length <= given.concurrent, "too many at a time");
      assert.ok(new Set(ground.tasks.map(({ slot }) => slot)).size <= given.total);
      if (choice % 9 === 0) ground.changeNode(choice);
      else if (choice % 17 === 2) ground.nowMs += 10_000;
      else ground.news(choice, choice % 3 === 0 ? TaskState.FAILED : TaskState.COMPLETE);
    }
    for (const { number } of ground.nodes) ground.setNode(testNode(number));
    ground.settle(TaskState.COMPLETE);
    assert.equal(verdict(ground), RunState.COMPLETED);
    const done = ground.tasks.filter(completed);
    assert.equal(new Set(done.map(({ slot }) => slot)).size, given.total);
    // Two of one slot only where a node that was given up for lost had completed its task after all.
    assert.ok(ground.tasks.every(isTerminal));
  });
  fc.assert(property, { numRuns: 200 });
});

test("global job, whatever happens it completes once on each node", () => {
  const choices = fc.array(fc.nat(999), { maxLength: 60 });
  const property = fc.property(choices, (list) => {
    const ground = groundOf(globalJob());
    for (const choice of list) {
      ground.plan();
      assert.deepEqual(ground.actions(), [], "a replan does something");
      for (const { id } of ground.nodes) {
        const own = ground.tasks.filter((task) => task.nodeId === id && going(task));
        assert.ok(own.length <= 1);
      }
      if (choice % 9 === 0) ground.changeNode(choice);
      else ground.news(choice, choice % 3 === 0 ? TaskState.FAILED : TaskState.COMPLETE);
    }
    for (const { number } of ground.nodes) ground.setNode(testNode(number));
    ground.settle(TaskState.COMPLETE);
    assert.equal(verdict(ground), RunState.COMPLETED);
    const homes = ground.tasks.filter(completed).map(({ nodeId }) => nodeId);
    assert.deepEqual(homes.toSorted(), ["node1", "node2", "node3"]);
  });
  fc.assert(property, { numRuns: 200 });
});
