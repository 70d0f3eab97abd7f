import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttp2, type IncomingHttpHeaders } from "node:http2";
import { createServer } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "./fault.ts";
import { decodeHeaders, encodeHeaders } from "./hpack.ts";
import { Http2Exchange } from "./http2-exchange.ts";
import { FrameCutter, encodeFrame } from "./http2-frames.ts";

/** A server of Node's own HTTP/2, and what it says back: each header that it got, and those that the test gives. */
async function echo(answer: Readonly<Record<string, string>>) {
  const folder = await mkdtemp(join(tmpdir(), "hpack-"));
  const path = join(folder, "socket");
  const server = createHttp2();
  const got: IncomingHttpHeaders[] = [];
  server.on("stream", (stream, headers) => {
    got.push(headers);
    stream.respond({ ":status": 200, ...answer });
    stream.end("x");
  });
  await once(server.listen(path), "listening");
  const exchange = new Http2Exchange(path, { bodyBytesMax: 10 });
  return {
    got,
    ask: (headers: readonly (readonly [string, string])[]) =>
      exchange.ask({
        headers: [
          [":method", "POST"],
          [":scheme", "http"],
          [":path", "/a"],
          [":authority", "x"],
          ...headers,
        ],
        body: Buffer.from("x"),
      }).reply,
    async [Symbol.asyncDispose]() {
      exchange.close();
      await new Promise((done) => server.close(done));
      await rm(folder, { recursive: true });
    },
  };
}

/** What fields of HTTP may hold. */
const value = fc
  .string({
    unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    maxLength: 300,
  })
  .filter((text) => text !== "");

test("hpack, Node's HTTP/2 reads what we write, and we read what it writes", async () => {
  // Every byte that a field may hold: each has a code of its own.
  const all = Array.from({ length: 0x5e }, (_, index) => String.fromCharCode(0x21 + index)).join(
    "",
  );
  const wide = "\u00e4\u00ff\u0080".repeat(3);
  await using server = await echo({
    "x-all": all,
    "x-wide": wide,
    "content-type": "a/b",
    date: "d",
  });
  const { headers } = await server.ask([["x-mine", all]]);
  assert.equal(server.got[0]?.["x-mine"], all);
  assert.deepEqual(
    [
      headers.get(":status"),
      headers.get("x-all"),
      headers.get("content-type"),
      headers.get("date"),
    ],
    ["200", all, "a/b", "d"],
  );
  assert.equal(headers.get("x-wide"), wide);
});

test("hpack, any field is read as it was written", async () => {
  await using server = await echo({});
  await fc.assert(
    fc.asyncProperty(value, async (text) => {
      server.got.length = 0;
      await server.ask([["x-mine", text]]);
      assert.equal(server.got[0]?.["x-mine"], text);
      assert.equal(decodeHeaders(encodeHeaders([["a", text]])).get("a"), text);
    }),
    { numRuns: 50 },
  );
});

test("hpack, any bytes are a block or a fault", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      try {
        decodeHeaders(Buffer.from(bytes));
      } catch (thrown) {
        assert.ok(thrown instanceof Fault);
      }
    }),
    { numRuns: 2_000 },
  );
});

test("frames of HTTP/2, are cut out of pieces of any size", () => {
  const frame = fc.record({
    type: fc.nat(9),
    flags: fc.nat(255),
    stream: fc.nat(2 ** 31 - 1),
    payload: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  });
  fc.assert(
    fc.property(fc.array(frame), fc.integer({ min: 1, max: 30 }), (frames, size) => {
      const bytes = Buffer.concat(frames.map(encodeFrame));
      const cutter = new FrameCutter();
      const found = [];
      for (let at = 0; at < bytes.length; at += size) {
        found.push(...cutter.push(bytes.subarray(at, at + size)));
      }
      assert.deepEqual(
        found,
        frames.map((frame) => ({ ...frame })),
      );
    }),
  );
});

test("http2 exchange, any bytes of the other side end in a reply or a fault", async () => {
  const folder = await mkdtemp(join(tmpdir(), "hpack-"));
  const path = join(folder, "socket");
  let says = Buffer.alloc(0);
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end(says);
  });
  await once(server.listen(path), "listening");
  const frame = fc.record({
    type: fc.nat(10),
    flags: fc.nat(255),
    stream: fc.constantFrom(0, 1, 3),
    payload: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  });
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { maxLength: 5 }), async (frames) => {
        says = Buffer.concat(frames.map(encodeFrame));
        const exchange = new Http2Exchange(path, { bodyBytesMax: 10 });
        const { reply } = exchange.ask({ headers: [[":path", "/a"]], body: Buffer.from("x") });
        const result = await reply.catch((thrown: unknown) => thrown);
        assert.ok(result instanceof Fault || (typeof result === "object" && result !== null));
        exchange.close();
      }),
      { numRuns: 200 },
    );
  } finally {
    server.close();
    await rm(folder, { recursive: true });
  }
});

test("http2 exchange, goes on with a large reply and answers pings", async () => {
  const folder = await mkdtemp(join(tmpdir(), "hpack-"));
  const path = join(folder, "socket");
  const server = createHttp2();
  const size = 3_000_000;
  server.on("stream", (stream) => {
    stream.session?.ping(() => {
      stream.respond({ ":status": 200 });
      stream.end(Buffer.alloc(size, 1));
    });
  });
  await once(server.listen(path), "listening");
  const exchange = new Http2Exchange(path, { bodyBytesMax: size });
  try {
    for (let round = 0; round < 2; round += 1) {
      const { reply } = exchange.ask({
        headers: [
          [":method", "POST"],
          [":scheme", "http"],
          [":path", "/a"],
          [":authority", "x"],
        ],
        body: Buffer.from("x"),
      });
      assert.equal((await reply).body.length, size);
    }
  } finally {
    exchange.close();
    await new Promise((done) => server.close(done));
    await rm(folder, { recursive: true });
  }
});
