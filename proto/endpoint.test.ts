/** Endpoints on real sockets: unix sockets of programs that live, were killed, or are something else, and TCP. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Caller } from "./caller.ts";
import { type Endpoint, type EndpointOptions, serveEndpoint } from "./endpoint.ts";
import { NodeCaService } from "./gen/swarm/v1/node_pb.ts";
import { addService, Connection, type Handlers } from "./grpc.ts";
import { systemClock } from "./system-ports.ts";

const timeout = 10_000;

const callers: Caller[] = [];

const handlers = (words: string): Handlers<typeof NodeCaService> => ({
  getRootCertificate: async (_request, { caller }) => {
    callers.push(caller);
    return { caCertificate: words };
  },
  issueNodeCertificate: async (_request, { signal }) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    return {};
  },
  renewNodeCertificate: async () => ({}),
  withdrawNode: async () => ({}),
});

function serve(
  address: string,
  words: string,
  owner: EndpointOptions["owner"] = "manager",
): Promise<Endpoint> {
  return serveEndpoint(
    address,
    { owner, addServices: (server) => addService(server, NodeCaService, handlers(words)) },
    { clock: systemClock },
  );
}

async function ask(address: string): Promise<string> {
  using connection = new Connection(address);
  return (await connection.service(NodeCaService).getRootCertificate({})).caCertificate;
}

function pathIn(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "swarm-endpoint-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "test.sock");
}

test("socket, answers root alone, its callers are local, and it leaves no file", {
  timeout,
}, async (t) => {
  const path = pathIn(t);
  const umask = process.umask();
  {
    await using endpoint = await serve(`unix:${path}`, "one");
    assert.equal(endpoint.address, `unix:${path}`);
    assert.equal(await ask(`unix:${path}`), "one");
    assert.deepEqual(callers.at(-1), { kind: "local" });
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(process.umask(), umask);
  }
  assert(!existsSync(path));
});

test("socket, replaces that of a program that was killed", { timeout }, async (t) => {
  const path = pathIn(t);
  // A listener in another process that is killed leaves its socket's file.
  const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  spawnSync(process.execPath, ["--eval", script]);
  assert(existsSync(path));
  await using _endpoint = await serve(`unix:${path}`, "two");
  assert.equal(await ask(`unix:${path}`), "two");
});

test("socket, that of a living program is not taken", { timeout }, async (t) => {
  const path = pathIn(t);
  await using _endpoint = await serve(`unix:${path}`, "one");
  for (const owner of ["manager", "swarmd"] as const) {
    await assert.rejects(serve(`unix:${path}`, "two", owner), {
      code: "failed-precondition",
      message: `Cannot listen on "${path}": another ${owner} serves there; stop that one first, or give this one another --run-root`,
    });
  }
  assert.equal(await ask(`unix:${path}`), "one");
});

test("socket, a listener that says nothing counts as living", { timeout }, async (t) => {
  const path = pathIn(t);
  const silent = createServer();
  t.after(() => silent.close());
  await new Promise<void>((resolve) => void silent.listen(path, resolve));
  await assert.rejects(serve(`unix:${path}`, "one"), { code: "failed-precondition" });
});

test("socket, a file that is none is left alone", { timeout }, async (t) => {
  const path = pathIn(t);
  writeFileSync(path, "precious");
  await assert.rejects(serve(`unix:${path}`, "one"), {
    message: /it is not a socket; move it away/,
  });
  assert.equal(readFileSync(path, "utf8"), "precious");
});

test("TCP, tells its port; in plain text every caller is anonymous", { timeout }, async () => {
  await using endpoint = await serve("127.0.0.1:0", "three");
  assert.match(endpoint.address, /^127\.0\.0\.1:[1-9][0-9]*$/);
  assert.equal(await ask(endpoint.address), "three");
  assert.deepEqual(callers.at(-1), {
    kind: "anonymous",
    problem: "the connection is not encrypted",
  });
});

test("TCP, an address that is taken, is not this host's, or is none is named", {
  timeout,
}, async () => {
  await using endpoint = await serve("127.0.0.1:0", "one");
  await assert.rejects(serve(endpoint.address, "two"), {
    code: "failed-precondition",
    message: `Cannot listen on ${endpoint.address}: the address is in use; stop the program that has it, or choose another`,
  });
  await assert.rejects(serve("192.0.2.1:2377", "two"), {
    code: "failed-precondition",
    message: /Cannot listen on 192\.0\.2\.1:2377: /,
  });
  await assert.rejects(serve("here", "two"), {
    code: "invalid-argument",
    message: '"here" is not of the form HOST:PORT',
  });
});

test("end, a call that does not end by itself is ended", { timeout }, async () => {
  const endpoint = await serve("127.0.0.1:0", "one");
  using connection = new Connection(endpoint.address);
  const client = connection.service(NodeCaService);
  await client.getRootCertificate({});
  const call = assert.rejects(client.issueNodeCertificate({}), { code: "unavailable" });
  await endpoint[Symbol.asyncDispose]();
  await call;
});

test("endpoint, a client that wants more calls at a time than there are to have waits for them", {
  timeout,
}, async (t) => {
  const path = pathIn(t);
  await using endpoint = await serve(`unix:${path}`, "here");
  const session = connectHttp2("http://localhost", {
    createConnection: () => createConnection(path),
  });
  t.after(() => session.destroy());
  const [settings] = await once(session, "remoteSettings");
  assert.equal(settings.maxConcurrentStreams, 1_000);
  using connection = new Connection(endpoint.address);
  const client = connection.service(NodeCaService);
  await Promise.all(Array.from({ length: 3_000 }, () => client.getRootCertificate({})));
});
