import assert from "node:assert/strict";
import { test } from "node:test";
import { Raft } from "#manager/raft/raft.ts";
import type { MakeCore } from "./core.ts";
import { markNames } from "./marks.ts";
import { formatFailure, formatSummary, runSeeds } from "../seeds.ts";
import { raftSimulation, runSeed } from "./simulation.ts";
import type { Defect } from "./world.ts";

const seeds = 400;
/** Enough to find what a driver does wrong. */
const defectSeeds = 50;

const makeCore: MakeCore = (options, durable, nowMs) => new Raft(options, durable, nowMs);
const simulation = raftSimulation(makeCore);

test("simulation, whatever goes wrong, the Raft core keeps its promises, and everything did go wrong", async () => {
  const result = await runSeeds(simulation, { from: 1, count: seeds });
  assert.ok(result.failed === undefined, result.failed && formatFailure(simulation, result.failed));
  const missing = markNames.filter((name) => result.marks.count(name) === 0);
  assert.deepEqual(missing, [], formatSummary(simulation, result));
});

test("simulation, one seed is one story", () => {
  const runs = [1, 2].map(() => runSeed(7, { makeCore, traceLines: 1 }));
  const [first, second] = runs.map(({ events, marks }) => ({
    events,
    marks: markNames.map((name) => marks.count(name)),
  }));
  assert.deepEqual(first, second);
});

function noticedOf(defect: Defect): ReadonlySet<string | undefined> {
  return new Set(
    Array.from({ length: defectSeeds }, (_, index) => {
      const { failure } = runSeed(index + 1, { makeCore, traceLines: 1, defect });
      return failure?.violation.check;
    }),
  );
}

test("simulation, clients that read without a barrier see that it is not linearizable", () => {
  assert.ok(noticedOf("reads without a barrier").has("linearizable"));
});

test("simulation, an answer to what is only accepted is found to be lost", () => {
  assert.ok(noticedOf("answers what is only accepted").has("acknowledged is kept"));
});
