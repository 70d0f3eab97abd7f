import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { parseShellWords } from "./shell-words.ts";

describe("parseShellWords", () => {
  const cases: [string, string[]][] = [
    ["", []],
    ["  a   b\tc\n", ["a", "b", "c"]],
    ['sh -c "a && b"', ["sh", "-c", "a && b"]],
    ["'a b' c", ["a b", "c"]],
    [`a"b c"'d e'f`, ["ab cd ef"]],
    ["'' x", ["", "x"]],
    ["a\\ b", ["a b"]],
    ['"a\\"b\\\\c\\d"', ['a"b\\c\\d']],
    ["a\\\nb", ["ab"]],
    ["'a\\b'", ["a\\b"]],
    ["a #b c", ["a"]],
    ["# a\nb c#d '#e' \\#f # g\nh\\ #i", ["b", "c#d", "#e", "#f", "h #i"]],
  ];
  for (const [text, words] of cases) {
    it(`splits ${JSON.stringify(text)}`, () => assert.deepEqual(parseShellWords(text), words));
  }

  for (const text of ["'a", '"a', "a\\", "it's"]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseShellWords(text), { name: "Fault", code: "invalid-argument" });
    });
  }

  it("gives back what was quoted", () => {
    const quoted = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme" })), (words) => {
        assert.deepEqual(parseShellWords(words.map(quoted).join(" ")), words);
      }),
    );
  });

  it("throws nothing but Faults", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("a", " ", "#", "'", '"', "\\", "\n") }),
        (text) => {
          try {
            parseShellWords(text);
          } catch (thrown) {
            assert(thrown instanceof Fault);
          }
        },
      ),
    );
  });
});
