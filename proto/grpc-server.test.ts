/** The server beside clients that break off, go silent or say what no client says, over real connections. */
import assert from "node:assert/strict";
import { once } from "node:events";
import {
  type ClientHttp2Stream,
  connect as connectHttp2,
  type IncomingHttpHeaders,
} from "node:http2";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { EngineService, ImageService } from "./gen/swarm/v1/engine_pb.ts";
import { addService, type CallContext, type Handlers } from "./grpc.ts";
import { GrpcServer } from "./grpc-server.ts";
import { FakeClock } from "./testing/fake-clock.ts";
import { until } from "./testing/until.ts";

const timeout = 30_000;

const pathOfUnary = `/${EngineService.typeName}/GetDiskUsage`;
const pathOfStream = `/${ImageService.typeName}/SaveImages`;

interface Calls {
  readonly unary?: (context: CallContext) => Promise<void>;
  readonly stream?: (context: CallContext) => AsyncIterable<{ data: Uint8Array }>;
}

/** A server on a clock that stands still, with what its sockets are. */
async function serve(t: TestContext, { unary, stream }: Calls = {}) {
  const clock = new FakeClock();
  const server = new GrpcServer({ messageBytesMax: 1024 * 1024 }, { clock });
  const engine: Partial<Handlers<typeof EngineService>> = {
    getDiskUsage: async (_request, context) => {
      await unary?.(context);
      return { usages: [] };
    },
  };
  addService(server, EngineService, engine as Handlers<typeof EngineService>);
  const images: Partial<Handlers<typeof ImageService>> = {
    saveImages: (_request, context) => stream?.(context) ?? none(),
  };
  addService(server, ImageService, images as Handlers<typeof ImageService>);
  const sockets: Socket[] = [];
  const listener = createServer({ noDelay: true }, (socket) => {
    sockets.push(socket);
    server.serve(socket, { kind: "local" });
  });
  await once(listener.listen(0, "127.0.0.1"), "listening");
  const { port } = listener.address() as AddressInfo;
  t.after(() => {
    server.shutDown();
    for (const socket of sockets) socket.destroy();
    listener.close();
  });
  const alive = () => sockets.filter((socket) => !socket.destroyed).length;
  return { clock, server, port, sockets, alive };
}

async function* none() {}

async function* endless(): AsyncIterable<{ data: Uint8Array }> {
  for (;;) yield { data: Buffer.alloc(512 * 1024) };
}

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const dataType = 0;
const headersType = 1;
const resetType = 3;
const settingsType = 4;
const goawayType = 7;
const windowType = 8;

function frame(type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** All that the client could take at once. */
const unlimited = Buffer.concat([
  frame(settingsType, 0, 0, Buffer.from([0, 4, 0x7f, 0xff, 0xff, 0xff])),
  frame(windowType, 0, 0, Buffer.from([0x7f, 0xff, 0, 0])),
]);

const calling = {
  ":method": "POST",
  ":scheme": "http",
  ":authority": "here",
  "content-type": "application/grpc",
};

/** A call's beginning. Headers are written out: neither compressed nor remembered. */
function headersFrame(flags: number, path: string) {
  const texts = Object.entries({ ":path": path, ...calling }).flat();
  const literals = texts.map((text, index) =>
    Buffer.from([...(index % 2 === 0 ? [0] : []), text.length, ...Buffer.from(text)]),
  );
  return frame(headersType, flags, 1, Buffer.concat(literals));
}

/** END_HEADERS; END_STREAM. */
const endOfHeaders = 4;
const endOfStream = 1;

/** A client that speaks by frames and never closes what it has opened. */
async function open(t: TestContext, port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => {});
  t.after(() => socket.destroy());
  await once(socket, "connect");
  socket.write(Buffer.concat([preface, frame(settingsType, 0, 0)]));
  socket.resume();
  return socket;
}

