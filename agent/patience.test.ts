import assert from "node:assert/strict";
import { test } from "node:test";
import { Patience } from "./patience.ts";

function after(...events: readonly (number | "failed")[]): number {
  const patience = new Patience();
  for (const event of events) {
    if (event === "failed") patience.failed();
    else patience.stood(event);
  }
  return patience.ms;
}

test("patience, it is short at first and grows with each failure, up to a bound", () => {
  const failed = "failed" as const;
  assert.equal(after(), 500);
  assert.equal(after(failed), 1_000);
  assert.equal(after(failed, failed), 2_000);
  assert.equal(after(...Array.from({ length: 10 }, () => failed)), 16_000);
});

test("patience, after a session that stood it is what slow hosts need, and little on fast ones", () => {
  assert.equal(after("failed", "failed", 20), 500);
  assert.equal(after(1_200), 2_400);
  assert.equal(after(1_200.3), 2_401);
  assert.equal(after(15_000), 4_000);
  assert.equal(after(1_200, "failed"), 4_800);
});
