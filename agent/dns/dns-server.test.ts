/** Real sockets on loopback addresses; the upstream nameserver is a socket of the test. */
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { create } from "@bufbuild/protobuf";
import { decode, encode, type Packet, streamDecode, streamEncode } from "dns-packet";
import { NetworkEndpointSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { DnsServer } from "./dns-server.ts";

const ports = { clock: systemClock, random: systemRandom, log: silentLog };

function networkOn(id: string, gateway: string) {
  return create(NetworkSchema, { id, ipam: { configs: [{ subnet: `${gateway}/24`, gateway }] } });
}

function endpoints(networkId: string, service: string, count: number) {
  return Array.from({ length: count }, (_, index) =>
    create(NetworkEndpointSchema, {
      taskId: `${service}${index}`,
      networkId,
      address: `10.0.${index >> 8}.${index & 255}`,
      serviceName: service,
      serving: true,
    }),
  );
}

interface Setup {
  readonly server: DnsServer;
  readonly port: number;
}

/** `upstream` answers nobody (undefined), or as it likes. */
async function setUp(
  t: TestContext,
  upstream?: (query: Packet) => Packet | undefined,
): Promise<Setup> {
  const folder = await mkdtemp(join(tmpdir(), "dns-"));
  t.after(() => rm(folder, { recursive: true }));
  const resolvConf = join(folder, "resolv.conf");
  await writeFile(resolvConf, upstream === undefined ? "search test\n" : "nameserver 127.0.0.1\n");
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  t.after(() => socket.close());
  socket.on("message", (bytes, { port, address }) => {
    const reply = upstream?.(decode(bytes));
    if (reply !== undefined) socket.send(encode(reply), port, address);
  });
  const port = await freePort();
  const server = new DnsServer({ port, resolvConf, upstreamPort: socket.address().port }, ports);
  t.after(() => server[Symbol.asyncDispose]());
  return { server, port };
}

async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.88.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  return port;
}

async function ask(name: string, { server = "127.88.0.1", port = 0, type = "A" as "A" | "AAAA" }) {
  const socket = createSocket("udp4");
  try {
    const query = encode({ type: "query", id: 9, flags: 0x100, questions: [{ type, name }] });
    return decode(await exchange(socket, query, { server, port }));
  } finally {
    socket.close();
  }
}

async function exchange(
  socket: Socket,
  bytes: Buffer,
  to: { server: string; port: number },
): Promise<Buffer> {
  const answered = once(socket, "message", { signal: AbortSignal.timeout(5_000) });
  socket.send(bytes, to.port, to.server);
  const [reply] = await answered;
  return reply;
}

const code = (packet: Packet & { rcode?: string }) => packet.rcode;
const data = (packet: Packet) =>
  packet.answers?.map((answer) => ("data" in answer ? answer.data : ""));

describe("DnsServer", () => {
  const front = networkOn("front", "127.88.0.1");
  const back = networkOn("back", "127.88.1.1");

  test("answers on every network with that network's names", async (t) => {
    const { server, port } = await setUp(t);
    await server.apply({
      services: [],
      networks: [front, back],
      endpoints: [...endpoints("front", "web", 2), ...endpoints("back", "db", 1)],
    });
    assert.deepEqual(data(await ask("web", { port }))?.sort(), ["10.0.0.0", "10.0.0.1"]);
    assert.deepEqual(data(await ask("db", { port, server: "127.88.1.1" })), ["10.0.0.0"]);
    assert.equal(code(await ask("db", { port })), "NXDOMAIN");
  });

  test("has an empty answer for other types of a name that exists", async (t) => {
    const { server, port } = await setUp(t);
    await server.apply({
      services: [],
      networks: [front],
      endpoints: endpoints("front", "web", 2),
    });
    const reply = await ask("web", { port, type: "AAAA" });
    assert.equal(code(reply), "NOERROR");
    assert.deepEqual(data(reply), []);
  });

  test("cuts a long answer in a datagram and has all of it over TCP", async (t) => {
    const { server, port } = await setUp(t);
    await server.apply({
      services: [],
      networks: [front],
      endpoints: endpoints("front", "web", 500),
    });
    const datagram = await ask("web", { port });
    assert.equal(datagram.flag_tc, true);
    const reply = await askStream("web", port);
    assert.equal(reply?.answers?.length, 500);
  });

  test("forwards what it does not know and brings the answer back", async (t) => {
    const { server, port } = await setUp(t, ({ id = 0, questions = [] }) => ({
      type: "response",
      id,
      questions,
      answers: [{ type: "A", name: "example.test", data: "192.0.2.1" }],
    }));
    await server.apply({ services: [], networks: [front], endpoints: [] });
    const reply = await ask("example.test", { port });
    assert.equal(reply.id, 9);
    assert.deepEqual(data(reply), ["192.0.2.1"]);
  });

  test("fails when no nameserver answers in time, and goes on meanwhile", async (t) => {
    const { server, port } = await setUp(t, () => undefined);
    await server.apply({
      services: [],
      networks: [front],
      endpoints: endpoints("front", "web", 1),
    });
    const slow = ask("example.test", { port });
    assert.deepEqual(data(await ask("web", { port })), ["10.0.0.0"]);
    assert.equal(code(await slow), "SERVFAIL");
  });

  test("survives noise over UDP and TCP", async (t) => {
    const { server, port } = await setUp(t);
    await server.apply({
      services: [],
      networks: [front],
      endpoints: endpoints("front", "web", 1),
    });
    const socket = createSocket("udp4");
    t.after(() => socket.close());
    for (const length of [0, 5, 12, 40, 1400])
      socket.send(Buffer.alloc(length, 0xc0), port, "127.88.0.1");
    const stream = connect({ host: "127.88.0.1", port });
    stream.on("error", () => {});
    stream.end(Buffer.alloc(3000, 0x01));
    await once(stream.resume(), "close", { signal: AbortSignal.timeout(5_000) });
    assert.deepEqual(data(await ask("web", { port })), ["10.0.0.0"]);
  });

  test("opens and closes sockets as networks come and go", async (t) => {
    const { server, port } = await setUp(t);
    await server.apply({ services: [], networks: [front], endpoints: [] });
    await server.apply({ services: [], networks: [back], endpoints: endpoints("back", "db", 1) });
    const refused = connect({ host: "127.88.0.1", port });
    const [error] = await once(refused, "error");
    assert.equal(error.code, "ECONNREFUSED");
    assert.deepEqual(data(await ask("db", { port, server: "127.88.1.1" })), ["10.0.0.0"]);
  });

  test("says which address it could not listen on, and listens on the others", async (t) => {
    const { server, port } = await setUp(t);
    const foreign = networkOn("foreign", "192.0.2.1");
    await assert.rejects(
      server.apply({
        services: [],
        networks: [foreign, front],
        endpoints: endpoints("front", "web", 1),
      }),
      /192\.0\.2\.1/,
    );
    assert.equal(code(await ask("web", { port })), "NOERROR");
  });
});

async function askStream(name: string, port: number) {
  const stream = connect({ host: "127.88.0.1", port });
  // Closing its half, as some resolvers do, the asker still wants the answer.
  stream.end(streamEncode({ type: "query", id: 9, questions: [{ type: "A", name }] }));
  let bytes = Buffer.alloc(0);
  for await (const chunk of stream) {
    bytes = Buffer.concat([bytes, chunk]);
    if (bytes.length > 2 && bytes.length >= 2 + bytes.readUInt16BE(0)) break;
  }
  return streamDecode(bytes);
}
