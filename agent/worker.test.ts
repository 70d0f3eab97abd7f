/** Real containers: runc, conmon, overlays, cgroups. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
} from "node:fs";
import { writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { LogOptionsSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  Isolation,
  ResourceRequirementsSchema,
  ResourcesSchema,
  TaskState,
  TaskStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import { durationFromMs } from "#proto/time.ts";
import { untilSeen } from "#proto/testing/until.ts";
import { isConmonAlive, isContainerAlive } from "./container/supervised-process.ts";
import { always, TestNode } from "./task/testing/test-node.ts";

const timeout = 30_000;

/** Ends at once when it is told to. */
const server = { args: ["sh", "-c", "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done"] };

async function linesOf(node: TestNode, taskId: string): Promise<string[]> {
  const lines: string[] = [];
  const { signal } = new AbortController();
  for await (const messages of node.worker.logs(taskId, undefined, signal)) {
    for (const { data } of messages) lines.push(Buffer.from(data).toString());
  }
  return lines;
}

test("worker, runs a command to its end and keeps its output and exit code", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const good = node.task({ args: ["sh", "-c", "echo one; hostname; echo two >&2"], hostname: "h" });
  const bad = node.task({ args: ["sh", "-c", "exit 3"] });
  const missing = node.task({ args: ["nosuch"] });
  node.worker.assign([good, bad, missing]);
  const completed = await node.untilState(good.id, TaskState.COMPLETE);
  assert.equal(completed.container?.exitCode, 0);
  assert.deepEqual((await linesOf(node, good.id)).toSorted(), ["h", "one", "two"]);
  const failed = await node.untilState(bad.id, TaskState.FAILED);
  assert.equal(failed.container?.exitCode, 3);
  assert.equal(failed.err, "exit code 3");
  const absent = await node.untilState(missing.id, TaskState.FAILED);
  assert.equal(absent.err, 'exec: "nosuch": executable file not found in $PATH');
  assert.equal(absent.container?.exitCode, 127);
});

test("worker, has a task ask its network's nameserver, and that one know the task's own", {
  timeout,
}, async () => {
  await using node = new TestNode();
  node.nameserver = "10.0.1.1";
  await node.open();
  const dnsConfig = { nameservers: ["192.0.2.53"], search: ["a.test"] };
  const task = node.task({ args: ["cat", "/etc/resolv.conf"], dnsConfig });
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.COMPLETE);
  const wanted = ["nameserver 10.0.1.1", "search a.test", "options ndots:0"];
  assert.deepEqual(await linesOf(node, task.id), wanted);
  assert.deepEqual(node.ownNameservers.get(task.id), ["192.0.2.53"]);
});

test("worker, shuts its folder off from the host's other users, not from those in containers", {
  timeout,
}, async () => {
  await using node = new TestNode();
  chmodSync(node.root, 0o755);
  chmodSync(join(node.root, "agent"), 0o711);
  await node.open();
  const script = "id -u; cat /etc/hosts >/tmp/copy && echo read; sleep 1000";
  const task = node.task({ args: ["sh", "-c", script], user: "65534:65534", stopSignal: "KILL" });
  chmodSync(join(node.image.layers[0] ?? "", "tmp"), 0o1777);
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  await untilLine(node, task.id, "read");
  assert.deepEqual(await linesOf(node, task.id), ["65534", "read"]);
  const folder = join(node.root, "agent", "tasks", task.id);
  const nobody = { uid: 65534, gid: 65534 };
  const reach = (path: string) => spawnSync("/bin/ls", ["-d", path], nobody).status === 0;
  assert.ok(reach(node.root));
  assert.ok(!reach(join(folder, "1", "upper", ".")));
  assert.ok(!reach(join(node.image.layers[0] ?? "", "bin", "busybox")));
  for (const name of ["task.bin", "state.json", "1/config.json"]) {
    assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
  }
});

test("worker, refuses what it cannot do yet", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({ isolation: Isolation.PROCESS });
  node.worker.assign([task]);
  const { err } = await node.untilState(task.id, TaskState.REJECTED);
  assert.equal(err, "an isolation (Windows) is not supported yet: remove it from the service");
});

test("worker, keeps a task at READY until it shall run", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task(server);
  node.worker.assign([create(TaskSchema, { ...task, desiredState: TaskState.READY })]);
  await node.untilState(task.id, TaskState.READY);
  assert.equal(node.worker.statuses().get(task.id)?.state, TaskState.READY);
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  node.worker.assign([create(TaskSchema, { ...task, desiredState: TaskState.SHUTDOWN })]);
  await node.untilState(task.id, TaskState.SHUTDOWN);
});

