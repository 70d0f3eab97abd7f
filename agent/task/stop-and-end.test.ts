/** How containers end: by themselves, by signals, for want of memory, by failing to start. Real runc. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Task, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type NetworkAttachment,
  NetworkAttachmentSchema,
  ResourceRequirementsSchema,
  ResourcesSchema,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import { durationFromMs } from "#proto/time.ts";
import { untilSeen } from "#proto/testing/until.ts";
import { readCgroupPaths } from "../container/cgroup.ts";
import { isContainerAlive } from "../container/supervised-process.ts";
import { always, TestNode } from "./testing/test-node.ts";

const timeout = 40_000;

function shutDown(task: Task): Task {
  return create(TaskSchema, { ...task, desiredState: TaskState.SHUTDOWN });
}

function limited(task: Task, memoryBytes: bigint): Task {
  assert.ok(task.spec !== undefined);
  const limits = create(ResourcesSchema, { memoryBytes });
  const resources = create(ResourceRequirementsSchema, { limits });
  return { ...task, spec: { ...task.spec, resources } };
}

test("end, codes, signals and want of memory are told apart", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const ends = [
    [node.task({ args: ["sh", "-c", "exit 5"] }), 5, "exit code 5"],
    [
      node.task({ args: ["sh", "-c", "sh -c 'kill -SEGV $$'; exit $?"] }),
      139,
      "killed by SIGSEGV (11)",
    ],
    [
      limited(node.task({ args: ["sh", "-c", "tail /dev/zero"] }), 16_777_216n),
      137,
      "out of memory: the container's limit is 16 MiB",
    ],
    [
      limited(node.task({ args: ["sh", "-c", "tail /dev/zero; exit 4"] }), 16_777_216n),
      4,
      "exit code 4 after a process of it ran out of memory: the container's limit is 16 MiB",
    ],
  ] as const;
  node.worker.assign(ends.map(([task]) => task));
  for (const [task, exitCode, reason] of ends) {
    const { container, err } = await node.untilState(task.id, TaskState.FAILED);
    assert.deepEqual([container?.exitCode, err], [exitCode, reason]);
    assert.equal(container?.oomKilled, reason.includes("memory"));
  }
});

test("end, a process that was killed for want of memory long ago does not make a good end bad", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const task = limited(node.task({ args: ["sh", "-c", "tail /dev/zero; exit 0"] }), 16_777_216n);
  node.worker.assign([task]);
  const { attempts } = await node.untilState(task.id, TaskState.COMPLETE);
  assert.equal(attempts[0]?.reason, "exit code 0");
});

test("start, a command that is not there, cannot be run, or a container that cannot be made", {
  timeout,
}, async () => {
  await using node = new TestNode();
  writeFileSync(join(node.image.layers[0] ?? "", "etc", "passwd"), "root:x:0:0::/:/bin/sh\n");
  await node.open();
  const starts = [
    [node.task({ args: ["nosuch"] }), 127, /executable file not found/],
    [node.task({ args: ["/nosuch/at/all"] }), 127, /no such file or directory/],
    [node.task({ args: ["/etc/passwd"] }), 126, /permission denied/],
    [node.task({ args: ["/tmp"] }), 126, /permission denied|is a directory/],
    [node.task({ sysctls: { "net.ipv4.ip_forward": "much" } }), 128, /net.ipv4.ip_forward/],
  ] as const;
  node.worker.assign(starts.map(([task]) => task));
  for (const [task, exitCode, message] of starts) {
    const { container, err } = await node.untilState(task.id, TaskState.FAILED);
    assert.match(err, message);
    assert.equal(container?.exitCode, exitCode, err);
  }
  assert.deepEqual(readdirSync(join(node.root, "run", "runc")), []);
});

/** On a network as far as the agent's stop order goes; test nodes make bare namespaces. */
const attachment: NetworkAttachment = create(NetworkAttachmentSchema, {
  network: { id: "n" },
  addresses: ["10.0.0.2/24"],
});

test("stop, one with a name on a network gets its signal only after the delay", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const server = { args: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.02; done"] };
  const task = {
    ...node.task({ ...server, stopDelay: durationFromMs(700) }),
    networks: [attachment],
  };
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  const stoppedAt = systemClock.monotonic();
  node.worker.assign([shutDown(task)]);
  await node.until(task.id, ({ message }) => message === "leaving DNS");
  const stopping = await node.until(task.id, ({ message }) => message === "stopping");
  assert.ok(systemClock.monotonic() - stoppedAt >= 690);
  assert.equal(stopping.state, TaskState.RUNNING);
  const { attempts } = await node.untilState(task.id, TaskState.SHUTDOWN);
  assert.equal(attempts[0]?.exitCode, 0);
});

function freeze(node: TestNode, { id }: Task): void {
  const paths = readCgroupPaths(join(node.root, "run", "runc"), id);
  const legacy = paths.get("freezer");
  if (legacy === undefined) writeFileSync(join(paths.get("") ?? "", "cgroup.freeze"), "1");
  else writeFileSync(join(legacy, "freezer.state"), "FROZEN");
}

test("stop, a container that somebody froze ends as any other", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.02; done";
  const polite = node.task({ args: ["sh", "-c", script] });
  const deaf = node.task({ stopGracePeriod: durationFromMs(100), stopSignal: "USR1" });
  node.worker.assign([polite, deaf]);
  for (const { id } of [polite, deaf]) await node.untilState(id, TaskState.RUNNING);
  const log = join(node.root, "agent", "tasks", polite.id, "log");
  await untilSeen(() => existsSync(log) && readFileSync(log, "utf8").includes("up"));
  freeze(node, polite);
  freeze(node, deaf);
  node.worker.assign([shutDown(polite), shutDown(deaf)]);
  const { attempts } = await node.untilState(polite.id, TaskState.SHUTDOWN);
  assert.equal(attempts[0]?.exitCode, 7);
  await node.untilState(deaf.id, TaskState.SHUTDOWN);
});

test("stop, a fork bomb under its limit of processes is gone in bounded time", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const bomb = 'f() { f | f & }; trap "" TERM; while :; do f 2>/dev/null; done';
  const task = node.task({
    args: ["sh", "-c", bomb],
    pidsLimit: 100n,
    stopGracePeriod: durationFromMs(100),
  });
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  await systemClock.sleep(500);
  await node.removeAll();
  assert.deepEqual(readdirSync(join(node.root, "run", "runc")), []);
});

test("end, a supervisor that is killed is missed without a restart of the agent", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({ stopSignal: "KILL" }, always);
  node.worker.assign([task]);
  const first = await node.untilState(task.id, TaskState.RUNNING, 1);
  const file = join(node.root, "agent", "tasks", task.id, "1", "conmon.pid");
  // Also where nothing of it moves.
  freeze(node, task);
  process.kill(Number(readFileSync(file, "utf8")), "SIGKILL");
  const back = await node.untilState(task.id, TaskState.RUNNING, 2);
  assert.match(back.attempts[0]?.reason ?? "", /conmon, was killed/);
  assert.equal(isContainerAlive(first.container?.pid ?? 0, task.id), false);
});
