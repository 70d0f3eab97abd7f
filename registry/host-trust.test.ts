import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { after, before, describe, test } from "node:test";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { TestAuthority } from "#proto/testing/test-authority.ts";
import { readHostTrust } from "./host-trust.ts";
import { HttpClient } from "./http-client.ts";
import { parseReference } from "./reference.ts";
import { Registry } from "./registry.ts";
import { imageOf } from "./testing/test-image.ts";
import { serveImage } from "./testing/test-registry.ts";

/** Resolves to the port. */
async function listen(server: http.Server, cleanup: AsyncDisposableStack): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  cleanup.defer(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return address.port;
}

describe("a registry with a certificate of its own authority", () => {
  const suite = new AsyncDisposableStack();
  const image = imageOf([Buffer.from("layer")]);
  const peers: (string | undefined)[] = [];
  let authority: TestAuthority;
  let folder: string;
  let host: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "test-certificates-"));
    suite.defer(() => rm(folder, { recursive: true }));
    authority = await TestAuthority.create();
    const { certificate, key } = await authority.identity({ name: "localhost" });
    const serve = serveImage(image, (request) => {
      const peer = (request.socket as TLSSocket).getPeerCertificate().subject?.CN;
      peers.push(Array.isArray(peer) ? peer[0] : peer);
      return false;
    });
    const asks = { requestCert: true, rejectUnauthorized: false };
    const server = https.createServer({ cert: certificate, key, ...asks }, serve);
    host = `localhost:${await listen(server, suite)}`;
  });
  after(() => suite.disposeAsync());

  const send = async (client: HttpClient) => {
    const url = new URL(`https://${host}/v2/x/manifests/1`);
    const request = { url, headers: {}, signal: AbortSignal.timeout(10_000) };
    const { status, body } = await client.send(request);
    await Array.fromAsync(body);
    return status;
  };

  test("is refused, then trusted by ca.crt, then shown client.cert, by one client", async () => {
    const deadlines = { headersMs: 5000, stallMs: 5000 };
    const trustOf = (name: string) => readHostTrust([join(folder, "none"), folder], name);
    using client = new HttpClient({ deadlines, trustOf }, { clock: systemClock });
    await assert.rejects(send(client), {
      code: "failed-precondition",
      message: new RegExp(`certificate.*/etc/docker/certs.d/${host}/ca.crt`),
    });
    await mkdir(join(folder, host));
    await writeFile(join(folder, host, "ca.crt"), authority.root);
    assert.equal(await send(client), 200);
    const { certificate, key } = await authority.identity({ name: "a client" });
    await writeFile(join(folder, host, "client.cert"), certificate);
    await assert.rejects(send(client), {
      code: "failed-precondition",
      message: /^Cannot read the certificates in ".*": "client.cert" needs "client.key" beside it$/,
    });
    await writeFile(join(folder, host, "client.key"), key);
    assert.equal(await send(client), 200);
    assert.deepEqual(peers, [undefined, "a client"]);
    await writeFile(join(folder, host, "client.key"), "none");
    await assert.rejects(send(client), {
      code: "failed-precondition",
      message: /^Cannot use the certificates for "localhost:/,
    });
    await writeFile(join(folder, host, "client.key"), key);
  });

  test("is reached through a proxy's tunnel, which sees nothing of what is said", async () => {
    const { certificate, key } = await authority.identity({ name: "registry.test" });
    await using cleanup = new AsyncDisposableStack();
    const server = https.createServer({ cert: certificate, key }, (_, response) =>
      response.end("secret"),
    );
    const port = await listen(server, cleanup);
    const heard: Buffer[] = [];
    const asked: (string | undefined)[] = [];
    const proxy = http.createServer();
    proxy.on("connect", ({ url, headers }, socket: Socket) => {
      asked.push(url, headers["proxy-authorization"]);
      const onward = connect(port, "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        socket.on("data", (chunk) => heard.push(chunk));
        socket.pipe(onward).pipe(socket);
      });
      for (const end of [socket, onward]) end.on("error", () => {});
    });
    const proxyPort = await listen(proxy, cleanup);
    const options = {
      deadlines: { headersMs: 5000, stallMs: 5000 },
      proxy: { https: `http://user:pass@127.0.0.1:${proxyPort}`, except: [] },
      trustOf: async () => ({ authorities: [authority.root], clients: [] }),
    };
    using client = new HttpClient(options, { clock: systemClock });
    const url = new URL("https://registry.test/v2/");
    const signal = AbortSignal.timeout(10_000);
    const { body } = await client.send({ url, headers: { authorization: "hush" }, signal });
    assert.equal(Buffer.concat(await Array.fromAsync(body)).toString(), "secret");
    assert.deepEqual(asked, ["registry.test:443", `Basic ${btoa("user:pass")}`]);
    assert.ok(heard.length > 0 && !Buffer.concat(heard).includes("hush"));
  });

  test("on this machine, needs none, as an insecure one anywhere", async () => {
    const modules = { clock: systemClock, random: systemRandom };
    using registry = new Registry({ insecureRegistries: [] }, modules);
    const access = { signal: AbortSignal.timeout(10_000) };
    const digest = await registry.resolve(parseReference(`${host}/x`), access);
    assert.equal(digest, image.manifest.digest);
  });
});

test("certificates of a host whose name leads elsewhere, are not read", async () => {
  assert.equal(await readHostTrust(["/"], ".."), undefined);
  assert.equal(await readHostTrust(["/"], "a/../etc"), undefined);
});
