import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { idLength, isId, newId } from "./ids.ts";
import { systemRandom } from "./system-ports.ts";

test("newId, an ID of 25 characters whatever the random bytes are", () => {
  const bytes = fc.uint8Array({ minLength: 20, maxLength: 20 });
  const property = fc.property(bytes, (random) => {
    const id = newId({ bytes: () => random, int: () => 0 });
    assert.equal(id.length, idLength);
    assert(isId(id));
  });
  const examples: [Uint8Array][] = [[new Uint8Array(20)], [new Uint8Array(20).fill(255)]];
  fc.assert(property, { examples });
});

test("newId, no two alike, and every character at every place", () => {
  const ids = Array.from({ length: 5000 }, () => newId(systemRandom));
  assert.equal(new Set(ids).size, ids.length);
  for (let place = 0; place < idLength; place++) {
    assert.equal(new Set(ids.map((id) => id[place])).size, 36, `at place ${place}`);
  }
});

test("isId, nothing else", () => {
  const good = newId(systemRandom);
  for (const text of [
    "",
    good.slice(1),
    `${good}0`,
    good.toUpperCase().replace(/^./, "A"),
    `${good}\n`,
  ]) {
    assert(!isId(text), text);
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.equal(isId(text), /^[0-9a-z]{25}$/.test(text) && text.length === 25);
    }),
  );
});
