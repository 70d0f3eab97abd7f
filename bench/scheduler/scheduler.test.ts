import assert from "node:assert/strict";
import { test } from "node:test";
import { formatSchedulerReport } from "./report.ts";
import { benchScheduler, type SchedulerTrial } from "./scheduler.ts";

test("The scheduler's benchmark places all tasks of three sizes evenly, and its last line is the result", async () => {
  const trials: SchedulerTrial[] = [];
  for await (const trial of benchScheduler({ nodes: 30, tasks: 3_000 })) trials.push(trial);
  const line = formatSchedulerReport(trials).trimEnd().split("\n").at(-1) ?? "";
  const result = JSON.parse(line) as Record<string, unknown> & { sizes: { tasks: number }[] };
  assert.deepEqual(
    result.sizes.map(({ tasks }) => tasks),
    [300, 900, 3_000],
  );
  assert.deepEqual([result["nodes"], result["placed"]], [30, 3_000]);
  assert.ok(Number(result["placements_per_s"]) > 0);
  assert.ok(Number(result["growth"]) > 0);
  assert.ok(Number(result["unevenness"]) <= 2, line);
});
