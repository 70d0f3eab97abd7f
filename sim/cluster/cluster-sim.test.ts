import assert from "node:assert/strict";
import { test } from "node:test";
import { markNames } from "./marks.ts";
import { formatFailure, formatSummary, runSeeds } from "../seeds.ts";
import { clusterSimulation as simulation } from "./simulation.ts";

const seeds = 200;

test("simulation, whatever goes wrong, the cluster keeps its promises and comes to what users want", async () => {
  const result = await runSeeds(simulation, { from: 1, count: seeds });
  assert.ok(result.failed === undefined, result.failed && formatFailure(simulation, result.failed));
  const missing = markNames.filter((name) => result.marks.count(name) === 0);
  assert.deepEqual(missing, [], formatSummary(simulation, result));
});

test("simulation, one seed of a cluster is one story", async () => {
  const runs = [await simulation.runSeed(7), await simulation.runSeed(7)];
  const [first, second] = runs.map(({ events, marks }) => ({
    events,
    marks: markNames.map((name) => marks.count(name)),
  }));
  assert.deepEqual(first, second);
});
