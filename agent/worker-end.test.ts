import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { TestNode } from "./task/testing/test-node.ts";

const timeout = 30_000;

/** What has let go of its tasks cannot clear them away. */
async function reopen(node: TestNode): Promise<void> {
  await node.close();
  await node.open();
}

test("worker, ending with its host: a container gets its stop signal alone, and is not started again", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const source = join(node.root, "said");
  mkdirSync(source);
  // Its child would end by a signal for all processes, and with it what it was at.
  const script = "trap 'wait; echo done >/said/done; exit 0' USR1; sleep 1 & wait; wait";
  const task = node.task({
    args: ["sh", "-c", script],
    stopSignal: "USR1",
    mounts: [{ source, target: "/said" }],
  });
  node.worker.assign([task]);
  const running = await node.untilState(task.id, TaskState.RUNNING);
  await node.worker.endWithHost(10_000);
  assert.equal(existsSync(join(source, "done")), true);
  assert.equal(existsSync(`/proc/${running.container?.pid}`), false);
  assert.equal(node.reports.at(-1)?.status.state, TaskState.RUNNING);
  await reopen(node);
});

const hourMs = 3_600_000;

for (const [what, { graceMs, mostMs }] of [
  ["its grace", { graceMs: 200, mostMs: hourMs }],
  ["there is time", { graceMs: hourMs, mostMs: 200 }],
] as const) {
  test(`worker, ending with its host: a container is not waited for longer than ${what}`, {
    timeout,
  }, async () => {
    await using node = new TestNode();
    await node.open();
    const args = ["sh", "-c", "trap '' TERM; while true; do sleep 1; done"];
    const task = node.task({ args, stopGracePeriod: durationFromMs(graceMs) });
    node.worker.assign([task]);
    const running = await node.untilState(task.id, TaskState.RUNNING);
    await node.worker.endWithHost(mostMs);
    const pid = running.container?.pid ?? 0;
    assert.equal(existsSync(`/proc/${pid}`), true);
    // As its host does in the end.
    process.kill(pid, "SIGKILL");
    await reopen(node);
  });
}
