/** Both sides of TLS over real connections: who is told to be who, who is refused, and what junk does. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { connect as connectHttp2, performServerHandshake } from "node:http2";
import { Duplex } from "node:stream";
import { queryObjects } from "node:v8";
import * as fc from "fast-check";
import type { Caller } from "../caller.ts";
import { serveEndpoint } from "../endpoint.ts";
import { Fault } from "../fault.ts";
import { LogBrokerService, DispatcherService } from "../gen/swarm/v1/dispatcher_pb.ts";
import { NodeCaService } from "../gen/swarm/v1/node_pb.ts";
import { addService, Connection } from "../grpc.ts";
import type { TlsIdentity } from "../manager-messages.ts";
import { systemClock } from "../system-ports.ts";
import { TestAuthority, type TestIdentityOptions } from "../testing/test-authority.ts";
import { until } from "../testing/until.ts";
import type { ClientTls } from "./client-credentials.ts";
import { TlsIdentityHolder } from "./tls-identity-holder.ts";

const timeout = 30_000;
const hourMs = 3_600_000;
const authority = await TestAuthority.create();
const { clusterId } = authority;

const refuse = async () => {
  throw new Fault("unimplemented", "not part of this test");
};
const refusing = {
  issueNodeCertificate: refuse,
  renewNodeCertificate: refuse,
  withdrawNode: refuse,
};

/** A manager that answers who calls, and holds a stream open. */
async function serve(
  t: TestContext,
  shown: { readonly identity?: TlsIdentity; readonly as?: TestIdentityOptions } = {},
) {
  const identity = shown.identity ?? (await authority.identity({ role: "manager", ...shown.as }));
  const holder = new TlsIdentityHolder(identity);
  const callers: Caller[] = [];
  const endpoint = await serveEndpoint(
    "127.0.0.1:0",
    {
      tls: { identity: holder, clusterId },
      owner: "manager",
      addServices: (server) => {
        addService(server, NodeCaService, {
          getRootCertificate: async (_request, { caller }) => {
            callers.push(caller);
            return { caCertificate: JSON.stringify(caller) };
          },
          ...refusing,
        });
        addService(server, DispatcherService, {
          heartbeat: refuse,
          updateTaskStatus: refuse,
          findImagePeers: refuse,
          // oxlint-disable-next-line require-yield -- not called
          async *session() {
            await refuse();
          },
          async *assignments(_request, { signal }) {
            for (let i = 0; !signal.aborted; i++) {
              yield { resultsIn: String(i) };
            }
          },
        });
        addService(server, LogBrokerService, { publishLogs: refuse }, (_method, { caller }) => {
          throw new Fault("permission-denied", `not for ${caller.kind}`);
        });
      },
    },
    { clock: systemClock },
  );
  t.after(() => endpoint[Symbol.asyncDispose]());
  const { port } = new URL(`tcp://${endpoint.address}`);
  return { ...endpoint, holder, callers, port: Number(port) };
}

async function whoAmI(address: string, tls?: ClientTls): Promise<Caller> {
  using connection = new Connection(address, tls === undefined ? {} : { tls });
  const { caCertificate } = await connection.service(NodeCaService).getRootCertificate({});
  return JSON.parse(caCertificate) as Caller;
}

const mutual = (identity: TlsIdentity, cluster = clusterId): ClientTls => ({
  kind: "mutual",
  identity: new TlsIdentityHolder(identity),
  clusterId: cluster,
});

test("server, knows nodes and users by their certificates", { timeout }, async (t) => {
  const { address } = await serve(t);
  const name = "0123456789abcdefghijklmno";
  for (const role of ["manager", "worker"] as const) {
    assert.deepEqual(await whoAmI(address, mutual(await authority.identity({ role, name }))), {
      kind: "node",
      nodeId: name,
      role,
      clusterId,
    });
  }
  const user = await authority.identity({ role: "user", name: "anna" });
  assert.deepEqual(await whoAmI(address, mutual(user)), { kind: "user", name: "anna", clusterId });
});

