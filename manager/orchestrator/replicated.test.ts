import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  NodeAvailability,
  TaskState,
  TaskStatusSchema,
  UpdateConfigSchema,
  UpdateFailureAction,
  UpdateOrder,
  UpdateState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { silentLog, systemRandom } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { durationFromMs, timestampFromMs } from "#proto/time.ts";
import { isTerminal, isWanted, stateOf } from "../task.ts";
import { StoreLoop } from "../store-loop.ts";
import { openTestStore, testNode, testService, testTaskSpec } from "../testing/fixtures.ts";
import { untilStore } from "../testing/until.ts";
import { withSpec } from "../service-spec.ts";
import { promoted } from "./plan-canaries.ts";
import type { View } from "../store/store.ts";
import { ReplicatedOrchestrator } from "./replicated.ts";
import { SlotIndex } from "./slots.ts";

/** A leader's orchestrator, and agents that obey at once, under a clock that the test moves. */
function openGround() {
  const clock = new FakeClock();
  const test = openTestStore(clock);
  const { store } = test;
  const lead = () => {
    const scope = new AsyncDisposableStack();
    const slots = new SlotIndex(store);
    scope.use(store.watch(({ changes }) => changes.forEach((change) => slots.onChange(change))));
    const modules = { store, slots, clock, log: silentLog, random: systemRandom };
    scope.use(new StoreLoop(new ReplicatedOrchestrator(modules), modules));
    return scope;
  };
  const report = (task: Task, state: TaskState) => {
    const timestamp = timestampFromMs(clock.now());
    const status = create(TaskStatusSchema, { state, timestamp, attempt: 1 });
    const nodeId = task.nodeId || (store.list("node").find(takesTasks)?.id ?? "");
    return test.put("task", { ...task, nodeId, status });
  };
  /** Reports whatever has news, until the condition holds. */
  const obeyUntil = async (condition: (view: View) => boolean) => {
    for (;;) {
      const next = (task: Task) => (isWanted(task) ? TaskState.RUNNING : TaskState.SHUTDOWN);
      const behind = (task: Task) => !isTerminal(task) && stateOf(task) !== next(task);
      await untilStore(store, (view) => condition(view) || view.list("task").some(behind));
      if (condition(store)) return;
      const task = store.list("task").find(behind);
      if (task !== undefined) await report(task, next(task));
    }
  };
  return { ...test, clock, lead, report, obeyUntil };
}

const takesTasks = ({ spec }: Node) => spec?.availability === NodeAvailability.ACTIVE;

/** A round that finds nothing to do leaves no trace; in memory it takes a few turns. */
async function roundsDone(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
}

const imageOf = (spec: TaskSpec | undefined) =>
  spec?.runtime.case === "container" ? spec.runtime.value.image : "";

const imagesOf = (view: View) =>
  view
    .tasksOfService("service-web")
    .filter((task) => isWanted(task) && stateOf(task) === TaskState.RUNNING)
    .map(({ spec }) => imageOf(spec));

const statusOf = (view: View) => view.get("service", "service-web")?.updateStatus;

test("orchestrator, each new leader goes on with an update where the one before was", async () => {
  const ground = openGround();
  const { clock, store } = ground;
  await ground.put("node", testNode(1));
  const service = testService({ replicas: 2 });
  assert.ok(service.spec);
  const delay = durationFromMs(60_000);
  service.spec.update = create(UpdateConfigSchema, { parallelism: 1n, delay });
  await ground.put("service", service);
  {
    await using _leader = ground.lead();
    await ground.obeyUntil((view) => imagesOf(view).length === 2);
    const before = store.get("service", service.id);
    assert.ok(before?.spec);
    const runtime = { case: "container", value: { image: "new" } } as const;
    await ground.put(
      "service",
      withSpec(before, { ...before.spec, task: testTaskSpec({ runtime }) }),
    );
    await ground.obeyUntil((view) => imagesOf(view).includes("new"));
  }
  const startedAt = statusOf(store)?.startedAt;
  assert.equal(statusOf(store)?.state, UpdateState.UPDATING);
  {
    // Half of the delay has gone by under the first, the other half is waited for by the second.
    clock.advance(30_000);
    await using _leader = ground.lead();
    await roundsDone();
    clock.advance(29_000);
    await roundsDone();
    assert.deepEqual(imagesOf(store).toSorted(), ["busybox", "new"]);
    clock.advance(1_000);
    await ground.obeyUntil((view) => imagesOf(view).join() === "new,new");
    assert.equal(statusOf(store)?.state, UpdateState.UPDATING);
  }
  await using _leader = ground.lead();
  await roundsDone();
  clock.advance(5_000);
  await untilStore(store, (view) => statusOf(view)?.state === UpdateState.COMPLETED);
  assert.deepEqual(statusOf(store)?.startedAt, startedAt);
});

