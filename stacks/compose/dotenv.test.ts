import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { parseDotenv, parseRawEnv } from "./dotenv.ts";

const unset: string[] = [];
const shell = {
  variables: (name: string) => (name === "SHELL_HAS" ? "it" : undefined),
  onUnset: (name: string, where: string) => unset.push(`${where} ${name}`),
};

function parsed(text: string): Record<string, string | undefined> {
  const lines = parseDotenv(text, "x.env", shell);
  return Object.fromEntries(lines.map(({ name, value }) => [name, value]));
}

describe("a file of variables", () => {
  const table: readonly [text: string, result: Record<string, string | undefined>][] = [
    ["A=1\nB=two words \n", { A: "1", B: "two words" }],
    ["# words\n\n  A = 1  # more\nB=a#b", { A: "1", B: "a#b" }],
    ["export A=1", { A: "1" }],
    ["A=\nB=''\nC=\"\"", { A: "", B: "", C: "" }],
    ["A='$B ${C} \\n' # x", { A: "$B ${C} \\n" }],
    ['A="a\\nb\\t\\"c\\" \\$D"', { A: 'a\nb\t"c" $D' }],
    ["A='two\nlines'\nB=\"a\nb\"", { A: "two\nlines", B: "a\nb" }],
    ['A=1\nB=$A-${A}${NO:-x}\nC="$B"', { A: "1", B: "1-1x", C: "1-1x" }],
    ["SHELL_HAS=mine\nB=$SHELL_HAS", { SHELL_HAS: "mine", B: "it" }],
    ["SHELL_HAS\nNOBODY", { SHELL_HAS: "it", NOBODY: undefined }],
    ["\uFEFFA=1\r\nB=2\r\n", { A: "1", B: "2" }],
    ["A.b-c=1", { "A.b-c": "1" }],
    ["A=x=y", { A: "x=y" }],
  ];
  for (const [text, result] of table) {
    it(JSON.stringify(text), () => assert.deepEqual(parsed(text), result));
  }

  it("is refused with its line, and without the value, which may be a secret", () => {
    const refusal = (text: string) => {
      try {
        parsed(text);
      } catch (thrown) {
        assert(thrown instanceof Fault);
        return thrown.message;
      }
      assert.fail("nothing was refused");
    };
    assert.equal(refusal("A=1\n=x"), 'x.env:2: "" begins no line of the form NAME=value');
    assert.equal(refusal("A='x"), 'x.env:1: "A" begins no line of the form NAME=value');
    assert.equal(refusal('A="x" y'), 'x.env:1: "A" begins no line of the form NAME=value');
    assert.equal(refusal("a b"), 'x.env:1: "a b" begins no line of the form NAME=value');
    assert.equal(refusal("A=${B:?who}"), 'x.env:1 needs the variable "B": who');
  });

  it("says which variables stand for nothing, and where", () => {
    unset.length = 0;
    parsed("A=1\nB=$A$NO\nC=${D:-$E}");
    assert.deepEqual(unset, ["x.env:2 NO", "x.env:3 E"]);
  });

  it("is read in a time that grows with it, however many stand for nothing", () => {
    unset.length = 0;
    parsed("A='two\nlines'\nB=$NO\n".repeat(200_000));
    assert.deepEqual([unset.length, unset.at(-1)], [200_000, "x.env:600000 NO"]);
  });

  it("in the raw form keeps values as they stand", () => {
    const lines = parseRawEnv("A='x' # y\n # z\nB\n C=$D\n", "x.env");
    assert.deepEqual(lines, [
      { name: "A", value: "'x' # y" },
      { name: "B", value: undefined },
      { name: "C", value: "$D" },
    ]);
    assert.throws(() => parseRawEnv("a b=c", "x.env"), /x\.env:1: "a b" begins no/);
  });

  it("gives back what stands in single quotes", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const value = text.replaceAll("'", "").replace(/\r\n?/g, "\n");
        assert.deepEqual(parsed(`A='${value}'\nB=1`), { A: value, B: "1" });
      }),
    );
  });

  it("throws nothing but Faults", () => {
    const pieces = fc.constantFrom(
      "A",
      "=",
      "'",
      '"',
      "\\",
      "\n",
      "#",
      " ",
      "export ",
      "$",
      "{",
      "}",
      "é",
      "\0",
    );
    const texts = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(pieces, { maxLength: 80 }).map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(texts, (text) => {
        for (const parse of [parsed, (given: string) => parseRawEnv(given, "x.env")]) {
          try {
            parse(text);
          } catch (thrown) {
            assert(thrown instanceof Fault, String(thrown));
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});
