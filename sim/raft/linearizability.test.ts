import assert from "node:assert/strict";
import { test } from "node:test";
import { array, assert as check, boolean, nat, property, record } from "fast-check";
import { isLinearizable, type RegisterOperation } from "./linearizability.ts";

type Times = readonly [calledAt: number, returnedAt: number | undefined];

function write([calledAt, returnedAt]: Times, value: number, seen?: number): RegisterOperation {
  return { calledAt, returnedAt, kind: "write", value, seen };
}

function read([calledAt, returnedAt]: Times, seen: number): RegisterOperation {
  return { calledAt, returnedAt, kind: "read", seen };
}

function compareAndSet(
  [calledAt, returnedAt]: Times,
  [expected, value]: readonly [number, number],
  seen?: number,
): RegisterOperation {
  return { calledAt, returnedAt, kind: "compare-and-set", expected, value, seen };
}

test("linearizability, one after another each sees the one before", () => {
  assert.ok(isLinearizable([]));
  assert.ok(isLinearizable([read([1, 2], 0), write([3, 4], 7), read([5, 6], 7)]));
  assert.ok(!isLinearizable([write([1, 2], 7), read([3, 4], 0)]), "a stale read");
  assert.ok(!isLinearizable([read([1, 2], 7), write([3, 4], 7)]), "a read of the future");
  assert.ok(!isLinearizable([read([1, 2], 9)]), "a read of what nobody wrote");
});

test("linearizability, of two at once either may be first", () => {
  const writes = [write([1, 4], 7), write([2, 3], 8)];
  assert.ok(isLinearizable([...writes, read([5, 6], 7)]));
  assert.ok(isLinearizable([...writes, read([5, 6], 8)]));
  assert.ok(!isLinearizable([...writes, read([5, 6], 7), read([7, 8], 8)]), "it does not go back");
  assert.ok(isLinearizable([...writes, read([5, 8], 8), read([6, 7], 8)]));
  assert.ok(
    !isLinearizable([write([1, 4], 7, 8), write([2, 3], 8, 7)]),
    "not each after the other",
  );
});

test("linearizability, a read beside a write sees it or does not, and who reads later sees no less", () => {
  const beside = write([1, 10], 7);
  assert.ok(isLinearizable([beside, read([2, 3], 0), read([4, 5], 7)]));
  assert.ok(!isLinearizable([beside, read([2, 3], 7), read([4, 5], 0)]));
});

test("linearizability, a compare-and-set takes place where it saw what it expected", () => {
  const first = write([1, 2], 7);
  assert.ok(isLinearizable([first, compareAndSet([3, 4], [7, 8], 7), read([5, 6], 8)]));
  assert.ok(isLinearizable([first, compareAndSet([3, 4], [9, 8], 7), read([5, 6], 7)]));
  assert.ok(!isLinearizable([first, compareAndSet([3, 4], [9, 8], 7), read([5, 6], 8)]));
  const twice = [compareAndSet([3, 6], [7, 8], 7), compareAndSet([4, 5], [7, 9], 7)];
  assert.ok(!isLinearizable([first, ...twice]), "two cannot both take the same value away");
});

test("linearizability, without an answer it may happen at any later time or never, but only once", () => {
  const unknown = write([1, undefined], 7);
  assert.ok(isLinearizable([unknown, read([2, 3], 0)]));
  assert.ok(isLinearizable([unknown, read([2, 3], 0), read([4, 5], 7)]));
  assert.ok(!isLinearizable([unknown, read([2, 3], 7), read([4, 5], 0)]));
  assert.ok(!isLinearizable([read([1, 2], 7), write([3, undefined], 7)]), "not before its call");
  const later = write([4, 5], 8);
  assert.ok(!isLinearizable([unknown, read([2, 3], 7), later, read([6, 7], 7)]), "not again");
  const depends = [write([1, undefined], 7), compareAndSet([2, undefined], [7, 8])];
  assert.ok(isLinearizable([...depends, read([3, 4], 8)]), "one that has to happen for another");
});

test("linearizability, whatever one register really did is explained, and a changed answer is not", () => {
  const step = record({ isRead: boolean(), early: nat(5), late: nat(5) });
  check(
    property(array(step, { minLength: 1, maxLength: 40 }), nat(), (steps, place) => {
      let value = 0;
      const real = steps.map(({ isRead, early, late }, index): RegisterOperation => {
        const times: Times = [10 * index - early * 5, 10 * index + 1 + late * 5];
        const seen = value;
        if (isRead) return read(times, seen);
        value = index + 1;
        return write(times, value, seen);
      });
      assert.ok(isLinearizable(real));
      const wrong = real.with(place % real.length, {
        ...(real[place % real.length] ?? read([0, 1], 0)),
        seen: 1000,
      });
      assert.ok(!isLinearizable(wrong));
    }),
  );
});
