import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import {
  NodeAvailability,
  RestartPolicySchema,
  TaskState,
  UpdateConfigSchema,
  UpdateFailureAction,
  UpdateOrder,
  UpdateState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs, msFromTimestamp } from "#proto/time.ts";
import { rolledBack, withoutUpdateStatus } from "../service-spec.ts";
import { stateOf } from "../task.ts";
import { testNode, testService, testTaskSpec } from "../testing/fixtures.ts";
import { promoted } from "./plan-canaries.ts";
import { UpdateGround } from "./testing/update-ground.ts";

type Config = MessageInitShape<typeof UpdateConfigSchema>;

function image(name: string) {
  return testTaskSpec({
    runtime: { case: "container", value: { image: name } },
    restart: create(RestartPolicySchema, { condition: 2, delay: durationFromMs(1000) }),
  });
}

/** All tasks of the old image run, and the service now wants the new one, with canaries first. */
function updated(replicas: number, update: Config): UpdateGround {
  const made = testService({ replicas });
  assert.ok(made.spec);
  made.spec.task = image("old");
  made.spec.update = create(UpdateConfigSchema, { parallelism: 1n, canary: 1n, ...update });
  made.spec.rollback = create(UpdateConfigSchema, { parallelism: 1n });
  const ground = new UpdateGround(made);
  ground.settle();
  ground.setImage(image("new"));
  return ground;
}

function stateIn({ service }: UpdateGround): UpdateState | undefined {
  return service.updateStatus?.state;
}

function untilWaiting(ground: UpdateGround): void {
  ground.until(() => stateIn(ground) === UpdateState.CANARY);
}

test("canaries, the update changes as many as it says, then waits and says what to do", () => {
  for (const order of [UpdateOrder.STOP_FIRST, UpdateOrder.START_FIRST]) {
    const ground = updated(4, { canary: 2n, order });
    untilWaiting(ground);
    assert.deepEqual(ground.imagesRunning(), ["new", "new", "old", "old"]);
    const message = ground.service.updateStatus?.message ?? "";
    assert.match(
      message,
      /^update waits with 2 of 4 tasks changed: go on with "swarmctl service promote web"/,
    );
    ground.pass(24 * 3_600_000);
    assert.deepEqual(ground.imagesRunning(), ["new", "new", "old", "old"]);
    assert.equal(stateIn(ground), UpdateState.CANARY);
    ground.service = promoted(ground.service);
    ground.settle();
    assert.equal(stateIn(ground), UpdateState.COMPLETED);
    assert.deepEqual(ground.imagesRunning(), ["new", "new", "new", "new"]);
  }
});

test("canaries, they are changed in turn, by the parallelism", () => {
  const ground = updated(5, { canary: 3n, parallelism: 2n });
  ground.plan();
  assert.equal(ground.wanted().length, 3);
  untilWaiting(ground);
  assert.equal(ground.imagesRunning().filter((name) => name === "new").length, 3);
});

test("canaries, more than there are tasks: all are changed, and the update waits all the same", () => {
  const ground = updated(2, { canary: 5n });
  untilWaiting(ground);
  assert.deepEqual(ground.imagesRunning(), ["new", "new"]);
});

test("canaries, one that ends before it is promoted takes the update back, however long it ran", () => {
  const ground = updated(3, {});
  untilWaiting(ground);
  ground.pass(3_600_000);
  const [canary] = ground.wanted();
  ground.end(canary, { upMs: 3_600_000, reason: "unhealthy: no" });
  ground.plan();
  assert.equal(stateIn(ground), UpdateState.ROLLBACK_STARTED);
  const words = `update rolled back due to failure or early termination of task ${canary?.id}: unhealthy: no`;
  assert.equal(ground.service.updateStatus?.message, words);
  ground.settle();
  assert.equal(stateIn(ground), UpdateState.ROLLBACK_COMPLETED);
  assert.deepEqual(ground.imagesRunning(), ["old", "old", "old"]);
});

test("canaries, with the action pause asked for the update pauses, and the others stay what they were", () => {
  const ground = updated(3, { failureAction: UpdateFailureAction.PAUSE });
  untilWaiting(ground);
  const [canary, other] = ground.wanted();
  ground.end(canary, { upMs: 60_000 });
  ground.plan();
  assert.equal(stateIn(ground), UpdateState.PAUSED);
  ground.report(other, TaskState.FAILED);
  ground.settle();
  assert.deepEqual(ground.imagesRunning(), ["new", "old", "old"]);
  ground.service = withoutUpdateStatus(ground.service);
  ground.settle();
  assert.equal(stateIn(ground), UpdateState.CANARY);
});

test("canaries, once promoted a failure is what it is in any update", () => {
  const ground = updated(3, { failureAction: UpdateFailureAction.CONTINUE });
  untilWaiting(ground);
  ground.service = promoted(ground.service);
  ground.until(() => ground.imagesRunning().join() === "new,new,old");
  ground.end(ground.wanted()[0], { upMs: 60_000 });
  ground.settle();
  assert.equal(stateIn(ground), UpdateState.COMPLETED);
});

test("canaries, the update promotes itself when all have run well for the time that it says", () => {
  const ground = updated(3, { canary: 2n, canaryPromoteAfter: durationFromMs(60_000) });
  untilWaiting(ground);
  assert.match(
    ground.service.updateStatus?.message ?? "",
    /; it goes on by itself after 60 s without a failure$/,
  );
  const wellAtMs = msFromTimestamp(ground.service.updateStatus?.canariesWellAt);
  ground.until(() => stateIn(ground) !== UpdateState.CANARY);
  assert.ok(ground.nowMs >= wellAtMs + 60_000 && ground.nowMs < wellAtMs + 61_000);
  ground.settle();
  assert.equal(stateIn(ground), UpdateState.COMPLETED);
});

