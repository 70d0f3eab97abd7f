import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ReplicatedServiceSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  DependencySchema,
  EndpointSpecSchema,
  PublishMode,
  RestartPolicySchema,
  TaskState,
  UpdateConfigSchema,
  UpdateFailureAction,
  UpdateOrder,
  UpdateState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs, timestampFromMs } from "#proto/time.ts";
import { withoutUpdateStatus, withSettings, withSpec } from "../service-spec.ts";
import { testService, testTaskSpec } from "../testing/fixtures.ts";
import { UpdateGround } from "./testing/update-ground.ts";

type Config = MessageInitShape<typeof UpdateConfigSchema>;

const seconds = (count: number) => durationFromMs(count * 1000);

function image(name: string) {
  return testTaskSpec({
    runtime: { case: "container", value: { image: name } },
    restart: create(RestartPolicySchema, { condition: 2, delay: seconds(1) }),
  });
}

function service(
  replicas: number,
  update: Config,
  rollback: Config = { parallelism: 1n },
): Service {
  const made = testService({ replicas });
  assert.ok(made.spec);
  made.spec.task = image("old");
  made.spec.update = create(UpdateConfigSchema, update);
  made.spec.rollback = create(UpdateConfigSchema, rollback);
  return made;
}

/** All tasks of the old image run, and the service now wants the new one. */
function updated(replicas: number, update: Config, rollback?: Config): UpdateGround {
  const ground = new UpdateGround(service(replicas, update, rollback));
  ground.settle();
  ground.setImage(image("new"));
  return ground;
}

test("update, its status says when it began and when it was done, in Swarm's words", () => {
  const ground = updated(2, { parallelism: 1n });
  ground.plan();
  const begun = ground.service.updateStatus;
  assert.deepEqual([begun?.state, begun?.message], [UpdateState.UPDATING, "update in progress"]);
  assert.deepEqual(begun?.startedAt, timestampFromMs(ground.nowMs));
  ground.settle();
  const done = ground.service.updateStatus;
  assert.deepEqual([done?.state, done?.message], [UpdateState.COMPLETED, "update completed"]);
  assert.deepEqual(done?.startedAt, begun?.startedAt);
  assert.deepEqual(ground.imagesRunning(), ["new", "new"]);
});

test("update, a change that replaces no task has no status", () => {
  const ground = new UpdateGround(service(2, { parallelism: 1n }));
  ground.settle();
  assert.ok(ground.service.spec);
  ground.service = withSpec(ground.service, {
    ...ground.service.spec,
    mode: { case: "replicated", value: { $typeName: "swarm.v1.ReplicatedService", replicas: 3n } },
  });
  ground.settle();
  assert.equal(ground.service.updateStatus, undefined);
  assert.equal(ground.imagesRunning().length, 3);
});

test("update, the next slot waits for the delay after the new task runs", () => {
  const ground = updated(2, { parallelism: 1n, delay: seconds(30) });
  ground.until(() => ground.imagesRunning().join() === "new,old");
  const atMs = ground.nowMs;
  ground.until(
    () => ground.imagesRunning().join() === "old" || ground.imagesRunning()[1] !== "old",
  );
  assert.ok(ground.nowMs - atMs >= 29_000, `${ground.nowMs - atMs} ms`);
});

test("update, start-first keeps the old task until the new one runs", () => {
  const ground = updated(1, { parallelism: 1n, order: UpdateOrder.START_FIRST });
  ground.plan();
  const [old, fresh] = ground.wanted();
  assert.deepEqual(
    [old?.desiredState, fresh?.desiredState],
    [TaskState.RUNNING, TaskState.RUNNING],
  );
  ground.report(fresh, TaskState.STARTING);
  ground.plan();
  assert.equal(ground.wanted().length, 2);
  ground.report(fresh, TaskState.RUNNING);
  ground.plan();
  assert.deepEqual(
    ground.wanted().map(({ id }) => id),
    [fresh?.id],
  );
});

const exclusive = {
  "a host's port": (made: Service) => {
    assert.ok(made.spec);
    const ports = [{ targetPort: 80, publishedPort: 80, publishMode: PublishMode.HOST }];
    made.spec.endpoint = create(EndpointSpecSchema, { ports });
  },
  "an address of each slot's own": (made: Service) => {
    made.spec?.task?.networks.push({
      $typeName: "swarm.v1.NetworkAttachmentConfig",
      target: "net",
      aliases: [],
      addresses: ["10.0.0.9"],
      driverAttachmentOpts: {},
    });
  },
};
for (const [what, give] of Object.entries(exclusive)) {
  test(`update, start-first with ${what} stops first all the same`, () => {
    const made = service(1, { parallelism: 1n, order: UpdateOrder.START_FIRST });
    give(made);
    const ground = new UpdateGround(made);
    ground.settle();
    ground.force();
    ground.plan();
    assert.deepEqual(ground.wanted(), []);
  });
}

