import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { ComposeDocument } from "./document.ts";
import { toValue } from "./node.ts";
import { readYaml } from "./read-yaml.ts";

function read(text: string) {
  const document = new ComposeDocument(readYaml(text, "f.yml"));
  return { document, value: toValue(document.root) };
}

function refusal(text: string): string {
  try {
    const { value } = read(text);
    assert.fail(`nothing was refused in ${JSON.stringify(value)}`);
  } catch (thrown) {
    assert(thrown instanceof Fault, String(thrown));
    return thrown.message;
  }
}

describe("readYaml", () => {
  it("refuses a tab with its line and column", () => {
    assert.equal(
      refusal("a:\n\t- x\n"),
      "f.yml:2:1: tab characters must not be used in indentation: indent with spaces",
    );
  });

  it("refuses a key that is there twice", () => {
    assert.equal(refusal("a: 1\nb: 2\na: 3\n"), 'f.yml:3:1: the key "a" is there twice');
  });

  it("refuses an empty file, several documents, unknown tags and unfinished quotes", () => {
    assert.match(refusal(""), /^f\.yml: /);
    assert.match(refusal("# nothing\n"), /^f\.yml: /);
    assert.match(refusal("a: 1\n---\nb: 2\n"), /2 YAML documents instead of one/);
    assert.match(refusal("a: !foo x"), /^f\.yml:1:9: the tag !foo is not known/);
    assert.match(refusal('a: "x'), /^f\.yml:1:6: /);
  });

  it("refuses aliases that expand without measure", () => {
    const bomb = Array.from({ length: 30 }, (_, i) => `k${i + 1}: &a${i + 1} [*a${i}, *a${i}]`);
    const text = ["k0: &a0 [x, x]", ...bomb].join("\n");
    assert.match(refusal(text), /holds more than 1000000 values/);
  });

  it("refuses an anchor that contains itself", () => {
    assert.match(
      refusal("a: &a [*a]"),
      /^f\.yml:1:9: the alias \*a stands inside of what it names/,
    );
  });

  it("refuses deep nesting and large files", () => {
    assert.match(refusal(`a: ${"[".repeat(1000)}${"]".repeat(1000)}`), /nesting/);
    assert.match(refusal(`a: ${"x".repeat(10 * 1024 * 1024)}`), /larger than 10 MiB/);
  });

  it("reads a byte order mark and CRLF, and counts their lines", () => {
    const { document, value } = read("\uFEFFa: 1\r\nb:\r\n  c: 2\r\n");
    assert.deepEqual(value, { a: 1, b: { c: 2 } });
    assert.equal(document.fault(["b", "c"], "is wrong").message, "f.yml:3:3: b.c is wrong");
  });

  it("knows the line of keys, items, and of what is below aliases and merges", () => {
    const text = "x: &x\n  deep: 1\nlist:\n  - a\n  - b\ny: *x\nz:\n  <<: *x\n  own: 2\n";
    const document = read(text).document;
    const lineOf = (...path: string[]) => /:(\d+):\d+:/.exec(document.fault(path, "").message)?.[1];
    assert.equal(lineOf("list", "1"), "5");
    assert.equal(lineOf("y"), "6");
    assert.equal(lineOf("y", "deep"), "2");
    assert.equal(lineOf("z", "deep"), "2");
    assert.equal(lineOf("z", "own"), "9");
    assert.equal(lineOf("z", "nowhere"), "7");
  });

  it("keeps numbers as they were written", () => {
    const document = read("a: 0440\nb: 1.10\n").document;
    assert.equal(document.text(["a"]), "0440");
    assert.equal(document.text(["b"]), "1.10");
  });

  it("throws nothing but Faults, whatever the text", () => {
    const pieces = fc.constantFrom(
      ..."a b : - [ ] { } , & * &a *a ! !!str | > ' \" # % @ ` ? << <<: \n \r\n \t --- ... 0x1 ~ $".split(
        " ",
      ),
      "\n  ",
      "\u0000",
      "\ud800",
      "é",
    );
    const texts = fc.oneof(
      fc.string(),
      fc.array(pieces, { maxLength: 60 }).map((p) => p.join("")),
    );
    fc.assert(
      fc.property(texts, (text) => {
        try {
          read(text).document.fault(["a", "0"], "is wrong");
        } catch (thrown) {
          assert(thrown instanceof Fault, String(thrown));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
