import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "#proto/fault.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { ManagerChoice } from "./manager-choice.ts";

const lost = new Fault("unavailable", "gone");
const counted = (choices: readonly (string | undefined)[]) => {
  const counts = new Map<string | undefined, number>();
  for (const choice of choices) counts.set(choice, (counts.get(choice) ?? 0) + 1);
  return counts;
};

test("manager choice, spreads nodes over all managers", () => {
  const draws = Array.from({ length: 3_000 }, () =>
    new ManagerChoice(["a", "b", "c"], systemRandom).next(),
  );
  for (const count of counted(draws).values()) assert(count > 800 && count < 1_200, String(count));
});

test("manager choice, takes those that failed when no other is left", () => {
  const choice = new ManagerChoice(["a", "b", "c"], systemRandom);
  const order = [1, 2, 3].map((round) => {
    assert.equal(choice.exhausted, false, String(round));
    const manager = choice.next();
    choice.fail(manager, lost);
    return manager;
  });
  assert.deepEqual(order.toSorted(), ["a", "b", "c"]);
  assert(choice.exhausted);
  assert(["a", "b", "c"].includes(choice.next()));
  choice.forgive();
  assert(!choice.exhausted);
});

test("manager choice, takes a preferred one once, even one that failed", () => {
  const choice = new ManagerChoice(["a", "b"], systemRandom);
  choice.fail("a", lost);
  choice.prefer("a");
  assert.equal(choice.next(), "a");
  assert.equal(choice.next(), "b");
});

test("manager choice, asks those that did not answer last, until a session stood", () => {
  const choice = new ManagerChoice(["a", "b", "c"], systemRandom);
  const dead = new Fault("deadline-exceeded", "no answer");
  for (const manager of ["a", "b", "c"]) choice.fail(manager, manager === "b" ? lost : dead);
  choice.forgive();
  assert.equal(choice.next(), "b");
  choice.fail("b", lost);
  assert(["a", "c"].includes(choice.next()));
  choice.forget();
  const draws = Array.from({ length: 300 }, () => choice.next());
  assert.equal(counted(draws).size, 3);
});

test("manager choice, knows refusals from silence", () => {
  const choice = new ManagerChoice(["a", "b"], systemRandom);
  choice.fail("a", new Fault("unauthenticated", "unknown authority"));
  assert(choice.refused);
  choice.fail("b", lost);
  assert(!choice.refused);
  choice.fail("a", new Fault("permission-denied", "removed"));
  assert(choice.refused);
});

test("manager choice, a new manager draws its share of the nodes", () => {
  const draws = Array.from({ length: 3_000 }, () =>
    new ManagerChoice(["a", "b"], systemRandom).update(["a", "b", "c"]),
  );
  const moved = counted(draws).get("c") ?? 0;
  assert(moved > 800 && moved < 1_200, String(moved));
  assert.deepEqual(new Set(draws), new Set(["c", undefined]));
});

test("manager choice, nobody moves when a manager goes", () => {
  const choice = new ManagerChoice(["a", "b"], systemRandom);
  assert.equal(choice.update(["b"]), undefined);
  assert.deepEqual(choice.managers, ["b"]);
  assert.equal(choice.next(), "b");
});