/** A client that is one, but for what its caller does with the stream. */
function request(t: TestContext, port: number, path: string): ClientHttp2Stream {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  t.after(() => session.destroy());
  const stream = session.request(
    { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" },
    { endStream: false },
  );
  stream.on("error", () => {});
  return stream;
}

const emptyMessage = Buffer.alloc(5);

test("server, one that says goodbye and stays is cut off, and harms nobody", {
  timeout,
}, async (t) => {
  const { clock, port, sockets, alive } = await serve(t);
  const client = await open(t, port);
  await until(() => sockets.length === 1);
  client.write(frame(goawayType, 0, 0, Buffer.alloc(8)));
  // The server's goodbye, too.
  await once(client, "end");
  clock.advance(5_000);
  clock.advance(5_000);
  await until(() => alive() === 0);
});

test("server, one that takes nothing more is cut off, and does not hold up the end", {
  timeout,
}, async (t) => {
  let sent = 0;
  const { clock, server, port, alive } = await serve(t, {
    stream: async function* () {
      for await (const piece of endless()) {
        sent += 1;
        yield piece;
      }
    },
  });
  const stuck = async () => {
    const client = await open(t, port);
    client.pause();
    const start = headersFrame(endOfHeaders, pathOfStream);
    client.write(Buffer.concat([unlimited, start, frame(dataType, endOfStream, 1, emptyMessage)]));
    let before = sent;
    let turns = 0;
    await until(() => {
      turns = sent === before ? turns + 1 : 0;
      before = sent;
      return sent > 1 && turns > 500;
    });
  };
  await stuck();
  clock.advance(20_000);
  await until(() => alive() === 0);
  await stuck();
  const closed = server.close(500);
  clock.advance(500);
  await closed;
  assert.equal(alive(), 0);
});

test("server, having stood still itself it does not cut off who has answered meanwhile", {
  timeout,
}, async (t) => {
  const { clock, port, alive } = await serve(t, { stream: endless });
  const stream = request(t, port, pathOfStream);
  stream.end(emptyMessage);
  await once(stream, "response");
  const pinged = once(stream.session ?? stream, "ping");
  clock.advance(5_000);
  await pinged;
  clock.jump(60_000);
  for (let turns = 0; turns < 100; turns += 1) await turn();
  assert.equal(alive(), 1);
});

test("server, the time of a call is over also for who does not let go of it", {
  timeout,
}, async (t) => {
  const over = Promise.withResolvers<void>();
  const { clock, port } = await serve(t, {
    stream: async function* ({ signal }) {
      signal.addEventListener("abort", () => over.resolve(), { once: true });
      yield* endless();
    },
  });
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  t.after(() => session.destroy());
  const stream = session.request(
    {
      ":method": "POST",
      ":path": pathOfStream,
      "content-type": "application/grpc",
      "grpc-timeout": "1S",
    },
    { endStream: false },
  );
  stream.on("error", () => {});
  stream.end(emptyMessage);
  await once(stream, "response");
  clock.advance(1_000);
  await over.promise;
});

test("server, a request that is broken off is none", { timeout }, async (t) => {
  let calls = 0;
  const unary = async () => {
    calls += 1;
  };
  const { port } = await serve(t, { unary });
  const client = await open(t, port);
  const headers = headersFrame(endOfHeaders, pathOfUnary);
  for (const code of [0, 8]) {
    const broken = await open(t, port);
    const reset = frame(resetType, 0, 1, Buffer.from([0, 0, 0, code]));
    broken.write(Buffer.concat([headers, frame(dataType, 0, 1, emptyMessage), reset]));
  }
  client.write(Buffer.concat([headers, frame(dataType, endOfStream, 1, emptyMessage)]));
  await until(() => calls > 0);
  for (let turns = 0; turns < 100; turns += 1) await turn();
  assert.equal(calls, 1);
});

test("server, what comes after a message that was refused is not kept", {
  timeout,
}, async (t) => {
  const { port } = await serve(t);
  const stream = request(t, port, pathOfUnary);
  stream.write(Buffer.from([1, 0, 0, 0, 1]));
  await once(stream, "response");
  setFlagsFromString("--expose-gc");
  const collectGarbage: unknown = runInNewContext("gc");
  assert(typeof collectGarbage === "function");
  collectGarbage();
  const before = process.memoryUsage().arrayBuffers;
  const piece = Buffer.alloc(1024 * 1024);
  for (let count = 0; count < 64; count += 1) {
    await new Promise<void>((resolve) => stream.write(piece, () => resolve()));
  }
  // What was freed is counted so some time later, on a busy machine.
  await until(() => {
    collectGarbage();
    return process.memoryUsage().arrayBuffers - before < 32 * 1024 * 1024;
  });
});

test("server, a call that has one answer gets it also after the time that streams have to end", {
  timeout,
}, async (t) => {
  const begun = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  const unary = async () => {
    begun.resolve();
    await answer.promise;
  };
  const { clock, server, port, alive } = await serve(t, { unary, stream: endless });
  const watching = request(t, port, pathOfStream);
  watching.on("error", () => {});
  watching.end(emptyMessage);
  await once(watching, "response");
  const call = request(t, port, pathOfUnary);
  const answered = once(call, "response");
  const trailers = once(call, "trailers");
  call.resume();
  call.end(emptyMessage);
  await begun.promise;
  const closed = server.close(500, 3_000);
  clock.advance(2_000);
  assert.ok(alive() > 0);
  answer.resolve();
  await answered;
  const [last]: IncomingHttpHeaders[] = await trailers;
  assert.equal(last?.["grpc-status"], "0");
  clock.advance(500);
  await closed;
  assert.equal(alive(), 0);
});

test("server, a call that is never answered does not keep it from ending", {
  timeout,
}, async (t) => {
  const begun = Promise.withResolvers<void>();
  const unary = () => {
    begun.resolve();
    return new Promise<void>(() => {});
  };
  const { clock, server, port, alive } = await serve(t, { unary });
  const call = request(t, port, pathOfUnary);
  call.on("error", () => {});
  call.end(emptyMessage);
  await begun.promise;
  const closed = server.close(500, 3_000);
  clock.advance(2_900);
  assert.equal(alive(), 1);
  clock.advance(100);
  await closed;
  assert.equal(alive(), 0);
});
