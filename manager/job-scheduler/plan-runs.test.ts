import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ReplicatedJobSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type JobRun,
  JobScheduleSchema,
  RestartCondition,
  RestartPolicySchema,
  RunOverlap,
  RunState,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs, msFromTimestamp } from "#proto/time.ts";
import { asCreated, asUpdated, isRunning, iterationOf, withRun } from "../job.ts";
import { planJob } from "../orchestrator/plan-job.ts";
import { ModeGround } from "../orchestrator/testing/mode-ground.ts";
import { withSpec } from "../service-spec.ts";
import { testService } from "../testing/fixtures.ts";
import { nextRunMs } from "./cron.ts";
import { planRuns } from "./plan-runs.ts";

interface ScheduleOptions {
  readonly cron?: string;
  readonly timeZone?: string;
  readonly overlap?: RunOverlap;
  readonly keepCompleted?: number;
  readonly keepFailed?: number;
  readonly suspended?: boolean;
  readonly deadlineMs?: number;
}

function scheduled({ deadlineMs, ...given }: ScheduleOptions = {}): Service {
  const condition = RestartCondition.NONE;
  const service = testService({
    name: "job",
    task: { restart: create(RestartPolicySchema, { condition }) },
  });
  assert.ok(service.spec);
  const value = create(ReplicatedJobSchema, { maxConcurrent: 1n, totalCompletions: 1n });
  service.spec.mode = { case: "replicatedJob", value };
  service.spec.schedule = create(JobScheduleSchema, {
    cron: "*/10 * * * *",
    ...given,
    ...(deadlineMs !== undefined && { startingDeadline: durationFromMs(deadlineMs) }),
  });
  return asCreated(service, startMs);
}

/** Ten seconds past the hour. */
const startMs = Date.parse("2026-01-01T00:00:10Z");

function groundOf(service: Service): ModeGround {
  const ground = new ModeGround(service, 2, (look) => {
    const runs = planRuns(look.tasks, look);
    if (runs.service !== look.service) {
      return [{ action: "update", kind: "service", object: runs.service }];
    }
    return planJob(look.tasks, { ...look, logDriver: undefined }).actions;
  });
  ground.nowMs = startMs;
  return ground;
}

function planAll(ground: ModeGround): void {
  while (ground.plan().length > 0);
}

function passMinutes(ground: ModeGround, minutes: number): void {
  ground.nowMs += minutes * 60_000;
  planAll(ground);
}

/** Each task that runs now ends so, and what follows on that is planned. */
function endAll(ground: ModeGround, state: TaskState): void {
  for (const task of ground.tasks) {
    if (task.desiredState === TaskState.COMPLETE && task.status?.state !== TaskState.COMPLETE) {
      ground.report({ ...task, nodeId: "node1" }, state);
    }
  }
  planAll(ground);
}

const runsOf = (ground: ModeGround): readonly JobRun[] => ground.service.scheduleStatus?.runs ?? [];

/** "00:10 COMPLETED": each run's moment, or "by hand", and state. */
function said(ground: ModeGround): string[] {
  const names = ["RUNNING", "COMPLETED", "FAILED", "REPLACED"];
  return runsOf(ground).map(({ scheduledAt, state }) => {
    const moment = new Date(msFromTimestamp(scheduledAt)).toISOString().slice(11, 16);
    return `${scheduledAt === undefined ? "by hand" : moment} ${names[state]}`;
  });
}

function nextAt({ service }: ModeGround): string | undefined {
  const next = service.scheduleStatus?.nextAt;
  return next && new Date(msFromTimestamp(next)).toISOString().slice(11, 16);
}

test("schedule, a job runs at its moments and not before, each time once", () => {
  const ground = groundOf(scheduled());
  planAll(ground);
  assert.equal(nextAt(ground), "00:10");
  assert.deepEqual(ground.tasks, []);
  passMinutes(ground, 9);
  assert.deepEqual(said(ground), []);
  passMinutes(ground, 1);
  assert.deepEqual(said(ground), ["00:10 RUNNING"]);
  assert.equal(ground.tasks.length, 1);
  endAll(ground, TaskState.COMPLETE);
  assert.deepEqual(said(ground), ["00:10 COMPLETED"]);
  assert.equal(nextAt(ground), "00:20");
  passMinutes(ground, 10);
  endAll(ground, TaskState.FAILED);
  assert.deepEqual(said(ground), ["00:10 COMPLETED", "00:20 FAILED"]);
});

