/** Health checks of real containers, by real runc. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Task, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { Health, type HealthConfigSchema, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { untilSeen } from "#proto/testing/until.ts";
import { readCgroupPaths } from "../container/cgroup.ts";
import { always, TestNode } from "../task/testing/test-node.ts";

const timeout = 30_000;
const soon = durationFromMs(30);

function checked(
  node: TestNode,
  healthcheck: MessageInitShape<typeof HealthConfigSchema>,
  container: { readonly user?: string; readonly env?: string[] } = {},
): Task {
  const timing = { interval: soon, retries: 2, timeout: durationFromMs(5_000) };
  return node.task(
    { stopSignal: "KILL", healthcheck: { ...timing, ...healthcheck }, ...container },
    always,
  );
}

test("health, a task is STARTING until its check succeeds, as its own user and with its environment", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const script = 'test "$(id -u)$COLOUR" = 65534blue && test -e /ready';
  const task = checked(
    node,
    { test: ["CMD-SHELL", script], startPeriod: durationFromMs(20_000), startInterval: soon },
    { user: "65534", env: ["COLOUR=blue"] },
  );
  node.worker.assign([task]);
  const starting = await node.until(
    task.id,
    ({ container }) => container?.health === Health.STARTING,
  );
  assert.equal(starting.state, TaskState.STARTING);
  assert.equal(starting.message, "waiting for the health check");
  await untilSeen(() => probesOf(node, task).length >= 2);
  assert.equal(node.worker.statuses().get(task.id)?.state, TaskState.STARTING);
  const root = `/proc/${starting.container?.pid}/root`;
  writeFileSync(`${root}/ready`, "");
  const running = await node.untilState(task.id, TaskState.RUNNING, 1);
  assert.equal(running.container?.health, Health.HEALTHY);
});

function probesOf(node: TestNode, task: Task): readonly { exitCode: number; output: string }[] {
  const path = join(node.root, "agent", "tasks", task.id, "state.json");
  return JSON.parse(readFileSync(path, "utf8")).health?.probes ?? [];
}

test("health, an unhealthy container counts as failed, with what the check said last", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const task = checked(node, { test: ["CMD-SHELL", "echo the pool is empty; exit 3"] });
  node.worker.assign([task]);
  const { attempts, err } = await node.until(task.id, ({ attempts }) => attempts.length > 0);
  assert.equal(err, "unhealthy: the pool is empty");
  assert.equal(attempts[0]?.reason, "unhealthy: the pool is empty");
  await node.until(task.id, ({ attempt, state }) => attempt === 2 && state === TaskState.STARTING);
});

test("health, one that was healthy is reported as unhealthy before it is stopped", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const task = checked(node, { test: ["CMD", "test", "!", "-e", "/tmp/ill"] });
  node.worker.assign([task]);
  const { container } = await node.untilState(task.id, TaskState.RUNNING, 1);
  writeFileSync(`/proc/${container?.pid}/root/tmp/ill`, "");
  const ill = await node.until(task.id, (status) => status.container?.health === Health.UNHEALTHY);
  assert.equal(ill.state, TaskState.RUNNING);
  assert.equal(ill.container?.pid, container?.pid);
  const again = await node.untilState(task.id, TaskState.RUNNING, 2);
  assert.equal(again.container?.health, Health.HEALTHY);
  assert.match(again.attempts[0]?.reason ?? "", /^unhealthy: the check failed 2 times/);
});

test("health, a check that hangs is killed with all that it started", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const script = "(sleep 500 &) ; setsid sleep 501 & echo begun; sleep 502";
  const task = checked(node, {
    test: ["CMD-SHELL", script],
    timeout: durationFromMs(400),
    retries: 50,
  });
  node.worker.assign([task]);
  await node.until(task.id, ({ container }) => container?.health === Health.STARTING);
  await untilSeen(() => probesOf(node, task).length > 0);
  const [first] = probesOf(node, task);
  assert.equal(first?.exitCode, -1);
  assert.equal(first?.output, "begun\nthe check did not end within 0.4 s");
  await node.close();
  const paths = readCgroupPaths(join(node.root, "run", "runc"), task.id);
  const group = join(paths.get("freezer") ?? paths.get("") ?? "", "probe", "cgroup.procs");
  await untilSeen(() => readFileSync(group, "utf8") === "");
});

test("health, keeps the end of what a check prints", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exit 1";
  const task = checked(node, { test: ["CMD-SHELL", script], retries: 1 });
  node.worker.assign([task]);
  const { attempts } = await node.until(task.id, (status) => status.attempts.length > 0);
  assert.match(attempts[0]?.reason ?? "", /^unhealthy: .* line 2999$/);
  await untilSeen(() => probesOf(node, task).length > 0);
  const output = probesOf(node, task).at(-1)?.output ?? "";
  assert.ok(output.endsWith("line 2999"));
  assert.ok(output.length > 4_000 && output.length <= 4_096);
});

test("health, goes on where it was when the agent comes back", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const task = checked(node, { test: ["CMD", "true"], interval: durationFromMs(200), retries: 1 });
  node.worker.assign([task]);
  const before = await node.untilState(task.id, TaskState.RUNNING, 1);
  await node.close();
  const probes = probesOf(node, task).length;
  node.reports.length = 0;
  await node.open();
  const adopted = node.worker.statuses().get(task.id);
  assert.equal(adopted?.state, TaskState.RUNNING);
  assert.equal(adopted?.container?.health, Health.HEALTHY);
  assert.equal(adopted?.container?.pid, before.container?.pid);
  await untilSeen(() => probesOf(node, task).length > Math.min(probes, 4));
  assert.deepEqual(node.reports, []);
});

test("health, the image's check counts until the service turns it off", { timeout }, async () => {
  await using node = new TestNode();
  const times = { intervalMs: 30, timeoutMs: 0, retries: 1, startPeriodMs: 0, startIntervalMs: 0 };
  const healthcheck = { test: ["CMD-SHELL", "echo from the image; false"], ...times };
  node.image = { ...node.image, config: { ...node.image.config, healthcheck } };
  await node.open();
  const own = node.task({ stopSignal: "KILL" });
  const none = node.task({ stopSignal: "KILL", healthcheck: { test: ["NONE"] } });
  node.worker.assign([own, none]);
  const failed = await node.untilState(own.id, TaskState.FAILED);
  assert.equal(failed.err, "unhealthy: from the image");
  const running = await node.untilState(none.id, TaskState.RUNNING);
  assert.equal(running.container?.health, Health.NONE);
});

test("health, a task that is stopped while it is checked ends, and its check with it", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const task = checked(node, { test: ["CMD", "sleep", "300"], timeout: durationFromMs(60_000) });
  node.worker.assign([task]);
  await node.until(task.id, ({ container }) => container?.health === Health.STARTING);
  const file = join(node.root, "agent", "tasks", task.id, "1", "probe.json");
  await untilSeen(() => existsSync(file));
  node.worker.assign([create(TaskSchema, { ...task, desiredState: TaskState.SHUTDOWN })]);
  await node.untilState(task.id, TaskState.SHUTDOWN);
  assert.deepEqual(readdirSync(join(node.root, "run", "runc")), []);
});
