import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { keyBytes, seal, unseal } from "./seal.ts";
import { systemRandom } from "./system-ports.ts";

const key = systemRandom.bytes(keyBytes);
const as = Buffer.from("test");

test("seal, what was sealed opens with the same key and name, and with no other", () => {
  fc.assert(
    fc.property(fc.uint8Array(), (plain) => {
      const sealed = seal(key, as, plain, systemRandom);
      assert.deepEqual(Uint8Array.from(unseal(key, as, sealed) ?? [1]), plain);
      assert.equal(unseal(systemRandom.bytes(keyBytes), as, sealed), undefined);
      assert.equal(unseal(key, Buffer.from("tesT"), sealed), undefined);
    }),
  );
});

test("seal, the same value is never sealed to the same bytes", () => {
  const plain = Buffer.from("x");
  assert.notDeepEqual(seal(key, as, plain, systemRandom), seal(key, as, plain, systemRandom));
});

test("seal, every changed bit and every other length is found", () => {
  const sealed = seal(key, as, Buffer.from("four"), systemRandom);
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const changed = Uint8Array.from(sealed);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(unseal(key, as, changed), undefined, `bit ${bit}`);
  }
  for (let length = 0; length < sealed.length; length++) {
    assert.equal(unseal(key, as, sealed.subarray(0, length)), undefined);
  }
});

test("seal, any bytes are refused and not tripped over", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => unseal(key, as, bytes) === undefined));
});
