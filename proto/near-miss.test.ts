import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { nearMiss } from "./near-miss.ts";

const flags = ["--replicas", "--replicas-max-per-node", "--publish", "--env", "-e"];

const cases: readonly [string, string | undefined][] = [
  ["--replica", "--replicas"],
  ["--repilcas", "--replicas"],
  ["--pubilsh", "--publish"],
  ["--replicas-max-per-nod", "--replicas-max-per-node"],
  ["--evn", "--env"],
  ["--nothing-of-the-kind", undefined],
  ["", undefined],
];

for (const [word, meant] of cases) {
  test(`"${word}" is ${meant === undefined ? "nothing known" : `"${meant}" mistyped`}`, () => {
    assert.equal(nearMiss(word, flags), meant);
  });
}

test("A known word is its own near miss, and one edit of a longer one leads back to it", () => {
  const property = fc.property(
    fc.string({ minLength: 5, maxLength: 20 }),
    fc.nat(19),
    (word, at) => {
      assert.equal(nearMiss(word, [word, "x".repeat(40)]), word);
      const without = word.slice(0, at % word.length) + word.slice((at % word.length) + 1);
      assert.equal(nearMiss(without, [word]), word);
    },
  );
  fc.assert(property);
});
