import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Heap } from "./heap.ts";

interface Item {
  key: number;
}

const before = (a: Item, b: Item) => a.key < b.key;

function drain(heap: Heap<Item>): readonly number[] {
  const keys: number[] = [];
  for (let item = heap.pop(); item !== undefined; item = heap.pop()) keys.push(item.key);
  return keys;
}

test("A heap gives back in order what it began with and what came later, also after its top changed", () => {
  const keys = fc.array(fc.integer({ min: -50, max: 50 }), { maxLength: 60 });
  const property = fc.property(keys, keys, fc.array(fc.nat(20)), (first, later, raises) => {
    const items = first.map((key) => ({ key }));
    const heap = new Heap(before, items);
    for (const key of later) {
      const item = { key };
      items.push(item);
      heap.push(item);
    }
    for (const raise of raises) {
      const { top } = heap;
      assert.equal(top?.key, items.length === 0 ? undefined : Math.min(...items.map((i) => i.key)));
      if (top === undefined) break;
      top.key += raise;
      heap.settleTop();
    }
    assert.deepEqual(
      drain(heap),
      items.map(({ key }) => key).toSorted((a, b) => a - b),
    );
  });
  fc.assert(property);
});