test("canaries, one whose node is lost runs elsewhere first, and its time begins anew", () => {
  const ground = updated(2, { canaryPromoteAfter: durationFromMs(60_000) });
  ground.nodes = [testNode(1), testNode(2)];
  untilWaiting(ground);
  ground.pass(50_000);
  const before = ground.service.updateStatus?.canariesWellAt;
  const [canary] = ground.wanted();
  ground.nodes = ground.nodes.filter(({ id }) => id !== canary?.nodeId);
  ground.plan();
  assert.equal(stateIn(ground), UpdateState.CANARY);
  assert.equal(ground.service.updateStatus?.canariesWellAt, undefined);
  ground.pass(15_000);
  assert.equal(stateIn(ground), UpdateState.CANARY);
  assert.ok(msFromTimestamp(ground.service.updateStatus?.canariesWellAt) > msFromTimestamp(before));
});

test("canaries, an update that is taken back, or another one, begins with what is there", () => {
  const back = updated(3, {});
  untilWaiting(back);
  const spec = back.service.previousSpec;
  assert.ok(spec !== undefined);
  back.service = rolledBack(back.service, { spec, message: "", nowMs: back.nowMs });
  back.settle();
  assert.equal(stateIn(back), UpdateState.ROLLBACK_COMPLETED);
  assert.deepEqual(back.imagesRunning(), ["old", "old", "old"]);

  const undone = updated(3, {});
  untilWaiting(undone);
  undone.setImage(image("old"));
  undone.settle();
  assert.equal(stateIn(undone), UpdateState.COMPLETED, "there is nothing to promote");
  assert.deepEqual(undone.imagesRunning(), ["old", "old", "old"]);

  const other = updated(3, {});
  untilWaiting(other);
  other.setImage(image("newest"));
  untilWaiting(other);
  assert.equal(other.imagesRunning().filter((name) => name === "newest").length, 1);
  other.report(
    other.wanted().find((task) => nameOf(task) === "old"),
    TaskState.FAILED,
  );
  other.pass(60_000);
  const names = other.imagesRunning().toSorted((a, b) => (a < b ? -1 : 1));
  assert.deepEqual(names, ["newest", "old", "old"], "nothing is made of what nobody promoted");
  other.service = promoted(other.service);
  other.settle();
  assert.deepEqual(other.imagesRunning(), ["newest", "newest", "newest"]);
});

test("canaries, whatever happens to tasks and nodes, no more than may are of the new spec before the word", () => {
  const settings = fc.record({
    replicas: fc.integer({ min: 1, max: 6 }),
    canary: fc.integer({ min: 1, max: 4 }),
    parallelism: fc.integer({ min: 0, max: 3 }),
    startFirst: fc.boolean(),
    seed: fc.array(fc.nat(1000), { minLength: 60, maxLength: 60 }),
  });
  const property = fc.property(settings, ({ replicas, canary, parallelism, startFirst, seed }) => {
    const ground = updated(replicas, {
      canary: BigInt(canary),
      parallelism: BigInt(parallelism),
      order: startFirst ? UpdateOrder.START_FIRST : UpdateOrder.STOP_FIRST,
      // Canaries die here, too, and the update goes on waiting.
      failureAction: UpdateFailureAction.CONTINUE,
    });
    ground.nodes = [1, 2, 3].map((number) => testNode(number));
    for (const choice of seed) {
      ground.plan();
      assert.deepEqual(ground.actions(), [], "a plan without news");
      const changed = ground.wanted().filter((task) => nameOf(task) === "new");
      const slots = new Set(changed.map(({ slot }) => slot));
      assert.ok(slots.size <= canary, `${slots.size} changed, ${canary} may be`);
      disturb(ground, choice);
    }
    ground.nodes = [1, 2, 3].map((number) => testNode(number));
    ground.pass(600_000);
    assert.equal(stateIn(ground), UpdateState.CANARY);
    const names = ground.imagesRunning();
    assert.equal(names.length, replicas);
    assert.equal(names.filter((name) => name === "new").length, Math.min(canary, replicas));
    ground.service = promoted(ground.service);
    ground.pass(600_000);
    assert.equal(stateIn(ground), UpdateState.COMPLETED);
    assert.deepEqual(ground.imagesRunning(), Array(replicas).fill("new"));
  });
  fc.assert(property, { numRuns: 60 });
});

function disturb(ground: UpdateGround, choice: number): void {
  ground.nowMs += 1;
  const running = ground.wanted().filter((task) => stateOf(task) === TaskState.RUNNING);
  const victim = running[choice % Math.max(running.length, 1)];
  if (choice % 10 === 7 && victim !== undefined) ground.report(victim, TaskState.FAILED);
  else if (choice % 10 === 8) ground.nodes = [1, 2].map((number) => testNode(number));
  else if (choice % 10 === 9) {
    const availability = NodeAvailability[choice % 20 === 9 ? "DRAIN" : "ACTIVE"];
    ground.setNode((choice % 3) + 1, { availability });
  } else ground.someNews(choice);
}

function nameOf(task: ReturnType<UpdateGround["wanted"]>[number]): string {
  return task.spec?.runtime.case === "container" ? task.spec.runtime.value.image : "";
}
