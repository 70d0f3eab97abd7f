import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { RaftEntrySchema, RaftMessageSchema } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Entry, Member, Membership, Message, MessageBody } from "../raft/contract.ts";
import { decodeMessage, encodeMessage } from "./codec.ts";
import { seal, unseal } from "./envelope.ts";
import { contextOf } from "./member.ts";

const count = fc.maxSafeNat();
const id = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const data = fc.uint8Array({ maxLength: 50 });
const small = fc.nat({ max: 2 ** 32 - 1 });

const member: fc.Arbitrary<Member> = fc.record({
  id,
  voter: fc.boolean(),
  context: fc.record({ nodeId: fc.string(), address: fc.string() }).map(contextOf),
});

const membership: fc.Arbitrary<Membership> = fc
  .record({ members: fc.array(member, { maxLength: 7 }), removed: fc.array(id, { maxLength: 3 }) })
  .filter(({ members, removed }) => {
    const ids = [...removed, ...members.map((member) => member.id)];
    return new Set(ids).size === ids.length;
  });

const place = { term: count, index: count };
const entry: fc.Arbitrary<Entry> = fc.oneof(
  fc.record({ ...place, kind: fc.constant("term-start" as const) }),
  fc.record({ ...place, kind: fc.constant("data" as const), data }),
  fc.record({ ...place, kind: fc.constant("membership" as const), membership }),
);

const meta = fc.record({ ...place, membership });
const bool = fc.boolean();

const body: fc.Arbitrary<MessageBody> = fc.oneof(
  fc.record({
    kind: fc.constant("vote" as const),
    pre: bool,
    lastIndex: count,
    lastTerm: count,
    transfer: bool,
  }),
  fc.record({ kind: fc.constant("vote-reply" as const), pre: bool, granted: bool }),
  fc.record({
    kind: fc.constant("append" as const),
    prevIndex: count,
    prevTerm: count,
    entries: fc.array(entry, { maxLength: 5 }),
    commit: count,
    round: count,
    electionMs: small,
  }),
  fc.record({
    kind: fc.constant("append-reply" as const),
    success: bool,
    index: count,
    hintTerm: count,
    round: count,
  }),
  fc.record({
    kind: fc.constant("snapshot-chunk" as const),
    meta,
    chunk: small,
    data,
    last: bool,
    round: count,
  }),
  fc.record({
    kind: fc.constant("snapshot-reply" as const),
    index: count,
    nextChunk: small,
    installed: bool,
    round: count,
  }),
  fc.record({ kind: fc.constant("timeout-now" as const) }),
);

const message: fc.Arbitrary<Message> = fc
  .record({ from: id, to: id, term: count, body })
  .map(({ body, ...rest }) => ({ ...rest, ...body }));

function read(bytes: Uint8Array): Message {
  return decodeMessage(fromBinary(RaftMessageSchema, bytes));
}

test("codec, every message of the core arrives as it was sent", () => {
  fc.assert(
    fc.property(message, (message) => {
      const bytes = toBinary(RaftMessageSchema, encodeMessage(message));
      assert.deepEqual(plain(read(bytes)), plain(message));
    }),
  );
});

test("codec, damaged messages are Faults or something that the core can be told", () => {
  const damage = fc.record({ at: fc.nat(), to: fc.nat({ max: 255 }), cut: fc.nat() });
  fc.assert(
    fc.property(message, damage, (message, { at, to, cut }) => {
      const bytes = toBinary(RaftMessageSchema, encodeMessage(message));
      bytes[at % bytes.length] = to;
      checkForeign(bytes.subarray(0, cut % (bytes.length + 1)));
      checkForeign(bytes);
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), checkForeign));
});

/** What is not protobuf the transport refuses; what is must come out whole, or as a Fault. */
function checkForeign(bytes: Uint8Array): void {
  let wire: ReturnType<typeof fromBinary<typeof RaftMessageSchema>>;
  try {
    wire = fromBinary(RaftMessageSchema, bytes);
  } catch {
    return;
  }
  try {
    const { from, to, term } = decodeMessage(wire);
    for (const number of [from, to, term]) assert.ok(Number.isSafeInteger(number) && number >= 0);
    assert.ok(from > 0 && to > 0);
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    assert.equal(thrown.code, "invalid-argument");
  }
}

test("codec, numbers that would not be exact are refused", () => {
  const good = encodeMessage({ from: 1, to: 2, term: 3, kind: "timeout-now" });
  assert.equal(decodeMessage(good).term, 3);
  for (const value of [2n ** 53n, 2n ** 64n - 1n]) {
    assert.throws(() => decodeMessage({ ...good, term: value }), { code: "invalid-argument" });
    assert.throws(() => decodeMessage({ ...good, from: value }), { code: "invalid-argument" });
  }
  assert.throws(() => decodeMessage({ ...good, from: 0n }), /ID is 0/);
  assert.throws(() => decodeMessage({ ...good, body: { case: undefined } }), /says nothing/);
});

test("envelope, a proposal's ID and data come back as they went in", () => {
  const nonce = fc.nat({ max: 2 ** 48 - 1 });
  fc.assert(
    fc.property(id, nonce, nonce, data, (server, nonce, sequence, data) => {
      const opened = unseal(seal({ server, nonce, sequence }, data));
      assert.deepEqual(opened.id, { server, nonce, sequence });
      assert.deepEqual([...opened.data], [...data]);
    }),
  );
});

test("envelope, what is not one is data loss", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      if (bytes[0] === 1 && bytes.length >= 20) return;
      assert.throws(() => unseal(bytes), { code: "data-loss" });
    }),
  );
});

/** Bytes compared as such, whatever kind of array holds them. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, inner: unknown) =>
      inner instanceof Uint8Array ? Buffer.from(inner).toString("hex") : inner,
    ),
  );
}

test("codec, an entry of a kind that a newer version knows is not taken for the beginning of a term", () => {
  const newer = create(RaftEntrySchema, { term: 1n, index: 1n });
  newer.$unknown = [{ no: 100, wireType: WireType.Varint, data: Uint8Array.of(1) }];
  const message = create(RaftMessageSchema, {
    from: 1n,
    to: 2n,
    term: 1n,
    body: { case: "append", value: { entries: [newer] } },
  });
  assert.throws(() => decodeMessage(message), /an entry is of a newer version: install it here/);
});
