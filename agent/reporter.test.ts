import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { TaskState, type TaskStatus, TaskStatusSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { until } from "#proto/testing/until.ts";
import { Reporter, type SendStatuses } from "./reporter.ts";

function statusIn(state: TaskState): TaskStatus {
  return create(TaskStatusSchema, { state });
}

/** A manager that answers each call when the test says so. */
class TestManager {
  readonly calls: {
    readonly ids: string[];
    readonly states: TaskState[];
    readonly answer: PromiseWithResolvers<void>;
  }[] = [];

  readonly send: SendStatuses = async (updates) => {
    const answer = Promise.withResolvers<void>();
    const ids = updates.map(({ taskId }) => taskId);
    this.calls.push({ ids, states: updates.map(({ status }) => status.state), answer });
    await answer.promise;
  };
}

function runReporter(reporter: Reporter, manager: TestManager) {
  const stop = new AbortController();
  const ended = reporter.run(manager.send, stop.signal).catch((thrown: unknown) => thrown);
  return { stop, ended };
}

test("reporter, sends what waits in one call, one call at a time, the newest of each task", async () => {
  const reporter = new Reporter();
  const manager = new TestManager();
  reporter.report("a", statusIn(TaskState.ACCEPTED));
  reporter.report("b", statusIn(TaskState.ACCEPTED));
  reporter.report("a", statusIn(TaskState.PREPARING));
  const { stop, ended } = runReporter(reporter, manager);
  await until(() => manager.calls.length === 1);
  assert.deepEqual(manager.calls[0]?.ids, ["a", "b"]);
  assert.deepEqual(manager.calls[0]?.states, [TaskState.PREPARING, TaskState.ACCEPTED]);
  reporter.report("a", statusIn(TaskState.STARTING));
  reporter.report("a", statusIn(TaskState.RUNNING));
  await turn();
  assert.equal(manager.calls.length, 1, "the first call is not answered");
  manager.calls[0]?.answer.resolve();
  await until(() => manager.calls.length === 2);
  assert.deepEqual(manager.calls[1]?.ids, ["a"], "b is delivered");
  assert.deepEqual(manager.calls[1]?.states, [TaskState.RUNNING]);
  manager.calls[1]?.answer.resolve();
  await turn();
  assert.equal(manager.calls.length, 2, "nothing is left to say");
  stop.abort(new Fault("canceled", "over"));
  assert.equal(Fault.from(await ended).message, "over");
});

test("reporter, what one session did not deliver is delivered by the next", async () => {
  const reporter = new Reporter();
  const [first, second] = [new TestManager(), new TestManager()];
  reporter.report("a", statusIn(TaskState.RUNNING));
  const session = runReporter(reporter, first);
  await until(() => first.calls.length === 1);
  reporter.report("b", statusIn(TaskState.RUNNING));
  first.calls[0]?.answer.reject(new Fault("unavailable", "the manager is gone"));
  assert.equal(Fault.from(await session.ended).code, "unavailable");
  const { stop, ended } = runReporter(reporter, second);
  await until(() => second.calls.length === 1);
  assert.deepEqual(second.calls[0]?.ids, ["a", "b"]);
  second.calls[0]?.answer.resolve();
  stop.abort();
  await ended;
});

test("reporter, very many statuses take several calls", async () => {
  const reporter = new Reporter();
  const manager = new TestManager();
  for (let i = 0; i < 2_500; i++) reporter.report(String(i), statusIn(TaskState.RUNNING));
  const { stop, ended } = runReporter(reporter, manager);
  for (let call = 0; call < 3; call++) {
    await until(() => manager.calls.length === call + 1);
    manager.calls[call]?.answer.resolve();
  }
  await turn();
  assert.deepEqual(
    manager.calls.map(({ ids }) => ids.length),
    [1000, 1000, 500],
  );
  stop.abort();
  await ended;
});

test("reporter, leaves no listener behind and starts nothing for an aborted session", async () => {
  const reporter = new Reporter();
  const manager = new TestManager();
  const { stop, ended } = runReporter(reporter, manager);
  for (let i = 0; i < 20; i++) {
    reporter.report("a", statusIn(TaskState.RUNNING));
    await until(() => manager.calls.length === i + 1);
    manager.calls[i]?.answer.resolve();
    await turn();
  }
  assert.equal(getEventListeners(stop.signal, "abort").length, 1);
  stop.abort();
  await ended;
  assert.equal(getEventListeners(stop.signal, "abort").length, 0);
  await assert.rejects(reporter.run(manager.send, stop.signal), { name: "AbortError" });
});
