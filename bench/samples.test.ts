import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "#proto/fault.ts";
import { medianOf, ratioOf } from "./samples.ts";

test("the median is the middle sample, whatever the order", () => {
  assert.equal(medianOf([300, 100, 200]), 200);
  assert.equal(medianOf([7]), 7);
});

test("the median of an even number of samples lies between the middle two", () => {
  assert.equal(medianOf([400, 100, 200, 300]), 250);
});

test("the median is in whole milliseconds", () => {
  assert.equal(medianOf([10.4, 10.5, 99]), 11);
});

test("what is not time keeps a decimal", () => {
  assert.equal(medianOf([2.26, 2.24, 9], "MB"), 2.3);
});

test("there is no median of nothing", () => {
  assert.throws(() => medianOf([]), Fault);
});

test("the ratio compares medians, and needs a peer", () => {
  assert.equal(ratioOf({ ours: [100, 200, 900], peer: [300, 600, 900] }), 0.333);
  assert.equal(ratioOf({ ours: [100] }), undefined);
});
