import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import {
  NodeAvailability,
  NodeState,
  RestartCondition,
  RestartPolicySchema,
  TaskState,
  UpdateConfigSchema,
  UpdateFailureAction,
  UpdateOrder,
  UpdateState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { isTerminal, stateOf } from "../task.ts";
import { testNode, testService, testTaskSpec } from "../testing/fixtures.ts";
import { UpdateGround } from "./testing/update-ground.ts";

const drain = { availability: NodeAvailability.DRAIN };

function image(name: string, init: MessageInitShape<typeof RestartPolicySchema> = {}) {
  const restart = { condition: RestartCondition.ANY, delay: durationFromMs(1000), ...init };
  return testTaskSpec({
    runtime: { case: "container", value: { image: name } },
    restart: create(RestartPolicySchema, restart as never),
  });
}

/** All replicas run, on three nodes. */
function running(
  replicas: number,
  update: MessageInitShape<typeof UpdateConfigSchema>,
  task = image("web"),
): UpdateGround {
  const made = testService({ replicas });
  assert.ok(made.spec);
  made.spec.task = task;
  made.spec.update = create(UpdateConfigSchema, { parallelism: 1n, ...update });
  const ground = new UpdateGround(made);
  ground.nodes = [1, 2, 3].map((number) => testNode(number));
  ground.settle();
  return ground;
}

const startFirst = { order: UpdateOrder.START_FIRST };

test("drain, start-first: the new task runs elsewhere before the old one is told to stop", () => {
  const ground = running(1, startFirst);
  const [old] = ground.wanted();
  ground.setNode(1, drain);
  for (let round = 0; round < 20; round++) {
    ground.plan();
    assert.equal(ground.slotsUp(), 1);
    ground.someNews(round);
  }
  const [now, ...others] = ground.wanted();
  assert.deepEqual(others, []);
  assert.notEqual(now?.id, old?.id);
  assert.notEqual(now?.nodeId, "node1");
  const stopped = ground.tasks().find(({ id }) => id === old?.id);
  assert.equal(stopped?.desiredMessage, "its node is drained");
  assert.equal(ground.service.updateStatus, undefined, "a drain is no update");
});

test("drain, stop-first: as many at a time as the parallelism says, the next when one runs elsewhere", () => {
  for (const [parallelism, atATime] of [
    [1n, 1],
    [2n, 2],
    [0n, 3],
  ] as const) {
    const ground = running(9, { parallelism });
    assert.equal(ground.runningOn(1).length, 3);
    ground.setNode(1, drain);
    ground.plan();
    assert.equal(ground.runningOn(1).length, 3 - atATime);
    ground.settle();
    assert.equal(ground.runningOn(1).length, 0);
    assert.equal(ground.slotsUp(), 9);
  }
});

test("drain, at once: all are stopped in one go, whatever the order and the parallelism", () => {
  const ground = running(6, startFirst);
  ground.setNode(1, { ...drain, drainAtOnce: true });
  ground.plan();
  assert.equal(ground.runningOn(1).length, 0);
  ground.settle();
  assert.equal(ground.slotsUp(), 6);
});

test("drain, start-first without room elsewhere: the old tasks go on running until there is some", () => {
  const task = {
    ...image("web"),
    placement: testTaskSpec({ placement: { maxReplicas: 1n } }).placement,
  };
  const ground = running(3, startFirst, task);
  ground.setNode(1, drain);
  ground.pass(3_600_000);
  assert.equal(ground.slotsUp(), 3);
  assert.equal(ground.wanted().filter((one) => stateOf(one) === TaskState.NEW).length, 1);
  ground.nodes = [...ground.nodes, testNode(4)];
  ground.settle();
  assert.equal(ground.runningOn(1).length, 0);
  assert.equal(ground.runningOn(4).length, 1);
});

test("drain, taken back: what has not moved stays, and what was to take over goes", () => {
  const ground = running(3, startFirst);
  const before = ground.wanted().map(({ id }) => id);
  ground.setNode(1, drain);
  ground.plan();
  assert.equal(ground.wanted().length, 4);
  ground.setNode(1, {});
  ground.settle();
  assert.deepEqual(
    ground.wanted().map(({ id }) => id),
    before,
  );
});

test("drain, what does not run, or is never started again, is stopped out of turn", () => {
  const never = running(3, startFirst, image("web", { condition: RestartCondition.NONE }));
  never.setNode(1, drain);
  never.settle();
  assert.equal(never.wanted().length, 2);

  const starting = running(3, startFirst);
  starting.pulls = "next";
  starting.setImage(image("next"));
  const pulling = () => starting.wanted().find((task) => stateOf(task) === TaskState.PREPARING);
  starting.until(() => pulling() !== undefined);
  const fresh = pulling();
  const number = Number(fresh?.nodeId.slice("node".length));
  starting.setNode(number, drain);
  starting.plan();
  assert.ok(!starting.wanted().some(({ id }) => id === fresh?.id));
});

test("drain, a slot that waits for reasons of its own does not hold it up", () => {
  const task = {
    ...image("web"),
    placement: testTaskSpec({ placement: { maxReplicas: 2n } }).placement,
  };
  const ground = running(7, {}, task);
  assert.equal(ground.slotsUp(), 6);
  ground.setNode(1, drain);
  ground.nodes = [...ground.nodes, testNode(4), testNode(5)];
  ground.settle();
  assert.equal(ground.runningOn(1).length, 0);
  assert.equal(ground.slotsUp(), 7);
});

test("drain, during an update both go on within one parallelism", () => {
  const ground = running(6, { parallelism: 2n });
  ground.setImage(image("new"));
  ground.plan();
  ground.setNode(3, drain);
  for (let round = 0; round < 200; round++) {
    ground.plan();
    assert.deepEqual(ground.actions(), [], "a plan without news");
    assert.ok(ground.slotsUp() >= 4, `${ground.slotsUp()} run`);
    ground.someNews(round);
  }
  ground.settle();
  assert.equal(ground.service.updateStatus?.state, UpdateState.COMPLETED);
  assert.equal(ground.runningOn(3).length, 0);
  assert.deepEqual(ground.imagesRunning(), Array(6).fill("new"));
});

test("drain, what it left behind does not hold up a later update whose failures do not matter", () => {
  const ground = running(3, { failureAction: UpdateFailureAction.CONTINUE });
  ground.setNode(1, drain);
  ground.settle();
  assert.equal(ground.slotsUp(), 3);
  ground.rejects = "bad";
  ground.setImage(image("bad"));
  ground.settle();
  assert.equal(ground.service.updateStatus?.state, UpdateState.COMPLETED);
});

test("drain, what finds no place elsewhere in time does not hold up an update that may fail in part", () => {
  const ground = running(4, {
    order: UpdateOrder.START_FIRST,
    maxFailureRatio: 1,
    progressDeadline: durationFromMs(15_000),
  });
  for (const number of [1, 2, 3]) ground.setNode(number, drain);
  ground.setImage(image("new"));
  ground.settle();
  assert.equal(ground.service.updateStatus?.state, UpdateState.COMPLETED);
});

test("moves, tasks that a rebalance chose go in turn, and only those", () => {
  for (const order of [UpdateOrder.STOP_FIRST, UpdateOrder.START_FIRST]) {
    const ground = running(4, { order });
    const [first, second, ...others] = ground.wanted();
    assert.ok(first !== undefined && second !== undefined);
    ground.move(first);
    ground.move(second);
    for (let round = 0; round < 60; round++) {
      ground.plan();
      assert.deepEqual(ground.actions(), [], "a plan without news");
      assert.ok(ground.slotsUp() >= (order === UpdateOrder.START_FIRST ? 4 : 3));
      ground.someNews(round);
    }
    ground.settle();
    const left = ground.wanted().map(({ id }) => id);
    assert.equal(left.length, 4);
    assert.ok(others.every(({ id }) => left.includes(id)));
    assert.ok(![first.id, second.id].some((id) => left.includes(id)));
    assert.equal(ground.service.updateStatus, undefined);
  }
});

test("drain, of any settings and with nodes that come and go, it takes no more away than it may", () => {
  const settings = fc.record({
    replicas: fc.integer({ min: 1, max: 8 }),
    parallelism: fc.integer({ min: 1, max: 3 }),
    startFirst: fc.boolean(),
    seed: fc.array(fc.nat(1000), { minLength: 80, maxLength: 80 }),
  });
  const property = fc.property(settings, ({ replicas, parallelism, seed, ...given }) => {
    const order = UpdateOrder[given.startFirst ? "START_FIRST" : "STOP_FIRST"];
    const ground = running(replicas, { parallelism: BigInt(parallelism), order });
    const least = given.startFirst ? replicas : replicas - parallelism;
    let states = new Map<string, TaskState>();
    for (const choice of seed) {
      if (choice % 9 === 0) ground.setNode((choice % 2) + 1, choice % 18 === 0 ? drain : {});
      else ground.someNews(choice);
      ground.plan();
      assert.deepEqual(ground.actions(), [], "a plan without news");
      assert.ok(ground.slotsUp() >= least, `${ground.slotsUp()} of ${replicas}`);
      states = checkGrown(ground, states);
      checkTwins(ground, given.startFirst);
    }
    ground.pass(600_000);
    for (const node of ground.nodes) {
      assert.ok(node.status?.state === NodeState.READY);
      if (node.spec?.availability === NodeAvailability.DRAIN) {
        assert.equal(ground.runningOn(node.number).length, 0);
      }
    }
    assert.equal(ground.slotsUp(), replicas);
    assert.equal(ground.wanted().length, replicas);
  });
  fc.assert(property, { numRuns: 100 });
});

/** Task states only grow, and nothing that was told to stop is told otherwise. */
function checkGrown(ground: UpdateGround, before: ReadonlyMap<string, TaskState>) {
  const now = new Map<string, TaskState>();
  for (const { id, desiredState } of ground.tasks()) {
    assert.ok(desiredState >= (before.get(id) ?? TaskState.NEW));
    now.set(id, desiredState);
  }
  return now;
}

/** Two of a slot run at a time only where the one takes over from the other. */
function checkTwins(ground: UpdateGround, startFirst: boolean): void {
  const alive = ground
    .tasks()
    .filter((task) => !isTerminal(task) && stateOf(task) !== TaskState.NEW);
  for (const tasks of Map.groupBy(alive, ({ slot }) => slot).values()) {
    if (!startFirst) assert.equal(tasks.length, 1);
  }
}