test("update, a task that ends within the monitored time pauses it, and the others stay as they are", () => {
  const ground = updated(3, { parallelism: 1n });
  ground.until(() => ground.imagesRunning().includes("new"));
  const [bad] = ground.wanted().filter(({ slot }) => slot === 1n);
  ground.end(bad, { upMs: 4_000 });
  ground.plan();
  const { updateStatus } = ground.service;
  assert.equal(updateStatus?.state, UpdateState.PAUSED);
  const words = `update paused due to failure or early termination of task ${bad?.id}: exit code 1`;
  assert.equal(updateStatus.message, words);
  ground.pass(3_600_000);
  assert.equal(ground.imagesRunning().filter((name) => name === "old").length, 2);
  // The next update goes on, and what failed before is forgiven.
  ground.service = withoutUpdateStatus(ground.service);
  ground.settle();
  assert.equal(ground.service.updateStatus?.state, UpdateState.COMPLETED);
  assert.deepEqual(ground.imagesRunning(), ["new", "new", "new"]);
});

test("update, a task that ends after the monitored time is the restart policy's matter", () => {
  const ground = updated(2, { parallelism: 1n, delay: seconds(60) });
  ground.until(() => ground.imagesRunning().includes("new"));
  ground.pass(6_000);
  ground.end(
    ground.wanted().find(({ slot }) => slot === 1n),
    { upMs: 6_000 },
  );
  ground.settle();
  assert.equal(ground.service.updateStatus?.state, UpdateState.COMPLETED);
});

test("update, so many failures as the ratio allows are no reason to act, one more is", () => {
  for (const [failures, state] of [
    [1, UpdateState.COMPLETED],
    [2, UpdateState.PAUSED],
  ] as const) {
    const ground = updated(4, { parallelism: 0n, maxFailureRatio: 0.25 });
    ground.until(() => ground.imagesRunning().join() === "new,new,new,new");
    for (const task of ground.wanted().slice(0, failures)) ground.end(task, { upMs: 100 });
    ground.settle();
    assert.equal(ground.service.updateStatus?.state, state);
  }
});

test("update, with the action continue it goes on whatever happens", () => {
  const ground = updated(3, { parallelism: 1n, failureAction: UpdateFailureAction.CONTINUE });
  ground.rejects = "new";
  ground.settle();
  assert.equal(ground.service.updateStatus?.state, UpdateState.COMPLETED);
  assert.deepEqual(ground.imagesRunning(), []);
});

test("update, with the action rollback the former spec comes back, and a rollback that fails is paused", () => {
  const ground = updated(3, { parallelism: 1n, failureAction: UpdateFailureAction.ROLLBACK });
  ground.rejects = "new";
  const seen = ground.settle();
  const states = [
    UpdateState.UPDATING,
    UpdateState.ROLLBACK_STARTED,
    UpdateState.ROLLBACK_COMPLETED,
  ];
  assert.deepEqual(seen, states);
  assert.equal(ground.service.updateStatus?.message, "rollback completed");
  assert.equal(ground.service.previousSpec, undefined);
  assert.deepEqual(ground.imagesRunning(), ["old", "old", "old"]);

  const hopeless = updated(3, { parallelism: 1n, failureAction: UpdateFailureAction.ROLLBACK });
  hopeless.rejects = "*";
  const failing = hopeless.settle();
  assert.equal(failing.at(-1), UpdateState.ROLLBACK_PAUSED);
  assert.match(hopeless.service.updateStatus?.message ?? "", /^rollback paused due to failure /);
});

test("update, a task that does not get to run in time fails it, with what is known of the task", () => {
  const ground = updated(2, { parallelism: 1n, progressDeadline: seconds(60) });
  ground.pulls = "new";
  ground.settle();
  const { state, message } = ground.service.updateStatus ?? {};
  assert.equal(state, UpdateState.PAUSED);
  assert.match(message ?? "", /: it does not run after 60 s: pulling the image$/);
});

