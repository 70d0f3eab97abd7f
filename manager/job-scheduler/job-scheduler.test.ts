import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ReplicatedJobSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  JobScheduleSchema,
  RunState,
  TaskState,
  TaskStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { Clock } from "#proto/ports.ts";
import { silentLog, systemRandom } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { durationFromMs, msFromTimestamp, timestampFromMs } from "#proto/time.ts";
import { JobOrchestrator } from "../orchestrator/jobs.ts";
import { StoreLoop } from "../store-loop.ts";
import type { View } from "../store/store.ts";
import { openTestStore, testNode, testService } from "../testing/fixtures.ts";
import { untilStore } from "../testing/until.ts";
import { JobScheduler } from "./job-scheduler.ts";

const runsOf = (view: View) => view.get("service", "service-job")?.scheduleStatus?.runs ?? [];

function moments(view: View): string {
  return runsOf(view)
    .map(({ scheduledAt }) => new Date(msFromTimestamp(scheduledAt)).toISOString().slice(11, 16))
    .join(" ");
}

/** A job that runs every ten minutes, and a clock that begins at five past midnight. */
async function openGround() {
  const clock = new FakeClock(Date.parse("2026-01-01T00:05:00Z"));
  const ground = openTestStore(clock);
  const service = testService({ name: "job" });
  assert.ok(service.spec);
  const value = create(ReplicatedJobSchema, { maxConcurrent: 1n, totalCompletions: 1n });
  service.spec.mode = { case: "replicatedJob", value };
  service.spec.schedule = create(JobScheduleSchema, {
    cron: "*/10 * * * *",
    startingDeadline: durationFromMs(120_000),
  });
  await ground.put("node", testNode(1));
  await ground.put("service", service);
  const lead = (leaderClock: Clock = clock) => {
    const scope = new AsyncDisposableStack();
    const modules = {
      store: ground.store,
      clock: leaderClock,
      log: silentLog,
      random: systemRandom,
    };
    scope.use(new StoreLoop(new JobOrchestrator(modules), modules));
    scope.use(new StoreLoop(new JobScheduler(modules), modules));
    return scope;
  };
  const until = (condition: (view: View) => boolean) => untilStore(ground.store, condition);
  const complete = async () => {
    await until((view) => view.list("task").some(({ status }) => status?.state === TaskState.NEW));
    const task = ground.store.list("task").find(({ status }) => status?.state === TaskState.NEW);
    assert.ok(task);
    const timestamp = timestampFromMs(clock.now());
    const status = create(TaskStatusSchema, { state: TaskState.COMPLETE, timestamp, attempt: 1 });
    await ground.put("task", { ...task, nodeId: "node1", status });
    await until((view) => runsOf(view).at(-1)?.state === RunState.COMPLETED);
  };
  return { ...ground, clock, lead, until, complete };
}

/** A round that finds nothing to do leaves no trace; in memory it takes a few turns. */
async function roundsDone(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
}

test("job scheduler, runs begin when the clock says so, and their ends are noted", async () => {
  const { clock, lead, until, complete, store } = await openGround();
  await using _leader = lead();
  await until((view) => view.get("service", "service-job")?.scheduleStatus?.nextAt !== undefined);
  clock.advance(5 * 60_000 - 1);
  await roundsDone();
  assert.equal(moments(store), "");
  clock.advance(1);
  await until((view) => moments(view) === "00:10");
  await complete();
  clock.advance(10 * 60_000);
  await until((view) => moments(view) === "00:10 00:20");
  assert.equal(store.list("task").length, 1);
  await until((view) => view.list("task").length === 2);
});

test("job scheduler, a change of leader neither loses nor doubles a run", async () => {
  const { clock, lead, until, complete, store } = await openGround();
  {
    await using _leader = lead();
    await until((view) => view.get("service", "service-job")?.scheduleStatus?.nextAt !== undefined);
  }
  // Nobody leads when it is due, nor for a minute and a half after that.
  clock.advance(6.5 * 60_000);
  {
    await using _leader = lead();
    await until((view) => moments(view) === "00:10" && view.list("task").length === 1);
  }
  {
    await using _leader = lead();
    await roundsDone();
    assert.equal(moments(store), "00:10");
    assert.equal(store.list("task").length, 1);
    await complete();
  }
  // Two that believe to lead at once: the second one's change is of a service that has changed.
  await using _one = lead();
  await using _other = lead();
  clock.advance(8.5 * 60_000);
  await until((view) => moments(view) === "00:10 00:20");
  await roundsDone();
  assert.equal(moments(store), "00:10 00:20");
  assert.deepEqual(
    runsOf(store).map(({ iteration }) => iteration?.index),
    [1n, 2n],
  );
});

test("job scheduler, runs follow the clock on the wall, however it is set", async () => {
  const { clock, lead, until } = await openGround();
  let aheadMs = 0;
  const wall: Clock = {
    now: () => clock.now() + aheadMs,
    monotonic: () => clock.monotonic(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    timer: (ms, callback) => clock.timer(ms, callback),
  };
  await using _leader = lead(wall);
  const untilNext = async (moment: string) => {
    await roundsDone();
    clock.advance(30_000);
    await until((view) => {
      const next = view.get("service", "service-job")?.scheduleStatus?.nextAt;
      return next !== undefined && new Date(msFromTimestamp(next)).toISOString() === moment;
    });
  };
  await untilNext("2026-01-01T00:10:00.000Z");
  aheadMs = 4 * 60_000;
  await untilNext("2026-01-01T00:20:00.000Z");
  aheadMs = 365 * 24 * 3_600_000;
  await untilNext("2027-01-01T00:10:00.000Z");
  aheadMs = 0;
  await untilNext("2026-01-01T00:20:00.000Z");
});