test("worker, brings a killed container back on a fresh file system", { timeout }, async (t) => {
  await using node = new TestNode();
  await node.open();
  const script = "ls /tmp; touch /tmp/left-over; echo up; exec sleep 1000";
  const task = node.task({ args: ["sh", "-c", script], stopSignal: "SIGKILL" }, always);
  node.worker.assign([task]);
  const first = await node.untilState(task.id, TaskState.RUNNING, 1);
  const killedAt = systemClock.monotonic();
  process.kill(first.container?.pid ?? 0, "SIGKILL");
  const second = await node.untilState(task.id, TaskState.RUNNING, 2);
  t.diagnostic(`back after ${Math.round(systemClock.monotonic() - killedAt)} ms`);
  assert.notEqual(second.container?.pid, first.container?.pid);
  assert.deepEqual(
    second.attempts.map(({ number, exitCode, reason }) => [number, exitCode, reason]),
    [[1, 137, "killed by SIGKILL (9)"]],
  );
  assert.ok(!(await linesOf(node, task.id)).includes("left-over"));
});

test("worker, kills what ignores the stop signal when its grace is over", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const deaf = { args: ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"] };
  const task = node.task({ ...deaf, stopGracePeriod: durationFromMs(300) });
  const polite = node.task(server);
  node.worker.assign([task, polite]);
  await Promise.all([task, polite].map(({ id }) => node.untilState(id, TaskState.RUNNING)));
  await Promise.all([task, polite].map(({ id }) => untilLine(node, id, "up")));
  const stopped = [task, polite].map((one) =>
    create(TaskSchema, { ...one, desiredState: TaskState.SHUTDOWN }),
  );
  node.worker.assign(stopped);
  const killed = await node.untilState(task.id, TaskState.SHUTDOWN);
  assert.equal(killed.attempts.at(-1)?.reason, "killed by SIGKILL (9)");
  const ended = await node.untilState(polite.id, TaskState.SHUTDOWN);
  assert.equal(ended.attempts.at(-1)?.reason, "exit code 0");
});

function withStopSignal({ image }: TestNode, stopSignal: string) {
  return { ...image, config: { ...image.config, stopSignal } };
}

test("worker, refuses an image whose stop signal does not exist", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  node.image = withStopSignal(node, "SIGFOO");
  const overruled = node.task({ stopSignal: "KILL" });
  const task = node.task({});
  node.worker.assign([task, overruled]);
  const { err } = await node.untilState(task.id, TaskState.REJECTED);
  assert.equal(
    err,
    'image "busybox" has the unknown StopSignal "SIGFOO": set the service\'s stop_signal',
  );
  await node.untilState(overruled.id, TaskState.RUNNING);
});

test("worker, kills after the grace also what it cannot signal", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({ stopGracePeriod: durationFromMs(100) });
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  await node.close();
  node.image = withStopSignal(node, "SIGFOO");
  await node.open();
  node.worker.assign([create(TaskSchema, { ...task, desiredState: TaskState.SHUTDOWN })]);
  const { attempts } = await node.untilState(task.id, TaskState.SHUTDOWN);
  assert.equal(attempts.at(-1)?.reason, "killed by SIGKILL (9)");
});

async function untilLine(node: TestNode, taskId: string, wanted: string): Promise<void> {
  const options = create(LogOptionsSchema, { follow: true });
  const { signal } = new AbortController();
  for await (const messages of node.worker.logs(taskId, options, signal)) {
    if (messages.some(({ data }) => Buffer.from(data).toString() === wanted)) return;
  }
  assert.fail(`the container ended without saying "${wanted}"`);
}

test("worker, adopts running containers, which do not notice", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done";
  const task = node.task({ args: ["sh", "-c", script], stopSignal: "KILL" });
  node.worker.assign([task]);
  const before = await node.untilState(task.id, TaskState.RUNNING);
  await untilLine(node, task.id, "5");
  await node.close();
  await node.open();
  assert.equal(node.worker.statuses().get(task.id)?.container?.pid, before.container?.pid);
  await untilLine(node, task.id, "40");
  const lines = await linesOf(node, task.id);
  assert.deepEqual(
    lines.slice(0, 40),
    Array.from({ length: 40 }, (_, index) => `${index + 1}`),
  );
});

test("worker, knows the exit code of a container that ended while it was away", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const waits = ["sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.02; done"];
  const once = node.task({ args: waits });
  const again = node.task({ args: waits }, always);
  node.worker.assign([once, again]);
  const running = await Promise.all(
    [once, again].map(({ id }) => node.untilState(id, TaskState.RUNNING)),
  );
  await Promise.all([once, again].map(({ id }) => untilLine(node, id, "up")));
  await node.close();
  for (const { container } of running) process.kill(container?.pid ?? 0, "SIGTERM");
  const exits = join(node.root, "run", "exits");
  await untilSeen(() => readdirSync(exits).length >= 2);
  await node.open();
  const failed = await node.untilState(once.id, TaskState.FAILED);
  assert.equal(failed.container?.exitCode, 7);
  const back = await node.untilState(again.id, TaskState.RUNNING, 2);
  assert.equal(back.attempts[0]?.exitCode, 7);
});

