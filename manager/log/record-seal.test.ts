import assert from "node:assert/strict";
import { test } from "node:test";
import { keyBytes, nonceBytes } from "#proto/seal.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { type RecordPlace, RecordSeal } from "./record-seal.ts";

const key = systemRandom.bytes(keyBytes);
const place: RecordPlace = { kind: "data", index: 7, term: 3 };

test("record seal, a record opens only where it belongs", () => {
  const seal = new RecordSeal(key, { random: systemRandom });
  const sealed = seal.seal(place, Buffer.from("body"));
  assert.deepEqual(Buffer.from(seal.open(place, sealed) ?? []), Buffer.from("body"));
  const elsewhere: RecordPlace[] = [
    { ...place, kind: "membership" },
    { ...place, index: 8 },
    { ...place, term: 2 },
    { ...place, index: 3, term: 7 },
    { ...place, index: 7 + 2 ** 32 },
  ];
  for (const other of elsewhere) assert.equal(seal.open(other, sealed), undefined);
});

test("record seal, no nonce comes twice, and another opening begins elsewhere", () => {
  const nonces = new Set<string>();
  for (let opening = 0; opening < 3; opening++) {
    const seal = new RecordSeal(key, { random: systemRandom });
    for (let count = 0; count < 1000; count++) {
      const sealed = seal.seal(place, new Uint8Array());
      nonces.add(Buffer.from(sealed.subarray(0, nonceBytes)).toString("hex"));
    }
  }
  assert.equal(nonces.size, 3000);
});
