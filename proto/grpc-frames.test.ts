/** Bodies of calls, whole and broken, however they are cut. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "./fault.ts";
import { FrameReader, frameOf } from "./grpc-frames.ts";

const bytesMax = 1_000;

function read(reader: FrameReader, body: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.map((cut) => cut % (body.length + 1)), body.length];
  places.sort((a, b) => a - b);
  return places.slice(1).flatMap((end, index) => reader.push(body.subarray(places[index], end)));
}

test("frames, messages come out as they went in, however their bytes are cut", () => {
  const messages = fc.array(fc.uint8Array({ maxLength: bytesMax }), { maxLength: 10 });
  fc.assert(
    fc.property(messages, fc.array(fc.nat(), { maxLength: 20 }), (messages, cuts) => {
      const body = Buffer.concat(messages.map((message) => frameOf(message, bytesMax)));
      const reader = new FrameReader(bytesMax);
      const got = read(reader, body, cuts).map((message) => [...message]);
      assert.deepEqual(
        got,
        messages.map((message) => [...message]),
      );
      assert.equal(reader.partial, false);
    }),
  );
});

test("frames, foreign bytes give messages within the limit or a Fault", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3_000 }), fc.array(fc.nat()), (bytes, cuts) => {
      try {
        const messages = read(new FrameReader(bytesMax), Buffer.from(bytes), cuts);
        assert(messages.every(({ length }) => length <= bytesMax));
      } catch (thrown) {
        assert(thrown instanceof Fault, String(thrown));
      }
    }),
  );
});

test("frames, one that is too large is refused by its length, before its bytes come", () => {
  const head = Buffer.from([0, 0, 0, 3, 233]);
  assert.throws(() => new FrameReader(bytesMax).push(head), { code: "resource-exhausted" });
  assert.throws(() => frameOf(new Uint8Array(1_001), bytesMax), { code: "resource-exhausted" });
});

test("frames, a compressed one is refused", () => {
  const head = Buffer.from([1, 0, 0, 0, 0]);
  assert.throws(() => new FrameReader(bytesMax).push(head), { code: "unimplemented" });
});