test("worker, restarts a container whose supervisor was killed", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({ stopSignal: "KILL" }, always);
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING, 1);
  const conmon = join(node.root, "agent", "tasks", task.id, "1", "conmon.pid");
  await node.close();
  const pid = Number(readFileSync(conmon, "utf8"));
  process.kill(pid, "SIGKILL");
  await untilSeen(() => !isConmonAlive(pid, task.id));
  await node.open();
  const back = await node.untilState(task.id, TaskState.RUNNING, 2);
  assert.match(back.attempts[0]?.reason ?? "", /conmon, was killed/);
});

test("worker, waits for the supervisor's word on a container that has just ended", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({ stopSignal: "KILL" });
  node.worker.assign([task]);
  const { container } = await node.untilState(task.id, TaskState.RUNNING);
  const conmon = Number(
    readFileSync(join(node.root, "agent", "tasks", task.id, "1", "conmon.pid"), "utf8"),
  );
  await node.close();
  process.kill(conmon, "SIGSTOP");
  const pid = container?.pid ?? 0;
  process.kill(pid, "SIGKILL");
  await untilSeen(() => !isContainerAlive(pid, task.id));
  await node.open();
  assert.equal(node.worker.statuses().get(task.id)?.state, TaskState.RUNNING);
  process.kill(conmon, "SIGCONT");
  const { attempts } = await node.untilState(task.id, TaskState.FAILED);
  assert.equal(attempts[0]?.exitCode, 137);
});

test("worker, keeps the log of a task that ended until the task is taken away", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({ args: ["sh", "-c", "echo last words; exit 1"] });
  const folder = join(node.root, "agent", "tasks", task.id);
  node.worker.assign([task]);
  const failed = await node.untilState(task.id, TaskState.FAILED);
  await node.close();
  await node.open();
  node.worker.assign([{ ...task, desiredState: TaskState.SHUTDOWN }]);
  assert.deepEqual(await linesOf(node, task.id), ["last words"]);
  assert.deepEqual(node.worker.statuses().get(task.id), failed);
  assert.equal(existsSync(`/run/netns/${task.id}`), false);
  await node.removeAll();
  assert.equal(existsSync(folder), false);
});

test("worker, does not run again what the managers know to have ended", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({});
  const status = create(TaskStatusSchema, { state: TaskState.COMPLETE, attempt: 1 });
  node.worker.assign([{ ...task, status }]);
  const { attempt } = await node.untilState(task.id, TaskState.SHUTDOWN);
  assert.equal(attempt, 0);
});

test("worker, clears away what belongs to nobody", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({});
  node.worker.assign([task]);
  const { container } = await node.untilState(task.id, TaskState.RUNNING);
  await node.close();
  const folder = join(node.root, "agent", "tasks", task.id);
  await writeFile(join(folder, "state.json"), "torn");
  await node.open();
  assert.equal(node.worker.statuses().size, 0);
  assert.equal(existsSync(folder), false);
  assert.equal(existsSync(`/proc/${container?.pid}`), false);
  assert.equal(existsSync(`/run/netns/${task.id}`), false);
});

test("worker, does not forget a container that cannot be removed", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({ stopSignal: "KILL" });
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  node.cannotRemove = true;
  node.worker.assign([]);
  const stuck = await node.until(task.id, ({ message }) => message.includes("again"));
  assert.equal(stuck.message, "trying again: Cannot remove the container: device busy");
  assert.equal(stuck.state, TaskState.RUNNING);
  assert.ok(node.worker.statuses().has(task.id));
  assert.ok(existsSync(`/run/netns/${task.id}`));
  node.cannotRemove = false;
  await node.worker.idle();
  assert.equal(node.worker.statuses().size, 0);
  assert.equal(existsSync(join(node.root, "run", "runc", task.id)), false);
  assert.equal(existsSync(`/run/netns/${task.id}`), false);
});

test("worker, stopped between two attempts, gives back its network before it has ended", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const gate = Promise.withResolvers<void>();
  const task = node.task({ stopSignal: "KILL" }, always);
  node.worker.assign([task]);
  const { container } = await node.untilState(task.id, TaskState.RUNNING);
  node.removeGate = gate.promise;
  process.kill(container?.pid ?? 0, "SIGKILL");
  await node.untilState(task.id, TaskState.READY, 2);
  node.worker.assign([{ ...task, desiredState: TaskState.SHUTDOWN }]);
  gate.resolve();
  await node.untilState(task.id, TaskState.SHUTDOWN);
  assert.equal(existsSync(`/run/netns/${task.id}`), false);
});

