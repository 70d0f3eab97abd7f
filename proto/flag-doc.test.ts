import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { describeFlags, phraseOf, wrapWords } from "./flag-doc.ts";

test("flags, described: their text beside them, or below where they are long", () => {
  const text = "what must survive ".repeat(8).trim();
  const described = describeFlags([
    { name: "data-root", argument: "DIR", text, default: "/d" },
    { name: "insecure-registry", argument: "HOST[:PORT]|NETWORK", text: "plain", default: [] },
  ]);
  const lines = described.split("\n");
  assert.match(lines[0] ?? "", /^ {2}--data-root DIR {15}what must survive/);
  assert.match(lines[1] ?? "", /^ {32}\S.*\(default \/d\)$/);
  assert.deepEqual(lines.slice(2, 3), ["  --insecure-registry HOST[:PORT]|NETWORK"]);
});

test("flags, their defaults: a value, several, or what else holds", () => {
  const doc = { name: "a", argument: "B", text: "c" };
  assert.equal(phraseOf(doc), "c");
  assert.equal(phraseOf({ ...doc, default: ["x", "y"] }), "c (default x and y)");
  assert.equal(phraseOf({ ...doc, default: [], otherwise: "none" }), "c (default none)");
});

test("words, wrapped: none is lost, and no line too long but for one word", () => {
  const words = fc.array(fc.stringMatching(/^[a-z]{1,12}$/), { minLength: 1 });
  fc.assert(
    fc.property(words, fc.integer({ min: 1, max: 40 }), (list, width) => {
      const lines = wrapWords(list.join(" "), width);
      assert.equal(lines.join(" "), list.join(" "));
      for (const line of lines) assert.ok(line.length <= width || !line.includes(" "));
    }),
  );
});
