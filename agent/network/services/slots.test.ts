import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { largeSlots, smallSlots } from "./maps.ts";
import { dealAffineSlots, dealSlots, type Slots } from "./slots.ts";

function backends(count: number, from = 0): readonly string[] {
  return Array.from({ length: count }, (_, index) => {
    const number = from + index;
    return `10.0.${number >> 8}.${number & 255}`;
  });
}

function counts(slots: Slots): ReadonlyMap<string | undefined, number> {
  return new Map([...Map.groupBy(slots, (slot) => slot)].map(([key, own]) => [key, own.length]));
}

function changes(before: Slots, after: Slots): number {
  return after.filter((backend, slot) => backend !== before[slot]).length;
}

const somePool = fc.subarray([...backends(90)]);
const somePrevious = fc.array(fc.option(fc.constantFrom(...backends(100)), { nil: undefined }), {
  maxLength: largeSlots,
});

test("slots, every backend has its share, and nobody else has one", () => {
  fc.assert(
    fc.property(somePrevious, somePool, (previous, pool) => {
      const slots = dealSlots(previous, pool, "seed");
      const shares = counts(slots);
      assert.deepEqual(new Set(shares.keys()), new Set(pool));
      if (pool.length === 0) return;
      assert.equal(slots.length, pool.length > smallSlots ? largeSlots : smallSlots);
      assert(Math.max(...shares.values()) - Math.min(...shares.values()) <= 1);
    }),
  );
});

test("slots, no other even deal keeps more of what was", () => {
  fc.assert(
    fc.property(somePrevious, somePool, (previous, pool) => {
      fc.pre(pool.length > 0);
      const slots = dealSlots(previous, pool, "seed");
      const held = counts(previous.slice(0, slots.length));
      const share = Math.floor(slots.length / pool.length);
      const odd = slots.length % pool.length;
      const above = pool.filter((backend) => (held.get(backend) ?? 0) > share).length;
      const most = pool
        .map((backend) => Math.min(held.get(backend) ?? 0, share))
        .reduce((sum, kept) => sum + kept, Math.min(above, odd));
      assert.equal(slots.length - changes(previous, slots), most);
    }),
  );
});

test("slots, one of 20 goes: three slots change, and none of the others'", () => {
  const before = dealSlots([], backends(20), "seed");
  const after = dealSlots(before, backends(19), "seed");
  assert.equal(changes(before, after), 3);
  assert(before.every((backend, slot) => backend === "10.0.0.19" || backend === after[slot]));
});

test("slots, two services do not deal in the same order", () => {
  assert.notDeepEqual(dealSlots([], backends(7), "a"), dealSlots([], backends(7), "b"));
  assert.deepEqual(dealSlots([], backends(7), "a"), dealSlots([], backends(7), "a"));
});

test("slots, of more backends than slots all have load, each from some of the hosts", () => {
  const pool = backends(2000);
  const met = new Set<string | undefined>();
  for (let host = 0; host < 20; host += 1) {
    const slots = dealSlots([], pool, `node${host}`);
    assert.equal(new Set(slots).size, largeSlots);
    for (const backend of slots) met.add(backend);
  }
  assert.equal(met.size, 2000);
});

test("affine slots, every backend has some, in any order of asking", () => {
  fc.assert(
    fc.property(fc.subarray([...backends(300)]), (pool) => {
      const slots = dealAffineSlots(pool);
      assert.deepEqual(new Set(slots), new Set(pool));
      assert.deepEqual(dealAffineSlots(pool.toReversed()), slots);
    }),
  );
});

test("affine slots, shares of 20 backends are near each other", () => {
  const shares = [...counts(dealAffineSlots(backends(20))).values()];
  assert(Math.min(...shares) > 25 && Math.max(...shares) < 80, shares.join());
});

test("affine slots, when one backend goes the others keep their clients", () => {
  const pool = backends(20);
  const before = dealAffineSlots(pool);
  for (const gone of pool) {
    const after = dealAffineSlots(pool.filter((backend) => backend !== gone));
    assert(before.every((backend, slot) => backend === gone || backend === after[slot]));
  }
});

test("affine slots, a newcomer takes clients for itself alone", () => {
  const before = dealAffineSlots(backends(9));
  const after = dealAffineSlots(backends(10));
  assert(after.every((backend, slot) => backend === "10.0.0.9" || backend === before[slot]));
});