test("orchestrator, a new leader waits for the same canaries' promotion, and goes on when it comes", async () => {
  const ground = openGround();
  const { store } = ground;
  await ground.put("node", testNode(1));
  const service = testService({ replicas: 3 });
  assert.ok(service.spec);
  service.spec.update = create(UpdateConfigSchema, { parallelism: 1n, canary: 1n });
  await ground.put("service", service);
  {
    await using _leader = ground.lead();
    await ground.obeyUntil((view) => imagesOf(view).length === 3);
    const before = store.get("service", service.id);
    assert.ok(before?.spec);
    const runtime = { case: "container", value: { image: "new" } } as const;
    const task = testTaskSpec({ runtime });
    await ground.put("service", withSpec(before, { ...before.spec, task }));
    await ground.obeyUntil((view) => statusOf(view)?.state === UpdateState.CANARY);
  }
  await using _leader = ground.lead();
  await roundsDone();
  const held = store.list("task").find(({ spec }) => imageOf(spec) === "busybox");
  assert.ok(held !== undefined);
  await ground.report(held, TaskState.FAILED);
  await roundsDone();
  ground.clock.advance(60_000);
  await ground.obeyUntil((view) => imagesOf(view).length === 3);
  assert.deepEqual(imagesOf(store).toSorted(), ["busybox", "busybox", "new"]);
  const waiting = store.get("service", service.id);
  assert.ok(waiting !== undefined);
  await ground.put("service", promoted(waiting));
  await ground.obeyUntil((view) => imagesOf(view).join() === "new,new,new");
});

test("orchestrator, a drained node is left one task after the other, each when the one before runs elsewhere", async () => {
  const ground = openGround();
  const { store } = ground;
  await ground.put("node", testNode(1), testNode(2));
  await ground.put("service", testService({ replicas: 3 }));
  await using _leader = ground.lead();
  await ground.obeyUntil((view) => imagesOf(view).length === 3);
  let least = 3;
  using _watch = store.watch(() => (least = Math.min(least, imagesOf(store).length)));
  await ground.put("node", testNode(1, { spec: { availability: NodeAvailability.DRAIN } }));
  const elsewhere = (view: View) =>
    view.list("task").filter((task) => isWanted(task) && task.nodeId === "node2").length === 3;
  await ground.obeyUntil((view) => elsewhere(view) && imagesOf(view).length === 3);
  assert.equal(least, 2);
});

test("orchestrator, what an update could not start in time takes over when it does, though the update is over", async () => {
  const ground = openGround();
  const { store, put, clock, report, obeyUntil } = ground;
  await put("node", testNode(1));
  const update = create(UpdateConfigSchema, {
    order: UpdateOrder.START_FIRST,
    failureAction: UpdateFailureAction.CONTINUE,
    progressDeadline: durationFromMs(1_000),
  });
  const service = testService();
  assert.ok(service.spec !== undefined);
  await put("service", { ...service, spec: { ...service.spec, update } });
  await using _leader = ground.lead();
  await obeyUntil((view) => view.list("task").some((task) => stateOf(task) === TaskState.RUNNING));
  const before = store.list("service")[0];
  assert.ok(before?.spec !== undefined);
  const image = { case: "container", value: { image: "busybox:2" } } as const;
  const task = testTaskSpec({ runtime: image });
  await put("service", withSpec(before, { ...before.spec, task }));
  await untilStore(store, (view) => view.list("task").length === 2);
  const starting = store.list("task").find((one) => stateOf(one) === TaskState.NEW);
  assert.ok(starting !== undefined);
  await report(starting, TaskState.STARTING);
  clock.advance(1_000);
  const isOver = (view: View) =>
    view.list("service")[0]?.updateStatus?.state === UpdateState.COMPLETED;
  await untilStore(store, isOver);
  const late = store.get("task", starting.id);
  assert.ok(late !== undefined);
  await report(late, TaskState.RUNNING);
  await untilStore(store, (view) => view.list("task").filter(isWanted).length === 1);
  assert.equal(store.list("task").find(isWanted)?.id, late.id);
});