test("schedule, where a run is due and one goes on: left out, beside it, or in its place", () => {
  const after = (overlap: RunOverlap) => {
    const ground = groundOf(scheduled({ overlap }));
    planAll(ground);
    passMinutes(ground, 10);
    passMinutes(ground, 10);
    return {
      states: said(ground),
      going: ground.tasks.filter((task) => task.desiredState === TaskState.COMPLETE).length,
      because: ground.service.scheduleStatus?.leftOutBecause ?? "",
    };
  };
  const because = "the run before it went on, and the overlap is forbidden";
  const one = { states: ["00:10 RUNNING"], going: 1, because };
  assert.deepEqual(after(RunOverlap.FORBID), one);
  const both = ["00:10 RUNNING", "00:20 RUNNING"];
  assert.deepEqual(after(RunOverlap.ALLOW), { states: both, going: 2, because: "" });
  const instead = ["00:10 REPLACED", "00:20 RUNNING"];
  assert.deepEqual(after(RunOverlap.REPLACE), { states: instead, going: 1, because: "" });
});

test("schedule, the newest runs are kept, of each kind as many as shall, and the tasks of the others go", () => {
  const ground = groundOf(scheduled({ keepCompleted: 2, keepFailed: 1 }));
  planAll(ground);
  for (const state of ["COMPLETE", "FAILED", "COMPLETE", "FAILED", "COMPLETE"] as const) {
    passMinutes(ground, 10);
    endAll(ground, TaskState[state]);
  }
  assert.deepEqual(said(ground), ["00:30 COMPLETED", "00:40 FAILED", "00:50 COMPLETED"]);
  assert.equal(ground.tasks.length, 3);
  const none = groundOf(scheduled({ keepCompleted: 0 }));
  planAll(none);
  passMinutes(none, 10);
  endAll(none, TaskState.COMPLETE);
  assert.deepEqual(said(none), []);
  assert.deepEqual(none.tasks, []);
});

test("schedule, after a time without a leader a run is left out, or begins as late as its deadline allows", () => {
  const late = (options: ScheduleOptions, minutes: number) => {
    const ground = groundOf(scheduled(options));
    planAll(ground);
    passMinutes(ground, minutes);
    return [...said(ground), nextAt(ground)];
  };
  // A new leader's seconds cost nothing.
  assert.deepEqual(late({}, 10.7), ["00:10 RUNNING", "00:20"]);
  assert.deepEqual(late({}, 12), ["00:20"]);
  assert.deepEqual(late({ deadlineMs: 180_000 }, 12), ["00:10 RUNNING", "00:20"]);
  assert.deepEqual(late({ deadlineMs: 180_000 }, 13), ["00:20"]);
  const skipped = groundOf(scheduled());
  planAll(skipped);
  passMinutes(skipped, 12);
  const { leftOutAt, leftOutBecause } = skipped.service.scheduleStatus ?? {};
  assert.equal(new Date(msFromTimestamp(leftOutAt)).toISOString().slice(11, 16), "00:10");
  const because = "no manager led until 130 s later, and it may be 60 s late";
  assert.equal(leftOutBecause, because);
  // Of all that were missed, the last one.
  assert.deepEqual(late({ deadlineMs: 3_600_000 }, 58), ["00:50 RUNNING", "01:00"]);
});

test("schedule, a clock that was a year ahead for a moment holds nothing up, one put back a little takes nothing twice", () => {
  const ground = groundOf(scheduled({ overlap: RunOverlap.ALLOW }));
  const yearMinutes = 365 * 24 * 60;
  planAll(ground);
  passMinutes(ground, yearMinutes + 10);
  assert.deepEqual(said(ground), ["00:10 RUNNING"]);
  passMinutes(ground, -yearMinutes);
  assert.equal(nextAt(ground), "00:20");
  passMinutes(ground, 10);
  assert.deepEqual(said(ground), ["00:10 RUNNING", "00:20 RUNNING"]);
  passMinutes(ground, -15);
  assert.equal(nextAt(ground), "00:30");
  passMinutes(ground, 15);
  assert.equal(runsOf(ground).length, 2);
});

