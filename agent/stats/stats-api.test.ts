/** Real containers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type WatchStatsResponse, WatchStatsRequestSchema } from "#proto/gen/swarm/v1/engine_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import { durationFromMs } from "#proto/time.ts";
import { TestNode } from "../task/testing/test-node.ts";
import { statsHandlers } from "./stats-api.ts";

test("stats, a container that works: its CPU time grows, its memory and processes are counted", {
  timeout: 30_000,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const busy = node.task({ args: ["sh", "-c", "while :; do :; done"], stopSignal: "KILL" });
  const idle = node.task({ args: ["sh", "-c", "sleep 1000 & wait"], stopSignal: "KILL" });
  node.worker.assign([busy, idle]);
  await Promise.all([busy, idle].map(({ id }) => node.untilState(id, TaskState.RUNNING)));
  const stopping = new AbortController();
  const handlers = statsHandlers({ list: () => node.worker.running(), clock: systemClock });
  const request = create(WatchStatsRequestSchema, { interval: durationFromMs(100) });
  const context = { signal: stopping.signal } as Parameters<typeof handlers.watchStats>[1];
  const of = (response: WatchStatsResponse, taskId: string) =>
    response.tasks.find((stats) => stats.taskId === taskId);
  let firstNs: bigint | undefined;
  for await (const response of handlers.watchStats(request, context)) {
    const full = response as WatchStatsResponse;
    const [stats, other] = [of(full, busy.id), of(full, idle.id)];
    assert.ok(stats !== undefined && other !== undefined);
    assert.ok(stats.memoryBytes > 0n && stats.memoryLimitBytes >= stats.memoryBytes);
    assert.equal(stats.restarts, 0);
    firstNs ??= stats.cpuNs;
    // The shell starts its child a moment after the container runs.
    if (stats.cpuNs > firstNs && stats.cpuNs > other.cpuNs && other.pids === 2n) break;
  }
  stopping.abort();
});
