import assert from "node:assert/strict";
import { test } from "node:test";
import { formatReport } from "./report.ts";
import type { Metric } from "./samples.ts";

const fields = { ours: "ours_ms", peer: "peer_ms", ratio: "ratio" };
const settings = { bench: "deploy", replicas: 50 };

function report(samples: Metric["samples"]): readonly string[] {
  return formatReport(settings, [{ title: "deploy 50", fields, samples }]).split("\n");
}

test("a report ends with one line of JSON, settings first", () => {
  const lines = report({ ours: [1000, 1200], peer: [4000] });
  assert.equal(lines.at(-1), "");
  const json = '{"bench":"deploy","replicas":50,"ours_ms":1100,"peer_ms":4000,"ratio":0.275}';
  assert.equal(lines.at(-2), json);
});

test("the table shows medians, their ratio and every sample", () => {
  assert.deepEqual(report({ ours: [1000, 1200.4], peer: [4000] }).slice(0, 2), [
    "MEDIAN      OURS      PEER      RATIO   OURS EACH   PEER EACH",
    "deploy 50   1100 ms   4000 ms   0.28    1000 1200   4000",
  ]);
});

test("without a peer nothing is said of one", () => {
  const lines = report({ ours: [1000] });
  assert.equal(lines[0], "MEDIAN      OURS      OURS EACH");
  assert.equal(lines.at(-2), '{"bench":"deploy","replicas":50,"ours_ms":1000}');
});
