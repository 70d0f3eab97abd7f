import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decode, encode } from "dns-packet";
import * as fc from "fast-check";
import {
  encodeRecord,
  encodeReply,
  parseMessage,
  type Query,
  recordType,
  responseCode,
} from "./message.ts";
import { addressOfReverseName, encodeName, textOfName } from "./wire-name.ts";

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

const records = (count: number) =>
  Array.from({ length: count }, (_, index) =>
    encodeRecord({
      type: recordType.a,
      ttlSeconds: 5,
      data: Buffer.from([10, 0, index >> 8, index & 255]),
    }),
  );

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
  test("reads a query and keeps its capitals in the question", () => {
    const query = parsed(question("WeB"));
    assert.equal(textOfName(query.name), "web");
    assert.equal(query.question.toString("latin1"), "\x03WeB\0\0\x01\0\x01");
    const { id, type, recursionDesired, checkingDisabled, edns, datagramBytesMax } = query;
    assert.deepEqual(
      { id, type, recursionDesired, checkingDisabled, edns, datagramBytesMax },
      {
        id: 7,
        type: recordType.a,
        recursionDesired: true,
        checkingDisabled: false,
        edns: undefined,
        datagramBytesMax: 512,
      },
    );
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

  test("tells several questions, answers in a query and pointers from a query", () => {
    const questions = [{ type: "A" as const, name: "a" }];
    const two = encode({ type: "query", questions: [...questions, ...questions] });
    const answers = [{ type: "A" as const, name: "a", data: "10.0.0.1" }];
    const answered = encode({ type: "query", questions, answers });
    const pointing = question("web");
    pointing[12] = 0xc0;
    const options = encode({ type: "query", questions, additionals: [edns(512), edns(512)] });
    for (const bytes of [two, answered, pointing, options]) {
      assert.equal(codeOf(bytes), responseCode.formatError);
    }
  });

  test("refuses transfers of zones", () => {
    const transfer = encode({ type: "query", questions: [{ type: "AXFR", name: "web" }] });
    assert.equal(codeOf(transfer), responseCode.refused);
  });

  test("says which version of EDNS it speaks to who has a later one", () => {
    const bytes = question("web", { additionals: [{ ...edns(1232), ednsVersion: 1 }] });
    const received = parseMessage(bytes);
    assert(received.kind === "error" && received.reply.length <= bytes.length);
    const [options] = decode(received.reply).additionals ?? [];
    assert(options?.type === "OPT");
    assert.deepEqual([options.extendedRcode, options.ednsVersion], [1, 0]);
  });

  test("keeps a dot inside a label from being one between labels", () => {
    const bytes = question("axb");
    bytes[14] = ".".charCodeAt(0);
    assert.equal(textOfName(parsed(bytes).name), "a\\.b");
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
        if (received.kind === "error") assert(received.reply.length <= bytes.length);
        if (received.kind !== "query") return;
        const reply = encodeReply(received, { code: 0, answers: records(20) }, 512);
        assert(reply.length <= 512);
        assert.equal(parseMessage(reply).kind, "ignored");
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("encodeReply()", () => {
  test("carries all records when they fit", () => {
    const reply = decode(
      encodeReply(parsed(question("web")), { code: 0, answers: records(3) }, 512),
    );
    assert.equal(reply.answers?.length, 3);
    assert.equal(reply.flag_tc, false);
    assert.equal(reply.flag_aa, true);
    assert.equal(reply.id, 7);
  });

  test("is cut at the limit and says so", () => {
    const bytes = encodeReply(parsed(question("web")), { code: 0, answers: records(100) }, 512);
    assert(bytes.length <= 512);
    const reply = decode(bytes);
    assert.equal(reply.flag_tc, true);
    assert.equal(reply.answers?.length, 30);
  });

  test("repeats EDNS, and the wish for signatures, to who speaks it, and leaves out what need not fit", () => {
    const query = parsed(question("web", { additionals: [{ ...edns(512), flags: 0x8000 }] }));
    const bytes = encodeReply(
      query,
      { code: 0, answers: records(2), additionals: records(60) },
      512,
    );
    assert(bytes.length <= 512);
    const { answers, additionals = [], flag_tc: truncated } = decode(bytes);
    assert.equal(truncated, false);
    assert.equal(answers?.length, 2);
    assert(additionals.length > 20 && additionals.length < 60);
    const options = additionals.at(-1);
    assert(options?.type === "OPT" && options.flag_do && options.udpPayloadSize === 1232);
  });
});

test("encodeName() and textOfName() are each other's reverse; what is too long is no name", () => {
  for (const name of ["web", "tasks.web.front", `${"a".repeat(63)}.b`]) {
    assert.equal(textOfName(encodeName(name)?.toString("latin1") ?? ""), name);
  }
  for (const name of ["", "a..b", "a".repeat(64), "abcdefg.".repeat(32)]) {
    assert.equal(encodeName(name), undefined, name);
  }
});

test("addressOfReverseName() reads whole addresses of both families alone", () => {
  assert.equal(addressOfReverseName("2.1.0.10.in-addr.arpa"), "10.0.1.2");
  const six = `1.${"0.".repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`;
  assert.equal(addressOfReverseName(six), "2001:db8::1");
  for (const name of ["1.0.10.in-addr.arpa", "256.0.0.10.in-addr.arpa", "web", "1.ip6.arpa"]) {
    assert.equal(addressOfReverseName(name), undefined, name);
  }
});
