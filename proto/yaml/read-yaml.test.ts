import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "../fault.ts";
import { YamlDocument } from "./document.ts";
import { toValue } from "./node.ts";
import { readYaml } from "./read-yaml.ts";

function read(text: string) {
  const document = new YamlDocument(readYaml(text, "f.yml"));
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
    assert.match(refusal("# a comment\n"), /: is empty$/);
    assert.match(refusal("a: !foo x"), /^f\.yml:1:9: the tag !foo is not known/);
    assert.match(refusal('a: "x'), /^f\.yml:1:6: /);
  });

  it("refuses aliases that expand without measure", () => {
    const bomb = Array.from({ length: 30 }, (_, i) => `k${i + 1}: &a${i + 1} [*a${i}, *a${i}]`);
    const text = ["k0: &a0 [x, x]", ...bomb].join("\n");
    assert.match(refusal(text), /holds more than 1000000 values/);
  });

  it("refuses aliases that repeat a long text", () => {
    const aliases = Array.from({ length: 200 }, (_, i) => `k${i}: *a`).join("\n");
    const text = `a: &a ${"x".repeat(1_000_000)}\n${aliases}`;
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

  it("merges maps, own keys first, then the earlier of a list", () => {
    const text =
      "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  <<: [*x, *y]\n  a: 3\nq: {'<<': 1}\n";
    const { value } = read(text);
    const z = { a: 3, b: 1, c: 2 };
    assert.deepEqual(value, { x: { a: 1, b: 1 }, y: { b: 2, c: 2 }, z, q: { "<<": 1 } });
    assert.match(refusal("a: {<<: 1}"), /^f\.yml:1:5: << must be a map or a list of maps/);
    assert.match(
      refusal("x: &x {}\na:\n  <<: *x\n  <<: *x\n"),
      /^f\.yml:4:3: the key "<<" is there twice/,
    );
  });

  it("reads numbers and words as Docker does: YAML 1.2, and octal numbers of YAML 1.1", () => {
    const table: [string, unknown][] = [
      ["0440", 288],
      ["0o440", 288],
      ["-0x1F", -31],
      ["0b101", 5],
      ["1_000", 1000],
      ["089", 89],
      ["1.50", 1.5],
      [".5", 0.5],
      ["1e3", 1000],
      ["yes", "yes"],
      ["off", "off"],
      ["22:22", "22:22"],
      ["2001-01-01", "2001-01-01"],
      ["True", true],
      ["~", null],
      ["Null", null],
      ["nULL", "nULL"],
      ["'1'", "1"],
      ["!!str 1", "1"],
      ["!!int '7'", 7],
      ["!!float 7", 7],
    ];
    for (const [text, value] of table) assert.deepEqual(read(`a: ${text}`).value, { a: value });
    assert.match(refusal("a: !!int x"), /^f\.yml:1:10: "x" is no !!int/);
  });

  it("refuses keys that are no words, and those that are the same word", () => {
    assert.match(refusal("? [a]\n: 1\n"), /^f\.yml:1:3: a key must be a word/);
    assert.match(
      refusal("a: {{.Task.Slot}}"),
      /^f\.yml:1:5: a key must be a word; {{…}} goes in quotes/,
    );
    for (const key of ["", "~", "null"]) assert.match(refusal(`${key}: 1`), /a key must be a word/);
    assert.match(refusal("1: a\n'1': b\n"), /^f\.yml:2:1: the key "1" is there twice/);
  });

  it("refuses aliases that lie deep in one another, or name nothing", () => {
    const chain = Array.from({ length: 300 }, (_, i) => `k${i + 1}: &a${i + 1} [*a${i}]`);
    assert.match(refusal(["k0: &a0 [x]", ...chain].join("\n")), /nesting is too deep/);
    assert.match(refusal("a: *b"), /^f\.yml:1:/);
  });

  it("reads a file of several megabytes, and says where in it something is wrong", () => {
    const service = "    image: nginx\n    labels: {a: b, c: d}\n    ports: ['80:80']\n";
    const services = Array.from({ length: 60_000 }, (_, at) => `  web${at}:\n${service}`).join("");
    const { document, value } = read(`services:\n${services}`);
    assert(typeof value === "object" && value !== null && "services" in value);
    assert.equal(Object.keys(value.services ?? {}).length, 60_000);
    assert.match(
      document.fault(["services", "web59999", "ports"], "").message,
      /^f\.yml:240001:5:/,
    );
    assert.match(refusal(`a:\n${"- x\n".repeat(1_100_000)}`), /holds more than 1000000 values/);
  });

  it("reads lines that end with carriage returns alone", () => {
    assert.equal(
      read("a: 1\rb:\r  c: 2\r").document.fault(["b", "c"], "x").message,
      "f.yml:3:3: b.c x",
    );
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