test("server, whoever shows no good certificate is anonymous, with the reason", {
  timeout,
}, async (t) => {
  const { address } = await serve(t);
  const problemOf = async (tls: ClientTls) => {
    const caller = await whoAmI(address, tls);
    assert.equal(caller.kind, "anonymous");
    return caller.kind === "anonymous" ? caller.problem : "";
  };
  const none = "it shows no certificate";
  assert.equal(await problemOf({ kind: "unverified" }), none);
  assert.equal(await problemOf({ kind: "server-only", caCertificates: authority.root }), none);
  const expired = await authority.identity({ fromMs: -2 * hourMs, toMs: -hourMs });
  assert.match(
    await problemOf(mutual(expired)),
    /^the certificate has expired: it holds from \S+Z to \S+Z, and the clock of the host that checks it says \S+Z; compare the clocks/,
  );
  const early = await authority.identity({ fromMs: hourMs, toMs: 2 * hourMs });
  assert.match(await problemOf(mutual(early)), /^the certificate is not valid yet: it holds from/);
  const foreign = await (await TestAuthority.create(clusterId)).identity({ role: "manager" });
  assert.match(
    await problemOf(mutual({ ...foreign, caCertificates: authority.root })),
    /signed by an unknown authority: it is of another cluster/,
  );
  const otherCluster = await authority.identity({ clusterId: "x".repeat(25) });
  assert.equal(
    await problemOf(mutual(otherCluster)),
    `the certificate is of another cluster, ${"x".repeat(25)}, not of ${clusterId}`,
  );
  const strange = await authority.identity({ name: "not an id" });
  assert.equal(
    await problemOf(mutual(strange)),
    "its certificate is neither a node's nor a user's",
  );
});

test("server, a method's rule is asked before its handler", { timeout }, async (t) => {
  const { address } = await serve(t);
  using connection = new Connection(address, { tls: { kind: "unverified" } });
  async function* endless() {
    for (;;) yield {};
  }
  await assert.rejects(connection.service(LogBrokerService).publishLogs(endless()), {
    code: "permission-denied",
    message: "not for anonymous",
  });
});

