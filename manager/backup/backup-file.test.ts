import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { newUnlockKey } from "#proto/unlock-key.ts";
import { encodeBackup, parseBackup } from "./backup-file.ts";

const open = { unlockKey: "", random: systemRandom };
const header = { clusterId: "1".repeat(25), index: 42n, takenAtMs: 1_767_323_045_000 };

function encode(pieces: readonly Uint8Array[], sealing = open): Buffer {
  return Buffer.concat([...encodeBackup(header, pieces, sealing)]);
}

const somePieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 10 });

test("backup file, what was written is read", () => {
  fc.assert(
    fc.property(somePieces, (pieces) => {
      const backup = parseBackup(encode(pieces), "");
      assert.deepEqual(
        { ...backup, pieces: backup.pieces.length },
        { ...header, pieces: pieces.length },
      );
      for (const [index, piece] of pieces.entries()) {
        assert.ok(Buffer.from(piece).equals(backup.pieces[index] ?? Buffer.alloc(0)));
      }
    }),
  );
});

test("backup file, cut off anywhere it is refused", () => {
  fc.assert(
    fc.property(somePieces, fc.nat(), (pieces, at) => {
      const file = encode(pieces);
      assert.throws(() => parseBackup(file.subarray(0, at % file.length), ""), Fault);
    }),
  );
});

test("backup file, with any byte changed it is refused", () => {
  fc.assert(
    fc.property(somePieces, fc.nat(), fc.integer({ min: 1, max: 255 }), (pieces, at, change) => {
      const file = encode(pieces);
      const place = at % file.length;
      file.writeUInt8(file.readUInt8(place) ^ change, place);
      assert.throws(() => parseBackup(file, ""), Fault);
    }),
  );
});

test("backup file, what is none is refused whatever it is", () => {
  const magic = Buffer.from("SWARMBAK\0\0\0\x01", "latin1");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, begins) => {
      assert.throws(() => parseBackup(begins ? Buffer.concat([magic, bytes]) : bytes, ""), Fault);
    }),
  );
});

const faults: readonly [string, (file: Buffer) => Buffer, RegExp][] = [
  ["of another program", () => Buffer.from("PK\x03\x04"), /^it is not a cluster's backup$/],
  [
    "of a later version",
    (file) => Buffer.concat([file.subarray(0, 11), Buffer.from([9]), file.subarray(12)]),
    /^it is of version 9, and this program reads versions 1 and 2/,
  ],
  ["without its end", (file) => file.subarray(0, -1), /damaged: its end is missing/],
  [
    "with something behind its end",
    (file) => Buffer.concat([file, Buffer.from("x")]),
    /damaged: something follows its end/,
  ],
  [
    "with another checksum",
    (file) => Buffer.concat([file.subarray(0, -1), Buffer.from([(file.at(-1) ?? 0) ^ 1])]),
    /damaged: its checksum is another/,
  ],
];
for (const [what, change, message] of faults) {
  test(`backup file, one ${what} is named so`, () => {
    assert.throws(() => parseBackup(change(encode([Buffer.from("piece")])), ""), { message });
  });
}

test("backup file, a checksum that fits does not make sense of a header that has none", () => {
  const bad = { ...header, clusterId: "no ID" };
  assert.throws(
    () => parseBackup(Buffer.concat([...encodeBackup(bad, [], open)]), ""),
    /header makes no sense/,
  );
});

const locked = { unlockKey: newUnlockKey(systemRandom), random: systemRandom };

test("backup file, of managers that lock themselves it is read with their unlock key alone", () => {
  fc.assert(
    fc.property(somePieces, (pieces) => {
      const file = encode(pieces, locked);
      const backup = parseBackup(file, locked.unlockKey);
      assert.equal(backup.index, header.index);
      assert.deepEqual(backup.pieces.map(hex), pieces.map(hex));
    }),
    { numRuns: 30 },
  );
  const file = encode([Buffer.from("the secret of a service")], locked);
  assert.ok(!file.includes("the secret"));
  assert.throws(() => parseBackup(file, ""), {
    message: /lock themselves: give their unlock key, with --unlock$/,
  });
  assert.throws(() => parseBackup(file, newUnlockKey(systemRandom)), {
    message: /the unlock key is not the one that the cluster had/,
  });
});

test("backup file, a sealed part that is left out or exchanged is noticed, whoever makes the digest right", () => {
  const pieces = ["one", "two", "three"].map((text) => Buffer.from(text));
  const file = encode(pieces, locked);
  const records = recordsOf(file);
  const [first = Buffer.alloc(0), a = first, b = first, ...rest] = records;
  for (const forged of [
    [first, b, a, ...rest],
    [first, a, ...rest],
    [first, a, b],
    [first, ...rest],
  ]) {
    assert.throws(() => parseBackup(refile(file, forged), locked.unlockKey), { code: "data-loss" });
  }
  assert.equal(parseBackup(refile(file, records), locked.unlockKey).pieces.length, 3);
});

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** The header and the pieces. */
function recordsOf(file: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 12; file.readUInt32BE(at) > 0; at += 4 + file.readUInt32BE(at)) {
    records.push(file.subarray(at, at + 4 + file.readUInt32BE(at)));
  }
  return records;
}

function refile(file: Buffer, records: readonly Buffer[]): Buffer {
  const body = Buffer.concat([file.subarray(0, 12), ...records, Buffer.alloc(4)]);
  return Buffer.concat([body, createHash("sha256").update(body).digest()]);
}
