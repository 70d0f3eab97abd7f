import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { type TaskUsage, TaskUsageSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { PeerService, ReportBeatsRequest } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Client } from "#proto/grpc.ts";
import { silentLog } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { until } from "#proto/testing/until.ts";
import { cutOffMs } from "../node-liveness/timing.ts";
import { BeatReporter } from "./beat-reporter.ts";

type Report = Client<typeof PeerService>["reportBeats"];

/** A manager that does not lead, and what it reports to whom. */
function open() {
  const clock = new FakeClock();
  const reports: (readonly string[])[] = [];
  const usages: (readonly TaskUsage[])[] = [];
  const cutOff: Fault[] = [];
  let onLeader = () => {};
  const take = async (report: Partial<ReportBeatsRequest>) => {
    reports.push(report.nodeIds ?? []);
    usages.push(report.usages ?? []);
    return {};
  };
  const ground = {
    clock,
    reports,
    usages,
    cutOff,
    sessions: 1,
    /** What the leader does with a report. */
    answer: take as unknown as Report,
    take: take as unknown as Report,
    changeLeader: () => onLeader(),
  };
  const reporter = new BeatReporter(
    {
      periodMs: () => 1_000,
      hasSessions: () => ground.sessions > 0,
      onCutOff: (fault) => cutOff.push(fault),
    },
    {
      clock,
      log: silentLog,
      replication: {
        leading: false,
        watch: (listener) => {
          onLeader = listener;
          return { [Symbol.dispose]: () => {} };
        },
      },
      nodeLiveness: () => undefined,
      leader: () =>
        ({ reportBeats: (...call: Parameters<Report>) => ground.answer(...call) }) as never,
    },
  );
  return { ...ground, ground, reporter };
}

const never = new AbortController().signal;

test("beat reporter, of each task the newest measurement goes with a report, however often a node tells", async () => {
  const { clock, usages, reporter } = open();
  await using _ = reporter;
  await reporter.announce("node1", never);
  const told = (taskId: string, nanoCpus: bigint) => create(TaskUsageSchema, { taskId, nanoCpus });
  for (let number = 1n; number <= 100n; number++) {
    reporter.beat("node1", [told("a", number), told("b", 7n), told("b", number)]);
  }
  clock.advance(250);
  await until(() => usages.length === 2);
  assert.deepEqual(usages[1], [told("a", 100n), told("b", 100n)]);
});

test("beat reporter, a new session is reported at once, beats a quarter of a period later, together", async () => {
  const { clock, reports, ground, reporter } = open();
  await using _ = reporter;
  await reporter.announce("node1", never);
  assert.deepEqual(reports, [["node1"]]);
  for (let number = 1; number <= 100; number++) reporter.beat(`node${number}`);
  clock.advance(249);
  assert.equal(reports.length, 1);
  clock.advance(1);
  await until(() => reports.length === 2);
  assert.equal(reports[1]?.length, 100);
  // The next one only says that the manager is there.
  clock.advance(250);
  await until(() => reports.length === 3);
  assert.deepEqual(reports[2], []);
  ground.sessions = 0;
  clock.advance(250);
  await until(() => reports.length === 4);
  clock.advance(10_000);
  assert.equal(reports.length, 4, "nobody is here");
});

test("beat reporter, what a leader did not take goes to the next one, at once", async () => {
  const { reports, ground, reporter } = open();
  await using _ = reporter;
  const asked = Promise.withResolvers<void>();
  ground.answer = (_request, options) =>
    new Promise((_resolve, reject) => {
      asked.resolve();
      options?.signal?.addEventListener("abort", () => reject(options.signal?.reason));
    });
  const announced = reporter.announce("node1", never);
  await asked.promise;
  reporter.beat("node2");
  ground.answer = ground.take;
  ground.changeLeader();
  await announced;
  assert.deepEqual(reports, [["node2", "node1"]]);
});

test("beat reporter, sessions are kept through a leader change, and let go when none is reached for long", async () => {
  const { clock, cutOff, reports, ground, reporter } = open();
  await using _ = reporter;
  await reporter.announce("node1", never);
  let tries = 0;
  ground.answer = async () => {
    tries++;
    throw new Fault("unavailable", "nobody leads");
  };
  const stepMs = 250;
  for (let silentMs = stepMs; silentMs < cutOffMs(1_000); silentMs += stepMs) {
    const before = tries;
    clock.advance(stepMs);
    await until(() => tries > before);
  }
  assert.equal(cutOff.length, 0);
  clock.advance(stepMs);
  await until(() => cutOff.length > 0);
  assert.match(String(cutOff[0]?.message), /reached no leader for 5 s: go to another/);
  assert.equal(reports.length, 1);
});

test("beat reporter, a manager that stood still keeps its sessions when the leader answers", async () => {
  const { clock, cutOff, reports, reporter } = open();
  await using _ = reporter;
  await reporter.announce("node1", never);
  clock.jump(60_000);
  await until(() => reports.length === 2);
  assert.equal(cutOff.length, 0);
});

test("beat reporter, who gives up waiting is told why, and is not waited for any more", async () => {
  const { clock, ground, reports, reporter } = open();
  await using _ = reporter;
  ground.answer = () => Promise.reject(new Fault("unavailable", "nobody leads"));
  const controller = new AbortController();
  const announced = reporter.announce("node1", controller.signal);
  controller.abort(new Fault("deadline-exceeded", "too late"));
  await assert.rejects(announced, { message: "too late" });
  ground.sessions = 0;
  clock.advance(250);
  ground.answer = ground.take;
  clock.advance(10_000);
  assert.deepEqual(reports, []);
});

test("beat reporter, a leader does not hear late of a session that was given up", async () => {
  const { ground, reports, reporter } = open();
  await using _ = reporter;
  let refused = 0;
  ground.answer = () => {
    refused += 1;
    return Promise.reject(new Fault("unavailable", "nobody leads"));
  };
  reporter.beat("node1");
  const controller = new AbortController();
  const announced = reporter.announce("node2", controller.signal);
  await until(() => refused > 0);
  controller.abort(new Fault("deadline-exceeded", "too late"));
  await assert.rejects(announced, { message: "too late" });
  ground.answer = ground.take;
  ground.changeLeader();
  await until(() => reports.length === 1);
  assert.deepEqual(reports, [["node1"]]);
});
