import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decode, encode } from "dns-packet";
import * as fc from "fast-check";
import { encodeReply, parseMessage, type Query, responseCode } from "./message.ts";

function question(name: string, more: Parameters<typeof encode>[0] = {}): Buffer {
  return encode({
    type: "query",
    id: 7,
    flags: 0x100,
    questions: [{ type: "A", name, class: "IN" }],
    ...more,
  });
}

function parsed(bytes: Buffer): Query {
  const received = parseMessage(bytes);
  assert(received.kind === "query");
  return received;
}

function codeOf(bytes: Buffer): number {
  const received = parseMessage(bytes);
  assert(received.kind === "error");
  return received.reply.readUInt16BE(2) & 0xf;
}

const records = (count: number, name: string) =>
  Array.from({ length: count }, (_, index) => ({
    type: "A" as const,
    name,
    ttl: 5,
    data: `10.0.0.${index}`,
  }));

const edns = (udpPayloadSize: number) => ({
  type: "OPT" as const,
  name: "." as const,
  udpPayloadSize,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
});

describe("parseMessage()", () => {
  test("reads a query and keeps its capitals", () => {
    assert.deepEqual(parsed(question("WeB")), {
      kind: "query",
      id: 7,
      name: "WeB",
      type: "A",
      recursionDesired: true,
      edns: false,
      datagramBytesMax: 512,
    });
  });

  test("takes EDNS sizes between 512 and 1232", () => {
    const sizes = [0, 512, 1000, 4096].map(
      (size) => parsed(question("web", { additionals: [edns(size)] })).datagramBytesMax,
    );
    assert.deepEqual(sizes, [1232, 512, 1000, 1232]);
  });

  test("is silent on answers and on what has no header", () => {
    assert.equal(parseMessage(encode({ type: "response", id: 7 })).kind, "ignored");
    assert.equal(parseMessage(Buffer.alloc(11)).kind, "ignored");
  });

  test("refuses what it does not serve with the code that RFC 1035 has for it", () => {
    assert.equal(codeOf(question("web").subarray(0, 14)), responseCode.formatError);
    assert.equal(codeOf(encode({ type: "query", id: 1 })), responseCode.formatError);
    const chaos = encode({
      type: "query",
      questions: [{ type: "TXT", name: "version.bind", class: "CH" }],
    });
    assert.equal(codeOf(chaos), responseCode.refused);
    const update = question("web");
    update.writeUInt16BE(5 << 11, 2);
    assert.equal(codeOf(update), responseCode.notImplemented);
  });

  test("refuses a dot inside a label, which no answer could repeat", () => {
    const bytes = question("axb");
    bytes[14] = ".".charCodeAt(0);
    assert.equal(codeOf(bytes), responseCode.formatError);
  });

  test("never throws, whatever arrives", () => {
    const base = question("tasks.web.example", { additionals: [edns(1232)] });
    const mutated = fc
      .array(fc.tuple(fc.nat(base.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 8 })
      .map((changes) => {
        const bytes = Buffer.from(base);
        for (const [offset, value] of changes) bytes[offset] = value;
        return bytes;
      });
    const noise = fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes));
    const cut = fc.nat(base.length).map((length) => base.subarray(0, length));
    fc.assert(
      fc.property(fc.oneof(mutated, noise, cut), (bytes) => {
        const received = parseMessage(bytes);
        if (received.kind !== "query") return;
        const reply = encodeReply(received, { code: 0, records: records(3, received.name) }, 512);
        assert(reply.length <= 512 || received.name.length > 400);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("encodeReply()", () => {
  test("carries all records when they fit", () => {
    const reply = decode(
      encodeReply(parsed(question("web")), { code: 0, records: records(3, "web") }, 512),
    );
    assert.equal(reply.answers?.length, 3);
    assert.equal(reply.flag_tc, false);
    assert.equal(reply.flag_aa, true);
    assert.equal(reply.id, 7);
  });

  test("is cut at the limit and says so", () => {
    const bytes = encodeReply(
      parsed(question("web")),
      { code: 0, records: records(100, "web") },
      512,
    );
    assert(bytes.length <= 512);
    const reply = decode(bytes);
    assert.equal(reply.flag_tc, true);
    assert((reply.answers?.length ?? 0) > 10);
  });
});
