import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { parseElements } from "./nft-reader.ts";
import { parseNft, parseRecords } from "./tool-output.ts";

test("parseRecords() takes nothing for an empty list, and leaves out what a filter left of a record", () => {
  assert.deepEqual(parseRecords("\n"), []);
  assert.deepEqual(parseRecords('[{},{"dst":"10.0.0.1"},7]'), [{ dst: "10.0.0.1" }]);
});

test("parseElements() reads sets and maps, prefixes, pairs and numbers", () => {
  const list = (kind: string, elem: unknown) =>
    parseElements(JSON.stringify({ nftables: [{ metainfo: {} }, { [kind]: { elem } }] }));
  const prefix = (addr: string, len: number) => ({ prefix: { addr, len } });
  assert.deepEqual(
    [...list("set", ["10.0.0.1", { concat: [prefix("10.0.1.0", 24), "10.0.1.1"] }])],
    [
      ["10.0.0.1", ""],
      ["10.0.1.0/24 . 10.0.1.1", ""],
    ],
  );
  assert.deepEqual(
    [
      ...list("map", [
        [prefix("fd00::", 64), "fd00::1"],
        [16_386, 1_073_872_896],
      ]),
    ],
    [
      ["fd00::/64", "fd00::1"],
      ["16386", "1073872896"],
    ],
  );
  assert.equal(list("set", undefined).size, 0);
});

test("whatever the tools print, it is understood or a fault", () => {
  const texts = fc.oneof(
    fc.string(),
    fc.json(),
    fc.json().map((text) => `{"nftables":[{"set":{"elem":[${text}]}}]}`),
  );
  fc.assert(
    fc.property(texts, (text) => {
      for (const parse of [parseRecords, parseNft, parseElements]) {
        try {
          parse(text);
        } catch (error) {
          assert(error instanceof Fault, String(error));
        }
      }
    }),
  );
});