test("worker, ends containers while all that are starting hang", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({ stopSignal: "KILL" });
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  node.hangsStarts = true;
  const hanging = Array.from({ length: availableParallelism() + 4 }, () =>
    node.task({ stopSignal: "KILL" }),
  );
  node.worker.assign([task, ...hanging]);
  await Promise.all(hanging.map(({ id }) => node.untilState(id, TaskState.STARTING)));
  node.worker.assign([{ ...task, desiredState: TaskState.SHUTDOWN }, ...hanging]);
  await node.untilState(task.id, TaskState.SHUTDOWN);
});

test("worker, begins a task anew only when nothing is left of what it did not know", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({ stopSignal: "KILL" });
  node.worker.assign([task]);
  const { container } = await node.untilState(task.id, TaskState.RUNNING);
  await node.close();
  await writeFile(join(node.root, "agent", "tasks", task.id, "state.json"), "torn");
  node.cannotRemove = true;
  await node.open();
  node.reports.length = 0;
  node.worker.assign([task]);
  assert.equal(node.worker.statuses().size, 0);
  node.cannotRemove = false;
  const again = await node.untilState(task.id, TaskState.RUNNING);
  assert.notEqual(again.container?.pid, container?.pid);
  assert.equal(existsSync(`/proc/${container?.pid}`), false);
});

test("worker, opens and goes on although one task's files cannot be read", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const good = node.task({ stopSignal: "KILL" });
  const bad = node.task({ stopSignal: "KILL" });
  node.worker.assign([good, bad]);
  const before = await node.untilState(good.id, TaskState.RUNNING);
  await node.untilState(bad.id, TaskState.RUNNING);
  await node.close();
  const file = join(node.root, "agent", "tasks", bad.id, "task.bin");
  rmSync(file);
  mkdirSync(file);
  await node.open();
  assert.equal(node.worker.statuses().get(good.id)?.container?.pid, before.container?.pid);
  assert.deepEqual([...node.worker.statuses().keys()], [good.id]);
});

test("worker, hears of an exit although that of another container cannot be read", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task(server);
  const odd = node.task({ stopSignal: "KILL" });
  node.worker.assign([task, odd]);
  await Promise.all([task, odd].map(({ id }) => node.untilState(id, TaskState.RUNNING)));
  await untilLine(node, task.id, "up");
  const exit = join(node.root, "run", "exits", odd.id);
  mkdirSync(exit);
  node.worker.assign([{ ...task, desiredState: TaskState.SHUTDOWN }, odd]);
  await node.untilState(task.id, TaskState.SHUTDOWN);
  rmdirSync(exit);
});

test("worker, says when the kernel killed for want of memory", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const limits = create(ResourcesSchema, { memoryBytes: 16_777_216n });
  const resources = create(ResourceRequirementsSchema, { limits });
  const task = node.task({ args: ["sh", "-c", "tail /dev/zero"] });
  assert.ok(task.spec !== undefined);
  node.worker.assign([{ ...task, spec: { ...task.spec, resources } }]);
  const { container, err } = await node.untilState(task.id, TaskState.FAILED);
  assert.equal(container?.oomKilled, true);
  assert.equal(err, "out of memory: the container's limit is 16 MiB");
});

test("worker, starts 20 containers at once and leaves nothing of them", { timeout }, async (t) => {
  await using node = new TestNode();
  await node.open();
  const tasks = Array.from({ length: 20 }, () => node.task({ stopSignal: "KILL" }));
  const startedAt = systemClock.monotonic();
  node.worker.assign(tasks);
  const running = await Promise.all(tasks.map(({ id }) => node.untilState(id, TaskState.RUNNING)));
  t.diagnostic(`20 started in ${Math.round(systemClock.monotonic() - startedAt)} ms`);
  const removedAt = systemClock.monotonic();
  await node.removeAll();
  t.diagnostic(`20 removed in ${Math.round(systemClock.monotonic() - removedAt)} ms`);
  for (const { container } of running) assert.equal(existsSync(`/proc/${container?.pid}`), false);
  assert.equal(readFileSync("/proc/mounts", "utf8").includes(node.root), false);
  assert.deepEqual(readdirSync(join(node.root, "agent", "tasks")), []);
  assert.deepEqual(readdirSync(join(node.root, "run", "runc")), []);
  assert.deepEqual(readdirSync(join(node.root, "run", "exits")), []);
  for (const path of node.cgroups()) {
    const folders = readdirSync(path, { withFileTypes: true }).filter((entry) =>
      entry.isDirectory(),
    );
    assert.deepEqual(folders, []);
  }
});
