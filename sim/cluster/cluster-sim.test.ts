import assert from "node:assert/strict";
import { test } from "node:test";
import { markNames } from "./marks.ts";
import { formatFailure, formatSummary, runSeeds } from "./run.ts";
import { runSeed } from "./simulation.ts";

const seeds = 200;

test("simulation, whatever goes wrong, the cluster keeps its promises and comes to what users want", async () => {
  const result = await runSeeds({ from: 1, count: seeds });
  assert.ok(result.failed === undefined, result.failed && formatFailure(result.failed));
  const missing = markNames.filter((name) => result.marks.count(name) === 0);
  assert.deepEqual(missing, [], formatSummary(result));
});

test("simulation, one seed of a cluster is one story", async () => {
  const [first, second] = [await runSeed(7, 1), await runSeed(7, 1)].map(
    ({ events, entries, marks }) => ({
      events,
      entries,
      marks: markNames.map((name) => marks.count(name)),
    }),
  );
  assert.deepEqual(first, second);
});
