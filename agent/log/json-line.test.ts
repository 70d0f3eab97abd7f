import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { LogStream } from "#proto/gen/swarm/v1/control_pb.ts";
import { attributesText, jsonLines } from "./json-line.ts";

const timestampNs = BigInt(Date.UTC(2026, 0, 31, 12)) * 1_000_000n;

function textOf(data: Buffer, attributes = {}, ns = 0n): string {
  const line = { timestampNs: timestampNs + ns, stream: LogStream.STDOUT, data, partial: false };
  return jsonLines(line, attributesText(attributes));
}

test("json line, escapes, attributes and times: Docker's bytes", () => {
  const data = Buffer.from('a\t\\t<b> & "c"\\ é\u2028\x1b[0m\x7f');
  assert.equal(
    textOf(data, { tag: "<é>", STAGE: "a\tb" }, 120_000_000n),
    String.raw`{"log":"a\u0009\\t\u003cb\u003e \u0026 \"c\"\\ é\u2028\u001b[0m${"\x7f"}\n","stream":"stdout","attrs":{"STAGE":"a\tb","tag":"\u003cé\u003e"},"time":"2026-01-31T12:00:00.12Z"}${"\n"}`,
  );
  assert.match(textOf(data), /"time":"2026-01-31T12:00:00Z"}\n$/);
});

test("json line, bytes that are no UTF-8: each is one replacement character", () => {
  // A character that is cut off, one written too long, and half of a pair.
  const data = Buffer.from([0xe2, 0x82, 0x2e, 0xc0, 0xaf, 0x2e, 0xed, 0xa0, 0x80]);
  assert.match(textOf(data), /^\{"log":"(\\ufffd){2}\.(\\ufffd){2}\.(\\ufffd){3}\\n"/);
});

test("json line, a long line: several objects, the last with its end", () => {
  const data = Buffer.alloc(40_000, "y");
  const logs = textOf(data)
    .trimEnd()
    .split("\n")
    .map((text) => JSON.parse(text).log);
  assert.deepEqual(
    logs.map(({ length }) => length),
    [16_384, 16_384, 40_000 - 2 * 16_384 + 1],
  );
  assert.equal(logs.join(""), `${data.toString()}\n`);
});

test("json line, any text: read again as it was; any bytes: JSON", () => {
  const unit = fc.constantFrom(
    "a",
    "\0",
    "\t",
    '"',
    "\\",
    "<",
    "\x7f",
    "\x80",
    "é",
    "\u2029",
    "😀",
  );
  fc.assert(
    fc.property(fc.string({ unit }), fc.uint8Array(), (text, bytes) => {
      assert.equal(JSON.parse(textOf(Buffer.from(text))).log, `${text}\n`);
      assert.match(JSON.parse(textOf(Buffer.from(bytes))).log, /\n$/);
    }),
  );
});
