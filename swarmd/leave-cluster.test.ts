import assert from "node:assert/strict";
import { test } from "node:test";
import { wordsOf } from "./leave-cluster.ts";

test("leaving, a manager is told what it would cost, with the numbers", () => {
  assert.match(wordsOf(undefined), /may cost the cluster its quorum.*--force/);
  assert.match(wordsOf({ all: 1, reachable: 1 }), /the last one: leaving erases the state/);
  assert.match(wordsOf({ all: 2, reachable: 2 }), /1 of 2 managers are left, and 2 are needed/);
  assert.match(wordsOf({ all: 3, reachable: 3 }), /2 of 3 managers would go on without it/);
  assert.match(wordsOf({ all: 3, reachable: 2 }), /1 of 3 managers are left, and 2 are needed/);
  assert.match(wordsOf({ all: 5, reachable: 4 }), /3 of 5 managers would go on without it/);
});
