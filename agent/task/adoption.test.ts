/** What comes back after the agent, its host or its disk was away. Real runc. */
import assert from "node:assert/strict";
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { untilSeen } from "#proto/testing/until.ts";
import { isConmonAlive, isContainerAlive } from "../container/supervised-process.ts";
import { systemExec } from "../exec.ts";
import { listLogFiles } from "../log/log-files.ts";
import { always, TestNode } from "./testing/test-node.ts";

const timeout = 60_000;

function folderOf(node: TestNode, task: Task): string {
  return join(node.root, "agent", "tasks", task.id);
}

function pidIn(node: TestNode, task: Task, file: string): number {
  return Number(readFileSync(join(folderOf(node, task), file), "utf8"));
}

/** Of all attempts, in whatever files. */
function logOf(node: TestNode, task: Task): string {
  const files = listLogFiles(folderOf(node, task));
  return files.map(({ path }) => readFileSync(path, "utf8")).join("");
}

/** All that a reboot takes: the processes, what is in /run, the cgroups. The disk stays. */
async function reboot(node: TestNode, tasks: readonly Task[]): Promise<void> {
  await node.close();
  for (const task of tasks) {
    const conmon = pidIn(node, task, "1/conmon.pid");
    const pid = pidIn(node, task, "1/pid");
    process.kill(conmon, "SIGKILL");
    process.kill(pid, "SIGKILL");
    await untilSeen(() => !isConmonAlive(conmon, task.id) && !isContainerAlive(pid, task.id));
  }
  await rm(join(node.root, "run"), { recursive: true });
  for (const parent of node.cgroups()) {
    for (const { id } of tasks) {
      await untilSeen(() => removed(join(parent, id)));
    }
  }
}

function removed(folder: string): boolean {
  try {
    rmdirSync(folder);
  } catch {
    return !existsSync(folder);
  }
  return true;
}

test("reboot, the tasks come back without their managers, on a fresh file system", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const script = "ls /tmp; touch /tmp/left-over; echo up; exec sleep 1000";
  const tasks = [1, 2].map(() =>
    node.task({ args: ["sh", "-c", script], stopSignal: "KILL" }, always),
  );
  node.worker.assign(tasks);
  for (const { id } of tasks) await node.untilState(id, TaskState.RUNNING, 1);
  for (const task of tasks) {
    await untilSeen(() => logOf(node, task).endsWith(" up\n"));
  }
  await reboot(node, tasks);
  await node.open();
  for (const task of tasks) {
    const back = await node.untilState(task.id, TaskState.RUNNING, 2);
    assert.match(back.attempts[0]?.reason ?? "", /its host was restarted/);
    await untilSeen(() => logOf(node, task).match(/ up$/gm)?.length === 2);
    assert.doesNotMatch(logOf(node, task), /left-over/);
    await untilSeen(() => !readdirSync(folderOf(node, task)).includes("1"));
  }
});

test("reboot, what the disk lost half of is cleared away and begins anew when it is assigned", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const tasks = ["task.bin", "state.json"].map((file) => ({
    file,
    task: node.task({ stopSignal: "KILL" }, always),
  }));
  const all = tasks.map(({ task }) => task);
  node.worker.assign(all);
  for (const { id } of all) await node.untilState(id, TaskState.RUNNING, 1);
  await reboot(node, all);
  for (const { file, task } of tasks) {
    truncateSync(join(folderOf(node, task), file), 0);
    writeFileSync(join(folderOf(node, task), `${file}.new`), "half");
  }
  node.reports.length = 0;
  await node.open();
  assert.equal(node.worker.statuses().size, 0);
  assert.deepEqual(readdirSync(join(node.root, "agent", "tasks")), []);
  node.worker.assign(all);
  for (const { id } of all) await node.untilState(id, TaskState.RUNNING, 1);
});

test("adoption, restarts count on where they were", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({ args: ["sh", "-c", "exit 3"] }, always);
  node.worker.assign([task]);
  await node.until(task.id, ({ attempt }) => attempt === 4);
  await node.close();
  const stored = JSON.parse(readFileSync(join(folderOf(node, task), "state.json"), "utf8"));
  node.reports.length = 0;
  await node.open();
  const next = await node.until(
    task.id,
    ({ attempt, attempts }) => attempt > stored.attempt && attempts.length > 3,
  );
  assert.deepEqual(
    next.attempts.map(({ exitCode }) => exitCode),
    next.attempts.map(() => 3),
  );
  const now = JSON.parse(readFileSync(join(folderOf(node, task), "state.json"), "utf8"));
  assert.ok(now.restarts.lastDelayMs > stored.restarts.lastDelayMs);
});

test("start, a full disk: the task says so, and runs when there is room", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({ stopSignal: "KILL" }, always);
  node.worker.assign([]);
  const tasks = join(node.root, "agent", "tasks");
  await systemExec.run("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", tasks]);
  try {
    const filler = join(tasks, "filler");
    await systemExec.run("sh", ["-c", 'cat /dev/zero >"$1" || true', "sh", filler]);
    node.worker.assign([task]);
    const { err } = await node.until(task.id, (status) => status.err !== "");
    assert.match(err, /the disk is full/);
    await rm(filler);
    node.worker.assign([]);
    await node.worker.idle();
    node.reports.length = 0;
    const again = node.task({ stopSignal: "KILL" }, always);
    node.worker.assign([again]);
    await node.untilState(again.id, TaskState.RUNNING);
    await node.removeAll();
    assert.deepEqual(readdirSync(tasks), []);
  } finally {
    await systemExec.run("umount", [tasks]);
  }
});

test("restart, a full disk between attempts: the next one comes when there is room", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const tasks = join(node.root, "agent", "tasks");
  await systemExec.run("mount", ["-t", "tmpfs", "-o", "size=512k", "tmpfs", tasks]);
  try {
    const task = node.task({ stopSignal: "KILL" }, always);
    node.worker.assign([task]);
    const { container } = await node.untilState(task.id, TaskState.RUNNING, 1);
    const filler = join(tasks, "filler");
    await systemExec.run("sh", ["-c", 'cat /dev/zero >"$1" || true', "sh", filler]);
    process.kill(container?.pid ?? 0, "SIGKILL");
    await node.until(task.id, ({ attempts }) =>
      /the disk is full/.test(attempts.at(-1)?.reason ?? ""),
    );
    await rm(filler);
    await node.until(task.id, ({ attempt, state }) => attempt > 2 && state === TaskState.RUNNING);
    await node.removeAll();
    assert.deepEqual(readdirSync(tasks), []);
  } finally {
    await systemExec.run("umount", [tasks]);
  }
});

test("exits, a storm of them: every one counts, and nothing of it is left", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const tasks = Array.from({ length: 15 }, () => node.task({ args: ["true"] }, always));
  node.worker.assign(tasks);
  for (const { id } of tasks) {
    const { attempts } = await node.until(id, ({ attempt }) => attempt === 4);
    assert.deepEqual(
      attempts.map(({ number, exitCode }) => [number, exitCode]),
      [
        [1, 0],
        [2, 0],
        [3, 0],
      ],
    );
  }
  await node.removeAll();
  assert.deepEqual(readdirSync(join(node.root, "run", "exits")), []);
  assert.deepEqual(readdirSync(join(node.root, "run", "runc")), []);
});