const wrongServers: readonly [string, TestIdentityOptions, RegExp][] = [
  ["a worker", { role: "worker" }, /its certificate is not a manager's/],
  ["a user", { role: "user", name: "anna" }, /its certificate is not a manager's/],
  ["another cluster's", { clusterId: "x".repeat(25) }, /belongs to another cluster, x+, not to/],
  ["expired", { fromMs: -2 * hourMs, toMs: -hourMs }, /has expired: it holds from .* to .* clocks/],
  ["not yet valid", { fromMs: hourMs, toMs: 2 * hourMs }, /is not valid yet: it holds from/],
];
for (const [what, as, words] of wrongServers) {
  test(`client, a server that is ${what} is not trusted`, { timeout }, async (t) => {
    const { address, callers } = await serve(t, { as });
    await assert.rejects(whoAmI(address, mutual(await authority.identity())), {
      code: "unavailable",
      message: new RegExp(`^Cannot trust the manager: .*${words.source}`),
    });
    assert.equal(callers.length, 0);
  });
}

test("client, a manager of an unknown authority is not trusted, whoever asks", {
  timeout,
}, async (t) => {
  const foreign = await (await TestAuthority.create(clusterId)).identity({ role: "manager" });
  const { address, callers } = await serve(t, { identity: foreign });
  const tls: ClientTls[] = [
    mutual(await authority.identity()),
    { kind: "server-only", caCertificates: authority.root },
  ];
  for (const each of tls) {
    await assert.rejects(whoAmI(address, each), {
      code: "unavailable",
      message: /^Cannot trust the manager: the certificate was signed by an unknown authority/,
    });
  }
  assert.equal(callers.length, 0);
  await whoAmI(address, { kind: "unverified" });
});

test("client, one in plain text gets no answer", { timeout }, async (t) => {
  const { address } = await serve(t);
  await assert.rejects(whoAmI(address), { code: "unavailable" });
});

test("client, a server without TLS, a silent one and a dead one are named", {
  timeout,
}, async (t) => {
  const listen = async (onSocket: (socket: Socket) => void) => {
    const server = createServer(onSocket);
    t.after(() => server.close());
    await once(server.listen(0, "127.0.0.1"), "listening");
    const address = server.address();
    assert(typeof address === "object" && address !== null);
    return `127.0.0.1:${address.port}`;
  };
  const tls = mutual(await authority.identity());
  const web = await listen((socket) =>
    socket.on("error", () => {}).end("HTTP/1.1 400 Bad\r\n\r\n"),
  );
  await assert.rejects(whoAmI(web, tls), {
    code: "unavailable",
    message: "Cannot agree on TLS: the other side does not speak TLS",
  });
  const closing = await listen((socket) => socket.on("error", () => {}).destroy());
  await assert.rejects(whoAmI(closing, tls), { message: /^Cannot agree on TLS: / });
  const silent = await listen((socket) => t.after(() => socket.destroy()));
  await assert.rejects(whoAmI(silent, tls), { message: "Cannot agree on TLS: no answer in 5 s" });
});

test("renewal, new handshakes show the new certificate and trust the new roots; old connections go on", {
  timeout,
}, async (t) => {
  const manager = await serve(t);
  const next = await TestAuthority.create(clusterId);
  const roots = authority.root + next.root;
  const node = new TlsIdentityHolder(await authority.identity());
  using connection = new Connection(manager.address, {
    tls: { kind: "mutual", identity: node, clusterId },
  });
  const client = connection.service(NodeCaService);
  const stream = connection.service(DispatcherService).assignments({})[Symbol.asyncIterator]();
  await stream.next();

  const oldClient = { kind: "server-only", caCertificates: authority.root } as const;
  const newClient = { kind: "server-only", caCertificates: next.root } as const;
  await whoAmI(manager.address, oldClient);
  await assert.rejects(whoAmI(manager.address, newClient), { message: /unknown authority/ });

  manager.holder.replace({
    ...(await next.identity({ role: "manager" })),
    caCertificates: roots,
  });
  // The stream and the connection that it is on live.
  for (let i = 0; i < 10; i++) assert.equal((await stream.next()).done, false);
  await client.getRootCertificate({});
  await whoAmI(manager.address, newClient);
  await assert.rejects(whoAmI(manager.address, oldClient), { message: /unknown authority/ });

  // Both authorities' nodes are known now, as the roots say.
  const known = { ...(await next.identity()), caCertificates: roots };
  assert.equal((await whoAmI(manager.address, mutual(known))).kind, "node");
  const old = { ...(await authority.identity()), caCertificates: roots };
  assert.equal((await whoAmI(manager.address, mutual(old))).kind, "node");
  await stream.return?.();
});

test("renewal, a user whose root is trusted no more is cut off, a node is not", {
  timeout,
}, async (t) => {
  const manager = await serve(t);
  const next = await TestAuthority.create(clusterId);
  const own = await next.identity({ role: "manager" });
  const follow = (identity: TlsIdentity) => {
    const connection = new Connection(manager.address, { tls: mutual(identity) });
    t.after(() => connection[Symbol.dispose]());
    const stream = connection.service(DispatcherService).assignments({})[Symbol.asyncIterator]();
    return stream;
  };
  const user = follow(await authority.identity({ role: "user", name: "anna" }));
  const node = follow(await authority.identity());
  await Promise.all([user.next(), node.next()]);
  manager.holder.replace({ ...own, caCertificates: authority.root + next.root });
  await Promise.all([user.next(), node.next()]);
  manager.holder.replace({ ...own, caCertificates: next.root });
  const untilCut = async () => {
    while ((await user.next()).done !== true);
  };
  await assert.rejects(untilCut(), { code: "unavailable" });
  assert.equal((await node.next()).done, false);
});

test("renewal, a client's next connection shows its new certificate", { timeout }, async (t) => {
  const first = await serve(t);
  const node = new TlsIdentityHolder(await authority.identity({ role: "worker" }));
  using connection = new Connection(first.address, {
    tls: { kind: "mutual", identity: node, clusterId },
  });
  const client = connection.service(NodeCaService);
  await client.getRootCertificate({});
  node.replace(await authority.identity({ role: "manager" }));
  await first[Symbol.asyncDispose]();
  const again = await serveEndpoint(
    first.address,
    {
      tls: { identity: first.holder, clusterId },
      owner: "manager",
      addServices: (server) =>
        addService(server, NodeCaService, {
          getRootCertificate: async (_request, { caller }) => ({
            caCertificate: JSON.stringify(caller),
          }),
          ...refusing,
        }),
    },
    { clock: systemClock },
  );
  t.after(() => again[Symbol.asyncDispose]());
  const ask = () => client.getRootCertificate({}).catch(() => undefined);
  let answer = await ask();
  while (answer === undefined) answer = await ask();
  assert.match(answer.caCertificate, /"role":"manager"/);
});

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
