import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Last, listChanges } from "./list-changes.ts";

const item = fc.nat(200);
const list = fc.uniqueArray(item, { maxLength: 150 });

test("listChanges(), without what went and with what came one list is the other", () => {
  const edits = fc.array(fc.tuple(fc.constantFrom("drop", "replace", "insert"), fc.nat(149), item));
  const edited = fc.tuple(list, edits).map(([before, changes]) => {
    const after = [...before];
    for (const [kind, index, value] of changes) {
      const fresh = after.includes(value) ? [] : [value];
      if (kind === "drop") after.splice(index, 1);
      else if (fresh.length === 1) after.splice(index, kind === "replace" ? 1 : 0, value);
    }
    return [before, after] as const;
  });
  fc.assert(
    fc.property(fc.oneof(edited, fc.tuple(list, list)), ([before, after]) => {
      const { gone, came } = listChanges(before, after);
      const held = new Set(before);
      for (const each of gone) assert(held.delete(each));
      for (const each of came) assert(!held.has(each) && held.add(each));
      assert.deepEqual(held, new Set(after));
    }),
  );
});

test("listChanges() finds the one that went, changed or came among many, and nothing else", () => {
  const before = Array.from({ length: 1_000 }, (_, index) => ({ index }));
  const fresh = { index: -1 };
  assert.deepEqual(listChanges(before, before), { gone: [], came: [] });
  assert.deepEqual(listChanges(before, before.toSpliced(7, 1)), { gone: [before[7]], came: [] });
  assert.deepEqual(listChanges(before, before.with(7, fresh)), {
    gone: [before[7]],
    came: [fresh],
  });
  assert.deepEqual(listChanges(before, [...before, fresh]), { gone: [], came: [fresh] });
  assert.deepEqual(listChanges(before, [...before.slice(300), fresh]), {
    gone: before.slice(0, 300),
    came: [fresh],
  });
});

test("Last makes again what was made of other objects", () => {
  const last = new Last<number>();
  let made = 0;
  const one = {};
  const make = () => (made += 1);
  const results = [[[one], []], [[one], []], [[one]], [[one, one]], [[{}]]].map((lists) =>
    last.of(lists, make),
  );
  assert.deepEqual(results, [1, 1, 2, 3, 4]);
});
