import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Answer as PacketAnswer, decode, encode, type Packet } from "dns-packet";
import * as fc from "fast-check";
import { systemRandom } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { type Answer, lifetimeOf, parseAnswer, tailorAnswer } from "./answer.ts";
import { AnswerCache } from "./answer-cache.ts";
import { parseMessage, type Query } from "./message.ts";
import { Shuffler } from "./shuffler.ts";

const options: PacketAnswer = {
  type: "OPT",
  name: ".",
  udpPayloadSize: 4096,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

function question(more: Packet = {}): Query {
  const questions = [{ type: "A" as const, name: "Example.test" }];
  const received = parseMessage(encode({ type: "query", id: 7, flags: 0x100, questions, ...more }));
  assert(received.kind === "query");
  return received;
}

const query = question();
const addresses = (count: number): PacketAnswer[] =>
  Array.from({ length: count }, (_, index) => ({
    type: "A",
    name: "example.test",
    ttl: 60 + index,
    data: `192.0.2.${index}`,
  }));
const origin: PacketAnswer = {
  type: "SOA",
  name: "test",
  ttl: 900,
  data: {
    mname: "ns.test",
    rname: "root.test",
    serial: 1,
    refresh: 2,
    retry: 3,
    expire: 4,
    minimum: 30,
  },
};

const reply = (more: Packet) =>
  encode({
    type: "response",
    id: 99,
    flags: 0x0480,
    questions: [{ type: "A", name: "example.test" }],
    ...more,
  });

function parsed(more: Packet): Answer {
  const answer = parseAnswer(reply(more), query.question);
  assert(answer !== undefined);
  return answer;
}

const shuffler = new Shuffler(systemRandom);
const tailored = (answer: Answer, asked = query, bytesMax = 1232, ageSeconds = 0) =>
  decode(tailorAnswer(answer, asked, { ageSeconds, bytesMax, shuffler }));
const dataOf = ({ answers = [] }: Packet) =>
  answers.map((answer) => ("data" in answer && typeof answer.data === "string" ? answer.data : ""));

describe("tailorAnswer()", () => {
  test("gives the asker his ID, his capitals, his flags and no authority of ours", () => {
    const answer = tailored(parsed({ answers: addresses(1) }));
    assert.equal(answer.id, 7);
    assert.equal(answer.questions?.[0]?.name, "Example.test");
    assert.deepEqual([answer.flag_rd, answer.flag_ra, answer.flag_aa], [true, true, false]);
  });

  test("takes out the nameserver's EDNS and puts in ours where the asker speaks it", () => {
    const answer = parsed({ answers: addresses(1), additionals: [options] });
    assert.deepEqual(tailored(answer).additionals, []);
    const [own] = tailored(answer, question({ additionals: [options] })).additionals ?? [];
    assert(own?.type === "OPT" && own.udpPayloadSize === 1232);
  });

  test("shuffles addresses and leaves everything else where it is", () => {
    const alias: PacketAnswer = { type: "CNAME", name: "example.test", ttl: 9, data: "www.test" };
    const rest = addresses(5).map((answer) => ({ ...answer, name: "www.test", ttl: 60 }));
    const answer = parsed({ answers: [alias, ...(rest as PacketAnswer[])], authorities: [origin] });
    const seen = new Set<string>();
    for (let round = 0; round < 50; round += 1) {
      const packet = tailored(answer);
      const [first, ...others] = dataOf(packet);
      assert.equal(first, "www.test");
      assert.deepEqual(others.toSorted(), dataOf({ answers: addresses(5) }));
      assert.equal(packet.authorities?.length, 1);
      seen.add(others.join());
    }
    assert(seen.size > 5);
  });

  test("counts times to live down, not below nothing", () => {
    const { answers = [] } = tailored(parsed({ answers: addresses(2) }), query, 1232, 60);
    assert.deepEqual(
      answers.map((answer) => "ttl" in answer && answer.ttl),
      [0, 1],
    );
  });

  test("is cut between records for who takes little, and says so unless it is additional", () => {
    const long = tailored(parsed({ answers: addresses(60), authorities: [origin] }), query, 512);
    assert(long.flag_tc && (long.answers?.length ?? 0) > 10 && long.authorities?.length === 0);
    const extra = tailored(
      parsed({ answers: addresses(1), additionals: addresses(60) }),
      query,
      512,
    );
    assert(!extra.flag_tc && extra.answers?.length === 1);
  });
});

describe("lifetimeOf()", () => {
  test("is the shortest time to live; of what is not there, the zone's own", () => {
    assert.equal(lifetimeOf(parsed({ answers: addresses(3) })), 60);
    assert.equal(lifetimeOf(parsed({ flags: 3, authorities: [origin] })), 30);
    assert.equal(lifetimeOf(parsed({ authorities: [origin] })), 30);
    const eternal = addresses(1).map((answer) => ({ ...answer, ttl: 1_000_000 }));
    assert.equal(lifetimeOf(parsed({ answers: eternal })), 3_600);
  });

  test("is nothing where nobody said for how long, of parts, and of failures", () => {
    assert.equal(lifetimeOf(parsed({})), 0);
    assert.equal(lifetimeOf(parsed({ flags: 0x200, answers: addresses(1) })), 0);
    assert.equal(lifetimeOf(parsed({ flags: 2, answers: addresses(1) })), 0);
  });
});

test("parseAnswer() and tailorAnswer() take whatever arrives", () => {
  const base = reply({ answers: addresses(3), authorities: [origin], additionals: [options] });
  const mutated = fc
    .array(fc.tuple(fc.nat(base.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 8 })
    .map((changes) => {
      const bytes = Buffer.from(base);
      for (const [offset, value] of changes) bytes[offset] = value;
      return bytes;
    });
  const noise = fc
    .uint8Array({ maxLength: 300 })
    .map((bytes) => Buffer.concat([base.subarray(0, 30), bytes]));
  const cut = fc.nat(base.length).map((length) => base.subarray(0, length));
  fc.assert(
    fc.property(fc.oneof(mutated, noise, cut), fc.integer({ min: 64, max: 1232 }), (bytes, max) => {
      const answer = parseAnswer(bytes, query.question);
      if (answer === undefined) return;
      assert(lifetimeOf(answer) >= 0);
      const given = tailorAnswer(answer, query, { ageSeconds: 1, bytesMax: max, shuffler });
      assert(given.length <= max);
      assert(parseAnswer(given, query.question) !== undefined);
    }),
    { numRuns: 2_000 },
  );
});

test("AnswerCache forgets the least used when it is full", () => {
  const cache = new AnswerCache({ clock: new FakeClock() });
  const answer = parsed({ answers: addresses(1) });
  cache.put("first", answer);
  cache.put("second", answer);
  for (let index = 0; index < 9_999; index += 1) {
    assert(cache.get("first") !== undefined);
    cache.put(String(index), answer);
  }
  assert.equal(cache.get("second"), undefined);
  assert(cache.get("first") !== undefined && cache.get("9998") !== undefined);
  const large = parsed({ answers: addresses(250) });
  for (let index = 0; index < 1_000; index += 1) cache.put(`large ${index}`, large);
  assert.equal(cache.get("first"), undefined);
  assert.equal(cache.get("large 0"), undefined);
  assert(cache.get("large 999") !== undefined);
});
