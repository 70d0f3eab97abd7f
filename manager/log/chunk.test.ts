import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { encodeChunk, parseChunk } from "./chunk.ts";

test("chunk, gives back the pieces that it was made of", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array()), (pieces) => {
      const parsed = parseChunk(encodeChunk(pieces));
      assert.deepEqual(
        parsed.map((piece) => Uint8Array.from(piece)),
        pieces,
      );
    }),
  );
});

test("chunk, any bytes are either the one encoding of some pieces or refused", () => {
  const short = fc.uint8Array({ max: 3, maxLength: 40 });
  fc.assert(
    fc.property(fc.oneof(short, fc.uint8Array()), (bytes) => {
      try {
        assert.deepEqual(encodeChunk(parseChunk(bytes)), Uint8Array.from(bytes));
      } catch (thrown) {
        assert.ok(thrown instanceof Fault && thrown.code === "invalid-argument", String(thrown));
      }
    }),
    { numRuns: 1000 },
  );
});

test("chunk, one that is cut short inside a piece is refused", () => {
  const chunk = encodeChunk([Buffer.from("first"), Buffer.from("second")]);
  const whole = [0, 9, chunk.length];
  for (let length = 0; length <= chunk.length; length++) {
    const parse = () => parseChunk(chunk.subarray(0, length));
    if (whole.includes(length)) assert.equal(parse().length, whole.indexOf(length));
    else assert.throws(parse, { code: "invalid-argument", message: /cut off at byte/ });
  }
});