test("update, without a deadline it waits as long as it takes", () => {
  const ground = updated(2, { parallelism: 1n, progressDeadline: seconds(0) });
  ground.pulls = "new";
  ground.settle();
  ground.pass(24 * 3_600_000);
  assert.equal(ground.service.updateStatus?.state, UpdateState.UPDATING);
});

test("update, start-first with an image that cannot run leaves the old tasks at work", () => {
  const ground = updated(3, { parallelism: 2n, order: UpdateOrder.START_FIRST });
  ground.rejects = "new";
  ground.settle();
  assert.equal(ground.service.updateStatus?.state, UpdateState.PAUSED);
  ground.pass(3_600_000);
  assert.deepEqual(ground.imagesRunning(), ["old", "old", "old"]);
});

test("update, a newer one takes over from where the one before is", () => {
  for (const order of [UpdateOrder.STOP_FIRST, UpdateOrder.START_FIRST]) {
    const ground = updated(3, { parallelism: 1n, order });
    ground.pulls = "new";
    ground.settle();
    ground.setImage(image("newest"));
    ground.settle();
    assert.equal(ground.service.updateStatus?.state, UpdateState.COMPLETED);
    assert.deepEqual(ground.imagesRunning(), ["newest", "newest", "newest"]);
  }
});

test("update, one that is taken back leaves the old tasks that were not replaced", () => {
  const ground = updated(3, { parallelism: 1n, order: UpdateOrder.START_FIRST });
  const old = ground.wanted().map(({ id }) => id);
  ground.pulls = "new";
  ground.settle();
  ground.setImage(image("old"));
  ground.settle();
  assert.deepEqual(
    ground.wanted().map(({ id }) => id),
    old,
  );
});

test("update, of any settings, it takes no more away than it may, rests between news, and ends", () => {
  const settings = fc.record({
    replicas: fc.integer({ min: 1, max: 6 }),
    parallelism: fc.integer({ min: 0, max: 3 }),
    startFirst: fc.boolean(),
    delayS: fc.constantFrom(0, 3),
    seed: fc.array(fc.nat(1000), { minLength: 40, maxLength: 40 }),
  });
  const property = fc.property(settings, ({ replicas, parallelism, startFirst, delayS, seed }) => {
    const order = startFirst ? UpdateOrder.START_FIRST : UpdateOrder.STOP_FIRST;
    const config = { parallelism: BigInt(parallelism), order, delay: seconds(delayS) };
    const ground = updated(replicas, config);
    const most = parallelism === 0 ? replicas : parallelism;
    for (let round = 0; round < 400; round++) {
      ground.plan();
      assert.deepEqual(ground.actions(), [], "a plan without news");
      const up = ground.slotsUp();
      const floor = startFirst ? replicas : replicas - most;
      assert.ok(up >= floor, `${up} of ${replicas} run, ${floor} is the least`);
      assert.ok(ground.slotsUnderChange() <= most, "too many under change");
      if (ground.service.updateStatus?.state === UpdateState.COMPLETED) break;
      ground.someNews(seed[round % seed.length] ?? 0);
    }
    assert.equal(ground.service.updateStatus?.state, UpdateState.COMPLETED);
    assert.deepEqual(ground.imagesRunning(), Array(replicas).fill("new"));
    assert.equal(ground.wanted().length, replicas);
  });
  fc.assert(property, { numRuns: 100 });
});

test("update, whatever the nodes refuse or never finish, it ends, and start-first takes nothing away", () => {
  const settings = fc.record({
    replicas: fc.integer({ min: 1, max: 4 }),
    parallelism: fc.integer({ min: 0, max: 3 }),
    startFirst: fc.boolean(),
    action: fc.constantFrom(...Object.values(UpdateFailureAction)),
    ratio: fc.constantFrom(0, 0.5, 1),
    trouble: fc.constantFrom("rejects" as const, "pulls" as const),
  });
  const property = fc.property(settings, (given) => {
    const { replicas, parallelism, startFirst, trouble } = given;
    const ground = updated(replicas, {
      parallelism: BigInt(parallelism),
      order: startFirst ? UpdateOrder.START_FIRST : UpdateOrder.STOP_FIRST,
      failureAction: given.action,
      maxFailureRatio: given.ratio,
      progressDeadline: seconds(20),
    });
    ground[trouble] = "new";
    for (let round = 0; round < 40; round++) {
      ground.pass(5_000);
      if (startFirst) assert.equal(ground.slotsUp(), replicas);
    }
    const ends: readonly (UpdateState | undefined)[] = [
      UpdateState.PAUSED,
      UpdateState.COMPLETED,
      UpdateState.ROLLBACK_COMPLETED,
    ];
    assert.ok(
      ends.includes(ground.service.updateStatus?.state),
      ground.service.updateStatus?.message,
    );
  });
  fc.assert(property, { numRuns: 30 });
});

