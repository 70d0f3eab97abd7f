import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "#proto/fault.ts";
import { medianMs, ratioOf } from "./samples.ts";

test("the median is the middle sample, whatever the order", () => {
  assert.equal(medianMs([300, 100, 200]), 200);
  assert.equal(medianMs([7]), 7);
});

test("the median of an even number of samples lies between the middle two", () => {
  assert.equal(medianMs([400, 100, 200, 300]), 250);
});

test("the median is in whole milliseconds", () => {
  assert.equal(medianMs([10.4, 10.5, 99]), 11);
});

test("there is no median of nothing", () => {
  assert.throws(() => medianMs([]), Fault);
});

test("the ratio compares medians, and needs a peer", () => {
  assert.equal(ratioOf({ ours: [100, 200, 900], peer: [300, 600, 900] }), 0.333);
  assert.equal(ratioOf({ ours: [100] }), undefined);
});
