import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { parseTimes } from "./attach.ts";

test("bench network, what a shell's children used is read from its count", () => {
  assert.equal(parseTimes("0m9.0s 0m9.0s\n1m0.250000s 0m1.500000s\n"), 61_750);
});

test("bench network, a shell that counts nothing is a Fault", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.throws(() => parseTimes(text), Fault);
    }),
  );
});
