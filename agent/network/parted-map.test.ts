import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { deriving, type Part, PartedMap } from "./parted-map.ts";

const keys = fc.nat(40).map((number) => `10.0.0.${number}`);
const entries = fc.array(fc.tuple(keys, fc.option(fc.nat(2), { nil: undefined })));

const sorted = (map: Iterable<readonly [string, unknown]>) =>
  [...map].sort(([one], [other]) => (one < other ? -1 : 1));

test("a parted map holds what a map would, through any changes, and the one before stays as it was", () => {
  fc.assert(
    fc.property(entries, fc.array(fc.tuple(fc.array(keys), entries)), (first, changes) => {
      const model = new Map(first);
      let map = PartedMap.from(first);
      for (const [gone, came] of changes) {
        const before = sorted(map);
        const next = map.with(gone, came);
        assert.deepEqual(sorted(map), before);
        map = next;
        for (const key of gone) model.delete(key);
        for (const [key, value] of came) model.set(key, value);
        assert.deepEqual(sorted(map), sorted(model));
        assert.deepEqual([...map.keys()].sort(), [...model.keys()].sort());
        assert.equal(map.size, model.size);
        for (const [key, value] of model) assert(map.has(key) && map.get(key) === value);
        for (const key of gone) assert.equal(map.has(key), model.has(key));
      }
    }),
  );
});

test("a parted map knows what is not in another one, of one history or of two", () => {
  fc.assert(
    fc.property(entries, fc.array(keys), entries, (first, gone, came) => {
      const before = PartedMap.from(first);
      const after = before.with(gone, came);
      const held = new Map(before);
      const wanted = [...after].filter(([key, value]) => !held.has(key) || held.get(key) !== value);
      assert.deepEqual(sorted(after.notIn(before)), sorted(wanted));
      const alone = PartedMap.from([...after]);
      assert.deepEqual(sorted(alone.notIn(before)), sorted(wanted));
      assert.deepEqual([...after.notIn(alone)], []);
      const like = alone.like(before);
      assert.deepEqual(sorted(like), sorted(after));
      const parts = new Set<Part<unknown>>(before.parts);
      for (const [place, part] of after.parts.entries()) {
        if (part === before.parts[place]) assert(parts.has(like.parts[place] ?? part));
      }
    }),
  );
});

test("what is derived of a parted map is derived of each entry, and of the same part once", () => {
  fc.assert(
    fc.property(entries, fc.array(keys), entries, (first, gone, came) => {
      let calls = 0;
      const derive = deriving((key: string, value: number | undefined) => {
        calls += 1;
        return value === undefined ? undefined : `${key} ${value}`;
      });
      const before = PartedMap.from(first);
      derive(before);
      derive(before);
      assert.equal(calls, before.size);
      const after = before.with(gone, came);
      const wanted = [...after].flatMap(([key, value]) =>
        value === undefined ? [] : [[key, `${key} ${value}`] as const],
      );
      assert.deepEqual(sorted(derive(after)), sorted(wanted));
    }),
  );
});
