import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { TaskUsageSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { silentLog, systemRandom } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { until } from "#proto/testing/until.ts";
import { durationFromMs } from "#proto/time.ts";
import { openTestStore, testService } from "../testing/fixtures.ts";
import { Autoscaler, partTasksMax } from "./autoscaler.ts";
import { reserving, runningTask, scaledService } from "./testing/scaled-service.ts";
import { UsageBook } from "./usage-book.ts";

test("autoscaler, scales what is measured, and lets go of a service that is not scaled any more", async () => {
  const clock = new FakeClock();
  const { store, put } = openTestStore(clock);
  const usageBook = new UsageBook({ clock });
  const ports = { clock, random: systemRandom, log: silentLog };
  await using _autoscaler = new Autoscaler({ ...ports, store, usageBook });
  const service = scaledService();
  await put("service", service, testService({ name: "plain" }));
  await put("task", runningTask(1, clock.now()));
  const status = () => store.get("service", service.id)?.autoscaleStatus;
  await until(() => status()?.replicas === 1n);
  const measure = () => {
    const period = durationFromMs(10_000);
    const used = { nanoCpus: 1_000_000_000n, memoryBytes: 1n, period };
    usageBook.record([create(TaskUsageSchema, { taskId: "task1", ...used })]);
  };
  await until(() => {
    clock.advance(5_000);
    measure();
    return status()?.replicas === 2n;
  });
  assert.match(status()?.message ?? "", /^scaled from 1 to 2: CPU at 100 %, 50 % wanted$/);
  await put("service", { ...testService(), autoscaleStatus: status() });
  await until(() => status() === undefined);
  assert.equal(store.get("service", "service-plain")?.autoscaleStatus, undefined);
});

test("autoscaler, when it has looked at very many tasks others have their turn", async () => {
  const clock = new FakeClock();
  const { store, put } = openTestStore(clock);
  const large = scaledService();
  const small = testService({ name: "small", task: reserving });
  assert.ok(small.spec && large.spec?.autoscale);
  small.spec.autoscale = large.spec.autoscale;
  await put("service", large, small);
  const tasks = Array.from({ length: partTasksMax }, (_, index) => runningTask(index + 1, 0));
  await put("task", ...tasks);
  const usageBook = new UsageBook({ clock });
  const ports = { clock, random: systemRandom, log: silentLog };
  await using _autoscaler = new Autoscaler({ ...ports, store, usageBook });
  const isSeen = ({ id }: Service) => store.get("service", id)?.autoscaleStatus !== undefined;
  await until(() => isSeen(large));
  assert.ok(!isSeen(small));
  await until(() => {
    clock.advance(0);
    return isSeen(small);
  });
});

test("usage book, what is old, or of a time to come, is forgotten", () => {
  const clock = new FakeClock();
  const book = new UsageBook({ clock });
  const record = (taskId: string) => book.record([create(TaskUsageSchema, { taskId })]);
  record("old");
  clock.advance(60_000);
  record("new");
  book.forget(clock.now() - 10_000);
  assert.deepEqual([book.of("old"), book.of("new")?.atMs], [undefined, clock.now()]);
});
