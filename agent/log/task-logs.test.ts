/** Real containers: runc and conmon. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { LogOptionsSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { type Task, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  DriverSchema,
  RestartCondition,
  RestartPolicySchema,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { silentLog, systemClock } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { until } from "#proto/testing/until.ts";
import { durationFromMs, timestampFromMs } from "#proto/time.ts";
import { systemExec } from "../exec.ts";
import { TestNode } from "../task/testing/test-node.ts";
import { TaskLogs } from "./task-logs.ts";

const timeout = 30_000;

async function textsOf(
  node: TestNode,
  task: Task,
  options: MessageInitShape<typeof LogOptionsSchema> = {},
): Promise<string[]> {
  const { signal } = new AbortController();
  const messages = node.worker.logs(task.id, create(LogOptionsSchema, options), signal);
  const lines = (await Array.fromAsync(messages)).flat();
  return lines.map(({ data }) => Buffer.from(data).toString());
}

function withDriver(task: Task, name: string, options: Record<string, string> = {}): Task {
  assert.ok(task.spec);
  task.spec.logDriver = create(DriverSchema, { name, options });
  return task;
}

test("task logs, attempts and their end: all lines in their order, also when the task is over", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const twice = create(RestartPolicySchema, {
    condition: RestartCondition.ANY,
    delay: durationFromMs(0),
    maxAttempts: 2n,
  });
  const task = node.task({ args: ["sh", "-c", "echo begin; printf end"] }, twice);
  node.worker.assign([task]);
  await node.until(task.id, ({ state }) => state > TaskState.RUNNING);
  // An attempt's last line has no end: the next attempt's first one does not go on with it.
  const attempt = ["begin", "end"];
  assert.deepEqual(await textsOf(node, task), [...attempt, ...attempt, ...attempt]);
  assert.deepEqual(await textsOf(node, task, { follow: true, tail: 0n }), []);
});

test("task logs, json-file: a file in Docker's format, on behind a restart of the agent", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done";
  const container = { args: ["sh", "-c", script], stopSignal: "KILL", env: ["STAGE=test"] };
  const task = withDriver(node.task(container), "json-file", { env: "STAGE" });
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  const path = join(node.root, "agent", "tasks", task.id, `${task.id}-json.log`);
  const objects = () =>
    (existsSync(path) ? readFileSync(path, "utf8") : "")
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  await until(() => objects().length > 10);
  await node.close();
  const before = objects().length;
  await node.open();
  node.worker.assign([task]);
  await until(() => objects().length > before + 50);
  const seen = objects();
  assert.deepEqual(
    seen.map(({ log }) => log),
    seen.map((_, index) => `${index + 1}\n`),
  );
  assert.deepEqual(seen[0].attrs, { STAGE: "test" });
});

test("task logs, none: nothing is kept, and who asks is told", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const task = withDriver(node.task({ args: ["echo", "one"] }), "none");
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.COMPLETE);
  await assert.rejects(textsOf(node, task), {
    code: "failed-precondition",
    message: 'log driver "none" keeps nothing that could be read',
  });
  assert.ok(!existsSync(join(node.root, "agent", "tasks", task.id, "log")));
});

test("task logs, a driver that there is not: the task is rejected with its name", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const task = withDriver(node.task({ args: ["echo", "one"] }), "gelf");
  node.worker.assign([task]);
  const { err } = await node.untilState(task.id, TaskState.REJECTED);
  assert.match(err, /there is no log driver "gelf": use local/);
});

test("task logs, followed until a time: ends when it has come", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({ args: ["sh", "-c", "echo one; sleep 1000"], stopSignal: "KILL" });
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  const until = timestampFromMs(systemClock.now() + 1500);
  assert.deepEqual(await textsOf(node, task, { follow: true, until }), ["one"]);
});

test("task logs, a task that is being removed: its log is not forwarded once more", {
  timeout,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "swarm-task-logs-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const spec = { logDriver: { name: "json-file" } };
  const task = create(TaskSchema, { id: "gone", spec });
  writeFileSync(join(folder, "log"), "2026-01-31T12:00:00.1+00:00 stdout F one\n");
  const clock = new FakeClock();
  const list = () => [{ task, folder, ended: AbortSignal.abort() }];
  const logs = new TaskLogs(list, { exec: systemExec, clock, log: silentLog });
  clock.advance(1000);
  const path = join(folder, "gone-json.log");
  await until(() => existsSync(path));
  await logs.forget(task);
  for (const name of [path, join(folder, "log.forwarded")]) rmSync(name);
  clock.advance(1000);
  await logs[Symbol.asyncDispose]();
  assert.ok(!existsSync(path));
});