test("update, what a task says of a check that fails counts although its container lived long", () => {
  const ground = updated(1, { parallelism: 1n });
  ground.until(() => ground.wanted()[0]?.status?.state === TaskState.ASSIGNED);
  const task: Task | undefined = ground.wanted()[0];
  ground.pass(40_000, () => undefined);
  ground.end(task, { upMs: undefined, reason: "unhealthy: no" });
  ground.plan();
  assert.equal(ground.service.updateStatus?.state, UpdateState.PAUSED);
});

test("update, at its settings' edges: no monitored time, and a ratio that nothing exceeds", () => {
  const unwatched = updated(2, { parallelism: 1n, monitor: seconds(0) });
  unwatched.until(() => unwatched.imagesRunning().includes("new"));
  unwatched.end(unwatched.wanted()[0], { upMs: 0 });
  unwatched.settle();
  assert.equal(unwatched.service.updateStatus?.state, UpdateState.COMPLETED);

  const never = updated(2, { parallelism: 1n, monitor: seconds(0) });
  never.rejects = "new";
  never.settle();
  assert.equal(never.service.updateStatus?.state, UpdateState.PAUSED, "it never ran");

  const all = updated(2, { parallelism: 1n, maxFailureRatio: 1 });
  all.rejects = "new";
  all.settle();
  assert.equal(all.service.updateStatus?.state, UpdateState.COMPLETED);
});

test("update, scaled meanwhile it goes on, and what is new is of the new spec", () => {
  for (const replicas of [5n, 1n]) {
    const ground = updated(3, { parallelism: 1n });
    ground.until(() => ground.imagesRunning().includes("new"));
    const { startedAt } = ground.service.updateStatus ?? {};
    assert.ok(ground.service.spec);
    const mode = {
      case: "replicated",
      value: create(ReplicatedServiceSchema, { replicas }),
    } as const;
    ground.service = withSettings(ground.service, { ...ground.service.spec, mode });
    ground.settle();
    assert.equal(ground.service.updateStatus?.state, UpdateState.COMPLETED);
    assert.deepEqual(ground.service.updateStatus.startedAt, startedAt);
    assert.deepEqual(ground.imagesRunning(), Array(Number(replicas)).fill("new"));
  }
});

test("update, a forced one replaces tasks of the same spec, one by one", () => {
  const ground = new UpdateGround(service(3, { parallelism: 1n }));
  ground.settle();
  const before = ground.wanted().map(({ id }) => id);
  ground.force();
  ground.plan();
  assert.equal(ground.slotsUp(), 2);
  ground.settle();
  assert.equal(ground.service.updateStatus?.state, UpdateState.COMPLETED);
  assert.ok(!ground.wanted().some(({ id }) => before.includes(id)));
});

test("update, one that was paused is taken on by the next, which knows nothing of its failures", () => {
  const ground = updated(3, { parallelism: 1n });
  ground.rejects = "new";
  ground.settle();
  assert.equal(ground.service.updateStatus?.state, UpdateState.PAUSED);
  ground.setImage(image("newest"));
  ground.settle();
  assert.equal(ground.service.updateStatus?.state, UpdateState.COMPLETED);
  assert.deepEqual(ground.imagesRunning(), ["newest", "newest", "newest"]);
});

test("update, of a service that waits for others it waits, too, and its deadline counts from when they are met", () => {
  const made = service(2, { parallelism: 1n, progressDeadline: seconds(60) });
  assert.ok(made.spec);
  made.spec.dependsOn = [create(DependencySchema, { service: "db" })];
  const ground = new UpdateGround(made);
  ground.pulls = "new";
  ground.plan();
  ground.setImage(image("new"));
  ground.pass(3_600_000);
  assert.equal(ground.service.updateStatus?.state, UpdateState.UPDATING);
  ground.meetDependencies();
  ground.pass(50_000);
  assert.equal(ground.service.updateStatus?.state, UpdateState.UPDATING);
  ground.pass(20_000);
  assert.equal(ground.service.updateStatus?.state, UpdateState.PAUSED);
});
