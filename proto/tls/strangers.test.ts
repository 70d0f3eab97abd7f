/** What strangers can do to a TLS port: junk of every kind, floods, handshakes that do not come. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { test } from "node:test";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { connect as connectHttp2, performServerHandshake } from "node:http2";
import { Duplex } from "node:stream";
import { queryObjects } from "node:v8";
import * as fc from "fast-check";
import { FakeClock } from "../testing/fake-clock.ts";
import { until } from "../testing/until.ts";
import { authority, mutual, serve, whoAmI } from "./testing/tls-ground.ts";

const timeout = 30_000;

/** Resolves when the other side has closed the connection, with what it said. */
async function untilCut(socket: Socket): Promise<Buffer> {
  const said: Buffer[] = [];
  socket.on("data", (data: Buffer) => said.push(data));
  socket.on("error", () => {});
  if (!socket.destroyed) await once(socket, "close").catch(() => undefined);
  return Buffer.concat(said);
}

test("junk, TLS 1.2 and below is refused", { timeout }, async (t) => {
  const { port } = await serve(t);
  for (const maxVersion of ["TLSv1.2", "TLSv1.1"] as const) {
    const options: ConnectionOptions = {
      port,
      maxVersion,
      minVersion: "TLSv1",
      ciphers: "ALL:@SECLEVEL=0",
    };
    const socket = connectTls({ ...options, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
    const [error] = (await once(socket, "error").catch((thrown: unknown) => [thrown])) as [Error];
    assert.match(error.message, /protocol version|unsupported protocol/i);
  }
});

test("junk, a client of another protocol is cut off", { timeout }, async (t) => {
  const { port } = await serve(t);
  const noAlpn = connectTls({ port, rejectUnauthorized: false });
  await untilCut(noAlpn);
  const web = connectTls({ port, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
  await untilCut(web);
});

test("junk, a session is never resumed without its certificate being looked at", {
  timeout,
}, async (t) => {
  const { port } = await serve(t);
  const { certificate: cert, key } = await authority.identity();
  const options = { port, cert, key, rejectUnauthorized: false, ALPNProtocols: ["h2"] };
  const first = connectTls(options);
  const sessions: Buffer[] = [];
  first.on("session", (session: Buffer) => sessions.push(session));
  await once(first, "secureConnect");
  // Tickets come after the handshake, before the first settings frame's bytes.
  await once(first, "data");
  first.destroy();
  const [session] = sessions;
  const again = connectTls({ ...options, ...(session && { session }) });
  await once(again, "secureConnect");
  assert.equal(again.isSessionReused(), false);
  again.destroy();
});

test("junk, plain text and garbage of every kind is cut off, and the server goes on", {
  timeout,
}, async (t) => {
  const { port, address } = await serve(t);
  const send = async (bytes: Uint8Array) => {
    const socket = connectTcp(port, "127.0.0.1");
    const cut = untilCut(socket);
    socket.end(bytes);
    await cut;
  };
  await send(Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  await send(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), send), { numRuns: 100 });
  // What begins like a handshake.
  const record = fc.uint8Array({ maxLength: 500 }).map((bytes) => {
    const { length } = bytes;
    return Buffer.concat([Buffer.from([22, 3, 1, length >> 8, length & 255]), bytes]);
  });
  await fc.assert(fc.asyncProperty(record, send), { numRuns: 100 });
  assert.equal((await whoAmI(address, { kind: "unverified" })).kind, "anonymous");
});

test("junk, garbage inside of TLS is cut off, and the server goes on", { timeout }, async (t) => {
  const { port, address } = await serve(t);
  const options = { port, rejectUnauthorized: false, ALPNProtocols: ["h2"] };
  const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const garbage = fc.tuple(fc.boolean(), fc.uint8Array({ minLength: 30, maxLength: 300 }));
  const send = async ([prefaced, bytes]: [boolean, Uint8Array]) => {
    const socket = connectTls(options);
    const cut = untilCut(socket);
    socket.end(prefaced ? Buffer.concat([preface, bytes]) : bytes);
    await cut;
  };
  await fc.assert(fc.asyncProperty(garbage, send), { numRuns: 50 });
  assert.equal((await whoAmI(address, { kind: "unverified" })).kind, "anonymous");
});

test("junk, calls that are no gRPC, or of no message, are refused", { timeout }, async (t) => {
  const { port, address } = await serve(t);
  const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
  t.after(() => session.destroy());
  const path = "/swarm.v1.NodeCaService/GetRootCertificate";
  const post = async (type: string, body: Uint8Array) => {
    const call = session.request({ ":method": "POST", ":path": path, "content-type": type });
    call.end(body);
    const [headers] = (await once(call, "response")) as [Record<string, unknown>];
    let trailers: Record<string, unknown> = headers;
    call.on("trailers", (given: Record<string, unknown>) => (trailers = given));
    call.resume();
    await once(call, "close");
    return { ...headers, ...trailers };
  };
  assert.equal((await post("text/html", Buffer.from("x")))[":status"], 415);
  const message = (bytes: Uint8Array) => {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(bytes.length, 1);
    return Buffer.concat([head, bytes]);
  };
  // A length of 300, which is not there; and one that no server takes.
  assert.notEqual(
    (await post("application/grpc", message(Buffer.from([10, 255]))))["grpc-status"],
    "0",
  );
  const huge = Buffer.from([0, 255, 255, 255, 255]);
  assert.equal((await post("application/grpc", huge))["grpc-status"], "8");
  assert.equal((await whoAmI(address, { kind: "unverified" })).kind, "anonymous");
});

test("strangers, can make a manager hold little, and keep out none of its own", {
  timeout,
}, async (t) => {
  const { port, address } = await serve(t);
  const flood = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
  t.after(() => flood.destroy());
  const path = "/swarm.v1.NodeCaService/IssueNodeCertificate";
  const call = flood.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
  });
  const announced = Buffer.alloc(5);
  announced.writeUInt32BE(16 * 1024 * 1024 - 1, 1);
  call.write(announced);
  const [headers] = (await once(call, "response")) as [Record<string, unknown>];
  assert.equal(headers["grpc-status"], "8");
  call.destroy();
  assert.ok((flood.remoteSettings.maxConcurrentStreams ?? Infinity) <= 4);

  const options = { port, rejectUnauthorized: false, ALPNProtocols: ["h2"] };
  const crowd = Array.from({ length: 256 }, () => connectTls(options));
  t.after(() => crowd.forEach((socket) => socket.destroy()));
  await Promise.race(crowd.map(untilCut));
  const node = mutual(await authority.identity());
  assert.equal((await whoAmI(address, node)).kind, "node");
});

test("strangers, stay for a minute, and those who are known for as long as they like", {
  timeout,
}, async (t) => {
  const clock = new FakeClock();
  const { port } = await serve(t, { clock });
  const options = { port, rejectUnauthorized: false, ALPNProtocols: ["h2"] };
  const known = await authority.identity();
  const stranger = connectTls(options);
  const node = connectTls({ ...options, cert: known.certificate, key: known.key });
  t.after(() => node.destroy());
  // Each is served once it has the server's settings.
  await Promise.all([once(stranger, "data"), once(node, "data")]);
  const cut = untilCut(stranger);
  // At one stroke: of the pings, which nobody here answers, the first goes out only then.
  clock.jump(60_000);
  await cut;
  assert.equal(node.destroyed, false);
  node.destroy();
});

test("junk, a handshake that does not come, or stops half-way, is cut off after 5 s", {
  timeout,
}, async (t) => {
  const { port } = await serve(t);
  const startMs = performance.now();
  const silent = connectTcp(port, "127.0.0.1");
  const half = connectTcp(port, "127.0.0.1");
  half.write(Buffer.from([22, 3, 1, 2, 0, 1, 0]));
  await Promise.all([untilCut(silent), untilCut(half)]);
  const tookMs = performance.now() - startMs;
  assert(tookMs > 4_000 && tookMs < 10_000, `${tookMs} ms`);
});

test("end, also of handshakes in progress", { timeout }, async (t) => {
  const { port, ...endpoint } = await serve(t);
  const silent = connectTcp(port, "127.0.0.1");
  await once(silent, "connect");
  const cut = untilCut(silent);
  // The listener has it when a later connection was answered.
  await whoAmI(endpoint.address, { kind: "unverified" });
  await endpoint[Symbol.asyncDispose]();
  await cut;
});

test("connections that came and went leave nothing", { timeout }, async (t) => {
  const { address } = await serve(t);
  const sockets = () =>
    process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
  // Each connection has an HTTP/2 server of its own inside of grpc-js.
  const nowhere = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const sessionClass = performServerHandshake(nowhere).constructor as new () => unknown;
  const sessions = () => queryObjects(sessionClass, { format: "count" });
  const tls = mutual(await authority.identity());
  const before = { sockets: sockets(), sessions: sessions() };
  for (let i = 0; i < 50; i++) await whoAmI(address, tls);
  await until(() => sockets() <= before.sockets);
  const left = sessions();
  assert(left < before.sessions + 10, `${left} sessions, ${before.sessions} before`);
});
