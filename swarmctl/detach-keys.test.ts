import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { DetachFilter, parseDetachKeys } from "./detach-keys.ts";

test("detach keys, as Docker writes them", () => {
  assert.deepEqual([...parseDetachKeys("ctrl-p,ctrl-q")], [16, 17]);
  assert.deepEqual([...parseDetachKeys("ctrl-@,a,ctrl-]")], [0, 97, 29]);
  assert.deepEqual([...parseDetachKeys("")], []);
  assert.throws(() => parseDetachKeys("ctrl-p,nothing"), { code: "invalid-argument" });
});

test("detach keys, one that is not followed by the other is typed", () => {
  const filter = new DetachFilter(parseDetachKeys("ctrl-p,ctrl-q"));
  const push = (text: string) => {
    const { data, detached } = filter.push(Buffer.from(text));
    return [Buffer.from(data).toString(), detached];
  };
  assert.deepEqual(push("a\x10"), ["a", false]);
  assert.deepEqual(push("b"), ["\x10b", false]);
  assert.deepEqual(push("\x10\x10"), ["\x10", false]);
  assert.deepEqual(push("\x11rest"), ["", true]);
});

test("detach keys, whatever else is typed comes through, in any pieces", () => {
  const keys = parseDetachKeys("ctrl-p,ctrl-q");
  const pieces = fc.array(fc.uint8Array({ max: 20, maxLength: 12 }), { maxLength: 20 });
  fc.assert(
    fc.property(pieces, (typed) => {
      const filter = new DetachFilter(keys);
      const sent: number[] = [];
      const whole = Buffer.concat(typed);
      const detachAt = whole.indexOf(Buffer.from(keys));
      let detached = false;
      for (const piece of typed) {
        if (detached) break;
        const step = filter.push(piece);
        sent.push(...step.data);
        detached = step.detached;
      }
      assert.equal(detached, detachAt >= 0);
      const expected = detached ? whole.subarray(0, detachAt) : whole;
      const held = !detached && whole.at(-1) === keys[0] ? 1 : 0;
      assert.deepEqual(sent, [...expected.subarray(0, expected.length - held)]);
    }),
  );
});
