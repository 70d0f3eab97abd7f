import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { describe, type TestContext, test } from "node:test";
import { decode, encode } from "dns-packet";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { Forwarder } from "./forwarder.ts";
import { parseNameservers } from "./resolv-conf.ts";
import { StreamReader, streamMessage } from "./stream.ts";

const modules = { clock: systemClock, random: systemRandom };
const query = encode({ type: "query", id: 77, questions: [{ type: "A", name: "example.test" }] });

function reply(asked: Buffer): Buffer {
  const { id = 0, questions = [] } = decode(asked);
  return encode({
    type: "response",
    id,
    questions,
    answers: [{ type: "A", name: "example.test", data: "192.0.2.1" }],
  });
}

/** A nameserver on UDP and TCP of one port, on 127.88.0.2. */
async function upstream(t: TestContext, answer = reply): Promise<number> {
  const stream = createServer((socket) => {
    const reader = new StreamReader();
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      for (const message of reader.push(chunk)) socket.write(streamMessage(answer(message)));
    });
  });
  stream.listen({ host: "127.88.0.2", port: 0 });
  await once(stream, "listening");
  const address = stream.address();
  assert(address !== null && typeof address === "object");
  const datagrams = createSocket("udp4");
  datagrams.on("message", (bytes, from) => datagrams.send(answer(bytes), from.port, from.address));
  datagrams.bind(address.port, "127.88.0.2");
  await once(datagrams, "listening");
  t.after(() => {
    datagrams.close();
    stream.close();
  });
  return address.port;
}

function forwarder(port: number, servers: readonly string[], deadlineMs = 1_000): Forwarder {
  return new Forwarder({ nameservers: async () => servers, port, deadlineMs }, modules);
}

describe("Forwarder", () => {
  test("brings answers back over the transport of the question, under its ID", async (t) => {
    using forward = forwarder(await upstream(t), ["127.88.0.2"]);
    for (const transport of ["udp", "tcp"] as const) {
      const answer = await forward.forward(query, transport);
      assert(Buffer.isBuffer(answer));
      assert.equal(decode(answer).id, 77);
      assert.equal(decode(answer).answers?.length, 1);
    }
  });

  test("asks the next nameserver when one is not there", async (t) => {
    using forward = forwarder(await upstream(t), ["127.88.0.3", "127.88.0.2"]);
    for (const transport of ["udp", "tcp"] as const) {
      assert(Buffer.isBuffer(await forward.forward(query, transport)), transport);
    }
  });

  test("takes no answer under another ID", async (t) => {
    const other = (asked: Buffer) => {
      const bytes = reply(asked);
      bytes.writeUInt16BE(bytes.readUInt16BE(0) ^ 1, 0);
      return bytes;
    };
    using forward = forwarder(await upstream(t, other), ["127.88.0.2"], 100);
    for (const transport of ["udp", "tcp"] as const) {
      assert.equal(await forward.forward(query, transport), "failed");
    }
  });

  test("knows that there is nobody to ask", async () => {
    using forward = forwarder(1, []);
    assert.equal(await forward.forward(query, "udp"), "no-upstream");
  });

  test("gives up at once when it is disposed", async (t) => {
    const silent = createSocket("udp4");
    silent.bind(0, "127.88.0.2");
    await once(silent, "listening");
    t.after(() => silent.close());
    const forward = forwarder(silent.address().port, ["127.88.0.2"], 60_000);
    const answer = forward.forward(query, "udp");
    await once(silent, "message");
    forward[Symbol.dispose]();
    assert.equal(await answer, "failed");
  });

  test("refuses more questions than it has sockets for", async (t) => {
    const silent = createSocket("udp4");
    silent.bind(0, "127.88.0.2");
    await once(silent, "listening");
    t.after(() => silent.close());
    const forward = forwarder(silent.address().port, ["127.88.0.2"], 60_000);
    const waiting = Array.from({ length: 256 }, () => forward.forward(query, "udp"));
    assert.equal(await forward.forward(query, "udp"), "failed");
    forward[Symbol.dispose]();
    assert.deepEqual([...new Set(await Promise.all(waiting))], ["failed"]);
  });
});

test("parseNameservers() takes addresses, three at most, and nothing else", () => {
  const text =
    "# nameserver 192.0.2.9\nsearch a\nnameserver 192.0.2.1\nnameserver x\nnameserver\t::1\n nameserver 192.0.2.2\nnameserver 192.0.2.1\nnameserver 192.0.2.3 # x\nnameserver 192.0.2.4\n";
  assert.deepEqual(parseNameservers(text), ["192.0.2.1", "::1", "192.0.2.3"]);
});

test("StreamReader cuts messages wherever the stream was cut", () => {
  const stream = Buffer.concat(
    [Buffer.from("abc"), Buffer.alloc(0), Buffer.from("d")].map(streamMessage),
  );
  for (let cut = 0; cut <= stream.length; cut += 1) {
    const reader = new StreamReader();
    const messages = [
      ...reader.push(stream.subarray(0, cut)),
      ...reader.push(stream.subarray(cut)),
    ];
    assert.deepEqual(messages.map(String), ["abc", "", "d"]);
  }
});
