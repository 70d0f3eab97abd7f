/** Real sockets on loopback addresses, and a clock that stands still where times to live matter. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { describe, type TestContext, test } from "node:test";
import { decode, encode, type Packet } from "dns-packet";
import type { Clock } from "#proto/ports.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { tailorAnswer } from "./answer.ts";
import { Forwarder, type Outcome } from "./forwarder.ts";
import { parseMessage, type Query } from "./message.ts";
import { Shuffler } from "./shuffler.ts";
import { openUpstream, replyTo } from "./testing/upstream.ts";

const servfail = 2;

function question(name = "example.test", more: Packet = {}): Query {
  const received = parseMessage(
    encode({ type: "query", id: 77, flags: 0x100, questions: [{ type: "A", name }], ...more }),
  );
  assert(received.kind === "query");
  return received;
}

interface Wish {
  readonly port: number;
  readonly deadlineMs?: number;
  readonly clock?: Clock;
}

function forwarder({ port, deadlineMs = 1_000, clock }: Wish): Forwarder {
  return new Forwarder({ port, deadlineMs }, { clock: clock ?? systemClock, random: systemRandom });
}

const servers = ["127.88.0.2"];
const course = { asker: "a", servers };

function answerOf(outcome: Outcome | undefined, query = question()) {
  assert(typeof outcome === "object");
  const { answer, ageSeconds } = outcome;
  const shuffler = new Shuffler(systemRandom);
  return decode(tailorAnswer(answer, query, { ageSeconds, bytesMax: 1232, shuffler }));
}

async function silentPort(t: TestContext) {
  const silent = createSocket("udp4");
  silent.bind(0, "127.88.0.2");
  await once(silent, "listening");
  t.after(() => silent.close());
  return { silent, port: silent.address().port };
}

describe("Forwarder", () => {
  test("brings answers back under the asker's ID", async (t) => {
    using forward = forwarder(await openUpstream(t));
    const answer = answerOf(await forward.ask(question(), course));
    assert.equal(answer.id, 77);
    assert.equal(answer.answers?.length, 1);
  });

  test("asks from changing ports under changing IDs, and says what it can take", async (t) => {
    const upstream = await openUpstream(t);
    using forward = forwarder(upstream);
    for (let index = 0; index < 8; index += 1) {
      await forward.ask(question(`n${index}.test`), course);
    }
    const ids = new Set(upstream.asked.map(({ packet }) => packet.id));
    assert(ids.size > 4);
    const [options] = upstream.asked[0]?.packet.additionals ?? [];
    assert(options?.type === "OPT" && options.udpPayloadSize === 1232);
  });

  test("asks the next nameserver when one is not there, and that one first from then on", async (t) => {
    const clock = new FakeClock();
    const there = await openUpstream(t);
    using forward = forwarder({ port: there.port, clock });
    const course = { asker: "a", servers: ["127.88.0.3", "127.88.0.2"] };
    assert(typeof (await forward.ask(question("a.test"), course)) === "object");
    const late = await openUpstream(t, undefined, { address: "127.88.0.3", port: there.port });
    assert(typeof (await forward.ask(question("b.test"), course)) === "object");
    assert.equal(late.asked.length, 0);
    clock.advance(10_000);
    assert(typeof (await forward.ask(question("c.test"), course)) === "object");
    assert.equal(late.asked.length, 1);
  });

  test("asks the next nameserver when one has trouble, and passes trouble on when all have", async (t) => {
    const trouble = (asked: Buffer) => replyTo(asked, { answers: [], flags: servfail });
    const first = await openUpstream(t, trouble);
    const second = { address: "127.88.0.3", port: first.port };
    const both = [first.address, second.address];
    const course = { asker: "a", servers: both };
    {
      using forward = forwarder(first);
      const failed = answerOf(await forward.ask(question(), course)) as Packet & { rcode?: string };
      assert.equal(failed.rcode, "SERVFAIL");
      assert.equal(forward.recall(question(), both), undefined);
    }
    await openUpstream(t, undefined, second);
    using forward = forwarder(first);
    assert.equal(answerOf(await forward.ask(question(), course)).answers?.length, 1);
  });

  test("asks over TCP for what a datagram could not carry, and keeps the part where it cannot", async (t) => {
    const whole = await openUpstream(t, (asked, transport) =>
      transport === "tcp" ? replyTo(asked) : replyTo(asked, { answers: [], flags: 0x200 }),
    );
    using forward = forwarder(whole);
    assert.equal(answerOf(await forward.ask(question(), course)).answers?.length, 1);
    assert.deepEqual(
      whole.asked.map(({ transport }) => transport),
      ["udp", "tcp"],
    );
    const { silent, port } = await silentPort(t);
    silent.on("message", (asked, from) =>
      silent.send(replyTo(asked, { flags: 0x200 }), from.port, from.address),
    );
    using partial = forwarder({ port });
    const answer = answerOf(await partial.ask(question(), course));
    assert(answer.flag_tc && answer.answers?.length === 1);
    assert.equal(partial.recall(question(), servers), undefined);
  });

  test("asks without EDNS who does not know it", async (t) => {
    const old = await openUpstream(t, (asked) => {
      if (decode(asked).additionals?.length === 0) return replyTo(asked);
      const refusal = Buffer.from(asked.subarray(0, 12));
      refusal.writeUInt16BE(0x8001, 2);
      refusal.fill(0, 4);
      return refusal;
    });
    using forward = forwarder(old);
    assert.equal(answerOf(await forward.ask(question(), course)).answers?.length, 1);
  });

  test("takes no answer under another ID or to another question", async (t) => {
    const wrong = [
      (asked: Buffer) => {
        const bytes = replyTo(asked);
        bytes.writeUInt16BE(bytes.readUInt16BE(0) ^ 1, 0);
        return bytes;
      },
      (asked: Buffer) => replyTo(asked, { questions: [{ type: "A", name: "other.test" }] }),
      (asked: Buffer) => asked,
      (asked: Buffer) => replyTo(asked).subarray(0, -1),
    ];
    for (const behave of wrong) {
      using forward = forwarder({ ...(await openUpstream(t, behave)), deadlineMs: 30 });
      assert.equal(await forward.ask(question(), course), "failed");
    }
  });

  test("shares one question among those who ask it at the same time", async (t) => {
    const upstream = await openUpstream(t);
    using forward = forwarder(upstream);
    const names = ["example.test", "Example.TEST", "example.test"];
    const asking = names.map((name, index) =>
      forward.ask(question(name), { asker: String(index), servers }),
    );
    for (const outcome of await Promise.all(asking)) {
      assert.equal(answerOf(outcome).answers?.length, 1);
    }
    assert.equal(upstream.asked.length, 1);
  });

  test("keeps an answer for its time to live, and says how much of it is left", async (t) => {
    const clock = new FakeClock();
    const upstream = await openUpstream(t);
    using forward = forwarder({ ...upstream, clock });
    await forward.ask(question(), course);
    clock.advance(20_500);
    const ttls = answerOf(forward.recall(question(), servers)).answers?.map(
      (answer) => "ttl" in answer && answer.ttl,
    );
    assert.deepEqual(ttls, [40]);
    clock.advance(39_500);
    assert.equal(forward.recall(question(), servers), undefined);
  });

  test("tells who asks other nameservers nothing of what these said, and asks them in their order", async (t) => {
    const clock = new FakeClock();
    const there = await openUpstream(t);
    using forward = forwarder({ port: there.port, clock });
    const with3 = { asker: "a", servers: ["127.88.0.3", "127.88.0.2"] };
    const with4 = { asker: "b", servers: ["127.88.0.3", "127.88.0.4", "127.88.0.2"] };
    await forward.ask(question(), with3);
    assert(typeof forward.recall(question(), with3.servers) === "object");
    for (const others of [with4.servers, servers, []]) {
      assert.equal(forward.recall(question(), others), undefined);
    }
    const late = await openUpstream(t, undefined, { address: "127.88.0.3", port: there.port });
    await forward.ask(question("other.test"), with3);
    assert.equal(late.asked.length, 0);
    await forward.ask(question("other.test"), with4);
    assert.equal(late.asked.length, 1);
  });

  test("asks nameservers of both families", async (t) => {
    const six = await openUpstream(t, undefined, { address: "::1" });
    using forward = forwarder(six);
    const course = { asker: "a", servers: ["127.88.0.9", "::1"] };
    assert.equal(answerOf(await forward.ask(question(), course)).answers?.length, 1);
    assert.equal(six.asked.length, 1);
  });

  test("knows that there is nobody to ask", async () => {
    using forward = forwarder({ port: 1 });
    assert.equal(await forward.ask(question(), { asker: "a", servers: [] }), "no-upstream");
  });

  test("gives up at once when it is disposed", async (t) => {
    const { silent, port } = await silentPort(t);
    const forward = forwarder({ port, deadlineMs: 60_000 });
    const answer = forward.ask(question(), course);
    await once(silent, "message");
    forward[Symbol.dispose]();
    assert.equal(await answer, "failed");
  });

  test("takes no more questions than it has sockets for, and of one asker a part of them", async (t) => {
    const { port } = await silentPort(t);
    const forward = forwarder({ port, deadlineMs: 60_000 });
    const ask = (index: number, asker: string) =>
      forward.ask(question(`n${index}.test`), { asker, servers });
    const greedy = Array.from({ length: 256 }, (_, index) => ask(index, "greedy"));
    assert.equal(await ask(256, "greedy"), "failed");
    const others = Array.from({ length: 768 }, (_, index) => ask(1_000 + index, String(index)));
    assert.equal(await ask(257, "last"), "failed");
    forward[Symbol.dispose]();
    assert.deepEqual([...new Set(await Promise.all([...greedy, ...others]))], ["failed"]);
  });
});