test("schedule, suspended nothing is due, and afterwards what comes next", () => {
  const ground = groundOf(scheduled());
  planAll(ground);
  const change = (suspended: boolean, cron = "*/10 * * * *") => {
    assert.ok(ground.service.spec?.schedule);
    const schedule = { ...ground.service.spec.schedule, suspended, cron };
    const updated = withSpec(ground.service, { ...ground.service.spec, schedule });
    ground.service = asUpdated(ground.service, updated, ground.nowMs);
    planAll(ground);
  };
  change(true);
  assert.equal(nextAt(ground), undefined);
  passMinutes(ground, 15);
  assert.deepEqual(said(ground), []);
  change(false);
  assert.equal(nextAt(ground), "00:20");
  change(false, "@hourly");
  assert.equal(nextAt(ground), "01:00");
  assert.deepEqual(said(ground), []);
});

test("schedule, a run by hand is one like others but for its moment", () => {
  const ground = groundOf(scheduled());
  planAll(ground);
  ground.service = withRun(ground.service, { nowMs: ground.nowMs });
  planAll(ground);
  assert.deepEqual(said(ground), ["by hand RUNNING"]);
  assert.equal(nextAt(ground), "00:10");
  endAll(ground, TaskState.COMPLETE);
  passMinutes(ground, 10);
  assert.deepEqual(said(ground), ["by hand COMPLETED", "00:10 RUNNING"]);
});

test("job, an update runs it again only if it changes what runs; one with a schedule waits for its time", () => {
  const job = scheduled();
  assert.ok(job.spec?.task);
  const { schedule: _, ...once } = job.spec;
  const before = asCreated({ ...job, spec: once }, startMs);
  assert.equal(iterationOf(before), 1n);
  const update = (service: Service, change: object) => {
    assert.ok(service.spec);
    const after = withSpec(service, { ...service.spec, ...change });
    return iterationOf(asUpdated(service, after, startMs));
  };
  const annotations = { ...once.annotations, labels: { a: "b" } };
  assert.equal(update(before, { annotations }), 1n);
  assert.equal(update(before, { task: { ...job.spec.task, forceUpdate: 1n } }), 2n);
  assert.equal(update(job, { task: { ...job.spec.task, forceUpdate: 1n } }), 0n);
});

const choices = fc.array(fc.nat(999), { maxLength: 80 });
const overlaps = fc.constantFrom(RunOverlap.FORBID, RunOverlap.ALLOW, RunOverlap.REPLACE);

test("schedule, whatever happens: no moment twice, none lost while somebody leads, overlap as said, replans do nothing", () => {
  const property = fc.property(overlaps, choices, (overlap, list) => {
    const ground = groundOf(
      scheduled({ overlap, cron: "*/3 * * * *", keepCompleted: 1_000, keepFailed: 1_000 }),
    );
    planAll(ground);
    const time = { expression: "*/3 * * * *", timeZone: "" };
    for (const choice of list) {
      const dueMs = nextRunMs(time, ground.nowMs - 1) ?? 0;
      const wasRunning = runsOf(ground).some(isRunning);
      // Somebody leads at least every 40 s: a run is due within, or not.
      ground.nowMs += (choice % 4) * 13_000;
      planAll(ground);
      const moments = runsOf(ground).flatMap(({ scheduledAt }) =>
        scheduledAt ? [msFromTimestamp(scheduledAt)] : [],
      );
      assert.equal(new Set(moments).size, moments.length, "a moment twice");
      assert.ok(
        moments.every((ms) => nextRunMs(time, ms - 1) === ms),
        "none of its moments",
      );
      if (dueMs <= ground.nowMs && !(wasRunning && overlap === RunOverlap.FORBID)) {
        assert.ok(moments.includes(dueMs), "a moment was lost");
      }
      const running = runsOf(ground).filter(isRunning).length;
      assert.ok(overlap === RunOverlap.ALLOW || running <= 1, "two runs");
      assert.deepEqual(ground.actions(), [], "a replan does something");
      ground.news(choice, choice % 3 === 0 ? TaskState.FAILED : TaskState.COMPLETE);
      const iterations = runsOf(ground).map(({ iteration }) => iteration?.index);
      assert.equal(new Set(iterations).size, iterations.length);
      planAll(ground);
    }
    const ended = runsOf(ground).filter((run) => run.state !== RunState.RUNNING);
    assert.ok(ended.every(({ endedAt }) => endedAt !== undefined));
  });
  fc.assert(property, { numRuns: 100 });
});
