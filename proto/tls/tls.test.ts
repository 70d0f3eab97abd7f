/** Both sides of TLS over real connections: who is told to be who, who is refused, and what junk does. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import { serveEndpoint } from "../endpoint.ts";
import { LogBrokerService, DispatcherService } from "../gen/swarm/v1/dispatcher_pb.ts";
import { NodeCaService } from "../gen/swarm/v1/node_pb.ts";
import { addService, Connection } from "../grpc.ts";
import type { TlsIdentity } from "../manager-messages.ts";
import { systemClock } from "../system-ports.ts";
import { TestAuthority, type TestIdentityOptions } from "../testing/test-authority.ts";
import type { ClientTls } from "./client-credentials.ts";
import { TlsIdentityHolder } from "./tls-identity-holder.ts";
import { authority, clusterId, mutual, refusing, serve, whoAmI } from "./testing/tls-ground.ts";

const timeout = 30_000;
const hourMs = 3_600_000;

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
