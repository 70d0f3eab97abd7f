import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { emptyNotes, filterLayer } from "./tar-filter.ts";
import { parseHeader, parsePax, encodePax } from "./tar-header.ts";
import { tarOf } from "./testing/test-tar.ts";

async function* inPieces(bytes: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let start = 0; start < bytes.length; start += pieceBytes) {
    yield bytes.subarray(start, start + pieceBytes);
  }
}

async function filter(bytes: Buffer, pieceBytes = 65_536) {
  const notes = emptyNotes();
  const chunks: Buffer[] = [];
  for await (const chunk of filterLayer(inPieces(bytes, pieceBytes), { notes })) chunks.push(chunk);
  return { bytes: Buffer.concat(chunks), notes };
}

const layer = tarOf([
  { name: "a/", type: "5" },
  { name: "a/file", content: "content" },
  { name: "x", pax: { path: "long/".repeat(50), "SCHILY.xattr.trusted.x": "y" }, type: "5" },
  { name: "a/.wh.gone" },
  { name: "a/.wh..wh..opq" },
]);

describe("the filter of a layer", () => {
  test("fed in pieces of any size, does the same", async () => {
    const whole = await filter(layer);
    assert.deepEqual([...whole.notes.removed], ["a/gone"]);
    assert.deepEqual([...whole.notes.opaque], ["a"]);
    for (const pieceBytes of [1, 7, 511, 512, 513]) {
      assert.deepEqual(await filter(layer, pieceBytes), whole);
    }
  });

  test("fed its own output, changes nothing but adds its first entry again", async () => {
    const once = (await filter(layer)).bytes;
    const twice = (await filter(once)).bytes;
    assert.ok(twice.subarray(twice.length - once.length).equals(once));
  });

  test("takes nothing that removes the folder it is in", async () => {
    for (const name of [".wh.", ".wh..", ".wh...", "a/.wh..."]) {
      await assert.rejects(filter(tarOf([{ name }])), /removes nothing/);
    }
  });

  test("takes no link to a name that is longer than any, and follows none for ever", async () => {
    const link = (name: string, linkpath: string) => ({ name, type: "2", pax: { linkpath } });
    const long = tarOf([link("l", "a/".repeat(100_000)), { name: "l/x" }]);
    const chain = Array.from({ length: 9 }, (_, at) =>
      link(`l${at}`, `${"./".repeat(999)}l${at + 1}`),
    );
    const began = performance.now();
    await assert.rejects(filter(long), /a link to a name that is too long/);
    await assert.rejects(filter(tarOf([...chain, { name: "l0/x" }])), /too many links/);
    assert.ok(performance.now() - began < 5000);
  });

  test("remembers so many bytes of a layer's names, and no more", async () => {
    const parts = Array.from({ length: 15 }, (_, at) => String(at).repeat(250).slice(0, 250));
    async function* folders() {
      for (let at = 0; at < 100_000; at += 1) {
        const path = `${at}/${parts.join("/")}`;
        yield tarOf([{ name: "x", type: "5", pax: { path } }]).subarray(0, -1024);
      }
    }
    const work = async () => {
      for await (const _chunk of filterLayer(folders(), { notes: emptyNotes() }));
    };
    await assert.rejects(work, /too many or too long/);
  });

  test("fed a layer with a byte changed or cut off, ends with a Fault or well", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(layer.length - 1),
        fc.nat(255),
        fc.nat(layer.length),
        async (at, value, end) => {
          const bytes = Buffer.from(layer.subarray(0, end));
          if (at < end) bytes[at] = value;
          try {
            await filter(bytes);
          } catch (error) {
            assert.ok(
              error instanceof Fault && error.code === "failed-precondition",
              String(error),
            );
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("tar's extended header", () => {
  test("of any records, is read as it was written", () => {
    const key = fc.string({ minLength: 1, unit: fc.constantFrom("a", ".", "é", " ") });
    const value = fc.string({ unit: fc.constantFrom("v", "=", "\n", "0", "\u00ff") });
    fc.assert(
      fc.property(fc.array(fc.tuple(key, value), { minLength: 1 }), (pairs) => {
        const records = new Map(pairs);
        const [header = Buffer.alloc(512), body = Buffer.alloc(0)] = encodePax(records);
        assert.equal(parseHeader(header).sizeBytes, body.length);
        assert.deepEqual(parsePax(body), records);
      }),
    );
  });

  test("of any bytes, is refused by a Fault or read", () => {
    const bytes = fc.oneof(
      fc.uint8Array(),
      fc
        .string({ unit: fc.constantFrom("1", "2", " ", "=", "\n", "a") })
        .map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(bytes, (input) => {
        try {
          parsePax(Buffer.from(input));
        } catch (error) {
          assert.ok(error instanceof Fault, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
