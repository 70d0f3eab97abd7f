import assert from "node:assert/strict";
import { test } from "node:test";
import { formatCaught, hunt, mutate } from "./mutant.ts";
import { mutations } from "./mutations.ts";

for (const mutation of mutations) {
  test(`mutations, it is noticed when ${mutation.name}`, async () => {
    const caught = await hunt(mutation);
    assert.ok(caught.seeds !== undefined, formatCaught(caught));
  });
}

test("mutations, a text that is not there once is an error", () => {
  const mutation = { name: "none", file: "x.ts", find: "b", replace: "c" };
  assert.equal(mutate("abd", mutation), "acd");
  assert.throws(() => mutate("ad", mutation), /found 0 times/);
  assert.throws(() => mutate("abbd", mutation), /found 2 times/);
});
