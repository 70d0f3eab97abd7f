import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { testTaskSpec } from "../testing/fixtures.ts";
import { runningTask, scaledService, startMs, usageOf } from "./testing/scaled-service.ts";
import { wishesOf } from "./wish.ts";

const nowMs = startMs;
const freshMs = 35_000;
const longAgoMs = nowMs - 3_600_000;

interface Case {
  readonly what: string;
  /** In percent of what each slot's task reserves; undefined: it was not measured. */
  readonly cpu: readonly (number | undefined)[];
  /** Slots beyond these that shall be, but do not run. */
  readonly coming?: number;
  readonly target?: number;
  readonly wish: number | undefined;
}

const cases: readonly Case[] = [
  { what: "nothing is known: no wish", cpu: [undefined, undefined], wish: undefined },
  { what: "no task runs: no wish", cpu: [], coming: 2, wish: undefined },
  { what: "twice the target: twice as many", cpu: [100, 100], wish: 4 },
  { what: "half the target: half as many", cpu: [25, 25, 25, 25], wish: 2 },
  { what: "what is shared unevenly counts on average", cpu: [190, 10], wish: 4 },
  { what: "a little more is as wanted", cpu: [55, 55], wish: 2 },
  { what: "a little less is as wanted", cpu: [46, 46, 46], wish: 3 },
  { what: "beyond the tolerance counts", cpu: [56, 56], wish: 3 },
  { what: "no use at all: one will do", cpu: [0, 0, 0], wish: 1 },
  { what: "a missing one holds back where more are wished for", cpu: [100, undefined], wish: 2 },
  {
    what: "though the others may want more than its share",
    cpu: [100, 100, 100, undefined],
    wish: 6,
  },
  { what: "a missing one holds back where fewer are wished for", cpu: [10, undefined], wish: 2 },
  {
    what: "though the others may do without",
    cpu: [0, 0, 0, 0, 0, 0, 0, 0, 0, undefined],
    wish: 2,
  },
  { what: "those that come take their part", cpu: [100], coming: 1, wish: 2 },
  { what: "and more, where they are too few", cpu: [400], coming: 1, wish: 8 },
  {
    what: "those that come are as the others where fewer are wished for",
    cpu: [25],
    coming: 3,
    wish: 2,
  },
  { what: "a target of more than what is reserved", cpu: [300, 300], target: 200, wish: 3 },
];

function wishOf(
  { cpu, coming = 0, target = 50 }: Omit<Case, "what" | "wish">,
  ...more: readonly Task[]
) {
  const found = cpu.length + coming;
  const [wish] = wishesOf({
    service: scaledService({ cpuPercent: target }, { found }),
    tasks: [...cpu.map((_, index) => runningTask(index + 1, longAgoMs)), ...more],
    usageOf: (taskId) => {
      const percent = cpu[Number(taskId.slice("task".length)) - 1];
      return percent === undefined ? undefined : usageOf(nowMs, percent);
    },
    freshMs,
    nowMs,
  });
  return wish?.replicas;
}

describe("wish", () => {
  for (const { what, wish, ...rest } of cases) it(what, () => assert.equal(wishOf(rest), wish));

  it("the further task of an update that starts first does not count", () => {
    const surge = runningTask(1, nowMs - 60_000, "task3");
    assert.equal(wishOf({ cpu: [100, 100, 500] }, surge), wishOf({ cpu: [100, 100, 500] }));
    const service = scaledService({}, { found: 1 });
    const [wish] = wishesOf({
      service,
      tasks: [runningTask(1, longAgoMs, "old"), runningTask(1, nowMs - 60_000, "new")],
      usageOf: (id) => usageOf(nowMs, id === "old" ? 50 : 500),
      freshMs,
      nowMs,
    });
    assert.equal(wish?.replicas, 1);
  });

  it("a task that has just started, or is told to stop, does not count, nor an old measurement", () => {
    const service = scaledService({}, { found: 2 });
    const of = (task: Task, atMs: number) =>
      wishesOf({
        service,
        tasks: [runningTask(1, longAgoMs), task],
        usageOf: (id) => (id === task.id ? usageOf(atMs, 1_000) : usageOf(nowMs, 50)),
        freshMs,
        nowMs,
      })[0]?.replicas;
    assert.equal(of(runningTask(2, longAgoMs), nowMs), 21);
    assert.equal(of(runningTask(2, nowMs - 29_000), nowMs), 2);
    assert.equal(of(runningTask(2, longAgoMs), nowMs - 36_000), 2);
    assert.equal(of({ ...runningTask(2, longAgoMs), desiredState: TaskState.SHUTDOWN }, nowMs), 2);
  });

  it("several metrics: each has its wish; one without measurements has none", () => {
    const wishes = (memory: number | undefined) =>
      wishesOf({
        service: scaledService({ cpuPercent: 50, memoryPercent: 80 }, { found: 1 }),
        tasks: [
          memory === undefined
            ? {
                ...runningTask(1, longAgoMs),
                spec: testTaskSpec({ resources: { limits: { nanoCpus: 2_000_000_000n } } }),
              }
            : runningTask(1, longAgoMs),
        ],
        usageOf: () => usageOf(nowMs, 100, memory ?? 0),
        freshMs,
        nowMs,
      }).map(({ metric, percent, replicas }) => `${metric} ${percent} ${replicas}`);
    assert.deepEqual(wishes(240), ["cpu 100 2", "memory 240 3"]);
    // Of its limit, which is twice as much.
    assert.deepEqual(wishes(undefined), ["cpu 50 1"]);
  });

  it("whatever is used and missing, unknowns only bring the wish nearer to what there is", () => {
    const percents = fc.array(fc.integer({ min: 0, max: 1_000 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(percents, fc.nat(10), fc.nat(10), (cpu, missing, coming) => {
        const current = cpu.length + missing + coming;
        const wish = wishOf({ cpu: [...cpu, ...Array<undefined>(missing)], coming });
        assert.ok(wish !== undefined);
        const average = cpu.reduce((sum, one) => sum + one, 0) / cpu.length;
        const known = Math.ceil((average / 50) * current);
        if (wish > current) assert.ok(wish <= known);
        if (wish < current) assert.ok(wish >= known);
      }),
    );
  });
});
