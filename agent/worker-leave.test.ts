import assert from "node:assert/strict";
import { test } from "node:test";
import { Health, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { TestNode } from "./task/testing/test-node.ts";

test("worker, leaving with its host: managers hear of what runs, and it runs on", {
  timeout: 30_000,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const task = node.task({ args: ["sleep", "1000"], stopSignal: "KILL" });
  node.worker.assign([task]);
  const running = await node.untilState(task.id, TaskState.RUNNING);
  node.worker.leave();
  const told = node.reports.at(-1)?.status;
  assert.equal(told?.state, TaskState.RUNNING);
  assert.equal(told?.message, "its host shuts down");
  assert.equal(told?.container?.health, Health.UNHEALTHY);
  assert.equal(told?.container?.pid, running.container?.pid);
  assert.equal(node.worker.running().length, 1);
  assert.equal(node.worker.statuses().get(task.id)?.message, "running");
});
