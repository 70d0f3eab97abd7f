import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { expand } from "./template.ts";

const values: Readonly<Record<string, string>> = { A: "a", EMPTY: "", _x9: "x" };

function expanded(text: string): string {
  return expand(text, {
    variables: (name) => (Object.hasOwn(values, name) ? values[name] : undefined),
    onUnset: () => {},
  });
}

describe("a text with variables", () => {
  const table: readonly [text: string, result: string][] = [
    ["plain", "plain"],
    ["$A-$A.$_x9", "a-a.x"],
    ["${A}b", "ab"],
    ["$A-alpine", "a-alpine"],
    ["$NO.${NO}", "."],
    ["$$A $${A} $$$A $$$$", "$A ${A} $a $$"],
    ["${NO:-d}${NO-d}${EMPTY:-d}${EMPTY-d}${A:-d}${A-d}", "dddaa"],
    ["${NO:+r}${NO+r}${EMPTY:+r}${EMPTY+r}${A:+r}${A+r}", "rrr"],
    ["${A:?e}${A?e}${EMPTY?e}", "aa"],
    ["${NO:-${NO2:-${A}}}", "a"],
    ["${NO:-$$5 and $A}", "$5 and a"],
    ["${A:-${NO:?not asked for}}", "a"],
    ["${NO:-}|${NO-}", "|"],
    ["${NO:-a:b-c?d+e}", "a:b-c?d+e"],
    ['${NO:-{"a": 1}}', '{"a": 1}'],
    ["{{.Node.Hostname}}-$A", "{{.Node.Hostname}}-a"],
  ];
  for (const [text, result] of table) {
    it(`${text} is ${result}`, () => assert.equal(expanded(text), result));
  }

  const refused: readonly [text: string, message: RegExp][] = [
    ["${NO:?say who}", /^needs the variable "NO": say who$/],
    ["${NO?}", /^needs the variable "NO": it is not set$/],
    ["${EMPTY:?}", /^needs the variable "EMPTY": it is empty$/],
    ["${NO:?$A is missing}", /: a is missing$/],
    ["a $", /^holds "\$", which is no variable: write \$\$ for a dollar sign$/],
    ["$1", /^holds "\$1"/],
    ["${A", /^holds "\$\{A"/],
    ["${A:=x}", /^holds "\$\{A:=x\}"/],
    ["${}", /^holds "\$\{\}"/],
    ["${A:-${B}", /^holds "\$\{A:-\$\{B\}"/],
    ["${A:-".repeat(60), /^has variables 50 deep/],
  ];
  for (const [text, message] of refused) {
    it(`${text.slice(0, 30)} is refused`, () => {
      assert.throws(
        () => expanded(text),
        (thrown) => {
          assert(thrown instanceof Fault);
          assert.match(thrown.message, message);
          return true;
        },
      );
    });
  }

  it("becomes no longer than a config may be", () => {
    const variables = () => "x".repeat(100_000);
    assert.throws(() => expand("$A".repeat(11), { variables, onUnset: () => {} }), {
      message: "becomes longer than 1048576 characters",
    });
  });

  it("says which variables stand for nothing, and only those that are looked at", () => {
    const unset: string[] = [];
    const lookup = { variables: () => undefined, onUnset: (name: string) => unset.push(name) };
    expand("$ONE ${TWO:-$THREE} ${FOUR+$FIVE}", lookup);
    assert.deepEqual(unset, ["ONE", "THREE"]);
  });

  it("is itself again when its dollar signs are doubled", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        assert.equal(expanded(text.replaceAll("$", () => "$$")), text);
      }),
    );
  });

  it("is never replaced twice: what a variable holds stays as it is", () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        assert.equal(expand("<${V}>", { variables: () => value, onUnset: () => {} }), `<${value}>`);
      }),
    );
  });

  it("throws nothing but Faults", () => {
    const pieces = fc.constantFrom(
      ..."$ $$ { } ${ ${A ${A} :- - :? + A NO EMPTY x".split(" "),
      " ",
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 200 }), (parts) => {
        try {
          expanded(parts.join(""));
        } catch (thrown) {
          assert(thrown instanceof Fault, String(thrown));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
