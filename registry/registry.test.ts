import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type http from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { formatRegistryAuth } from "./credentials.ts";
import { digestOf } from "./digest.ts";
import { parseReference } from "./reference.ts";
import { Registry, type RegistryOptions } from "./registry.ts";
import { imageOf } from "./testing/test-image.ts";
import {
  account,
  accountAuth,
  serveImage,
  startRegistry,
  startServer,
  type TestRegistry,
} from "./testing/test-registry.ts";

const modules = { clock: systemClock, random: systemRandom };
const signal = () => AbortSignal.timeout(15_000);
const image = imageOf([Buffer.alloc(200_000, "layer")], { compress: (bytes) => bytes });
const layer = image.blobs[1];
assert.ok(layer);
const descriptor = { mediaType: "", digest: layer.digest, sizeBytes: layer.bytes.length };
const login = formatRegistryAuth({ kind: "password", ...account }, "ignored");

function open(options: Partial<RegistryOptions> = {}): Registry {
  return new Registry({ insecureRegistries: [], backoffMs: 5, ...options }, modules);
}

async function readBlob(registry: Registry, name: string, auth?: string): Promise<Buffer> {
  const reference = parseReference(name);
  const body = await registry.blob(reference, descriptor, signal(), auth);
  return Buffer.concat(await Array.fromAsync(body));
}

async function temporaryFolder(cleanup: AsyncDisposableStack): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "test-registry-client-"));
  cleanup.defer(() => rm(path, { recursive: true, force: true }));
  return path;
}

describe("a registry client and a real private registry", () => {
  const suite = new AsyncDisposableStack();
  let server: TestRegistry;
  let name: string;
  before(async () => {
    server = suite.use(await startRegistry({ isPrivate: true }));
    await server.push("team/app", "1", image);
    name = `${server.host}/team/app:1`;
  });
  after(() => suite.disposeAsync());

  test("without a login, says what to do", async () => {
    using registry = open();
    await assert.rejects(registry.manifest(parseReference(name), signal()), {
      code: "unauthenticated",
      message: new RegExp(
        `^the registry "${server.host}" asks for credentials, and .* "swarmctl login`,
      ),
    });
  });

  test("with the login that came along, gets manifest, digest and blob", async () => {
    using registry = open();
    const manifest = await registry.manifest(parseReference(name), signal(), login);
    assert.equal(digestOf(manifest), image.manifest.digest);
    const access = { signal: signal(), registryAuth: login };
    assert.equal(await registry.resolve(parseReference(name), access), image.manifest.digest);
    assert.deepEqual(await readBlob(registry, name, login), layer.bytes);
  });

  test("with the login of a file, needs none beside it", async () => {
    await using cleanup = new AsyncDisposableStack();
    const credentialsFile = join(await temporaryFolder(cleanup), "logins.json");
    using registry = open({ credentialsFile });
    // Logins come while the daemon runs.
    await assert.rejects(readBlob(registry, name), { code: "unauthenticated" });
    await writeFile(
      credentialsFile,
      JSON.stringify({ auths: { [server.host]: { auth: accountAuth } } }),
    );
    assert.deepEqual(await readBlob(registry, name), layer.bytes);
  });

  test("with a login that a helper keeps, names the helper", async () => {
    await using cleanup = new AsyncDisposableStack();
    const credentialsFile = join(await temporaryFolder(cleanup), "logins.json");
    await writeFile(credentialsFile, JSON.stringify({ credHelpers: { [server.host]: "pass" } }));
    using registry = open({ credentialsFile });
    await assert.rejects(readBlob(registry, name), {
      code: "unimplemented",
      message: /the helper "pass" keeps the login for/,
    });
  });

  test("with a wrong password, says whose it was and not what", async () => {
    using registry = open();
    const credentials = { kind: "password", username: "user", password: "wrongsecret" } as const;
    const registryAuth = formatRegistryAuth(credentials, "");
    await assert.rejects(registry.checkLogin(server.host, { signal: signal(), registryAuth }), {
      code: "unauthenticated",
      message: `the registry "${server.host}" refuses the login of "user"`,
    });
    await registry.checkLogin(server.host, { signal: signal(), registryAuth: login });
  });
});

/** A registry that takes tokens only, with the server that gives them. */
async function startTokenRegistry(
  cleanup: AsyncDisposableStack,
  tokenAnswer: (count: number) => object | number = (count) => ({ token: `token${count}` }),
) {
  const asked: { url: URL; authorization: string | undefined; body: string }[] = [];
  const valid = new Set<string>();
  const tokens = cleanup.use(
    await startServer((request, response) => {
      void Array.fromAsync(request).then((chunks) => {
        const url = new URL(request.url ?? "", "http://tokens");
        const body = Buffer.concat(chunks).toString();
        asked.push({ url, authorization: request.headers.authorization, body });
        const answer = tokenAnswer(asked.length);
        if (typeof answer === "number") return response.writeHead(answer).end();
        for (const token of Object.values(answer)) valid.add(`Bearer ${token}`);
        return response.end(JSON.stringify(answer));
      });
    }),
  );
  const challenge = `Bearer realm="http://${tokens.host}/token",service="the registry",scope="repository:x:pull"`;
  const server = cleanup.use(
    await startServer(
      serveImage(image, (request, response) => {
        if (valid.has(request.headers.authorization ?? "")) return false;
        response.writeHead(401, { "www-authenticate": challenge }).end();
        return true;
      }),
    ),
  );
  return { name: `${server.host}/x:1`, host: server.host, asked, valid };
}

describe("a registry client and tokens", () => {
  test("asks for one with service, scope and login, and uses it again", async () => {
    await using cleanup = new AsyncDisposableStack();
    const server = await startTokenRegistry(cleanup);
    using registry = open();
    await registry.manifest(parseReference(server.name), signal(), login);
    await readBlob(registry, server.name, login);
    const [first, ...others] = server.asked;
    assert.deepEqual(others, []);
    assert.equal(first?.authorization, `Basic ${accountAuth}`);
    assert.deepEqual(Object.fromEntries(first?.url.searchParams ?? []), {
      scope: "repository:x:pull",
      client_id: "swarmd",
      service: "the registry",
      account: "user",
    });
  });

  test("asks without a login where it has none, and never uses another login's token", async () => {
    await using cleanup = new AsyncDisposableStack();
    const server = await startTokenRegistry(cleanup);
    using registry = open();
    await readBlob(registry, server.name);
    await readBlob(registry, server.name, login);
    assert.deepEqual(
      server.asked.map(({ authorization }) => authorization),
      [undefined, `Basic ${accountAuth}`],
    );
  });

  test("asks for a new one when the old one expires in the middle", async () => {
    await using cleanup = new AsyncDisposableStack();
    const server = await startTokenRegistry(cleanup);
    using registry = open();
    await registry.manifest(parseReference(server.name), signal());
    server.valid.clear();
    assert.deepEqual(await readBlob(registry, server.name), layer.bytes);
    assert.equal(server.asked.length, 2);
  });

  test("makes one of an identity token", async () => {
    await using cleanup = new AsyncDisposableStack();
    const server = await startTokenRegistry(cleanup, () => ({ access_token: "fresh" }));
    using registry = open();
    const auth = formatRegistryAuth({ kind: "identity-token", token: "refresh me" }, "");
    assert.deepEqual(await readBlob(registry, server.name, auth), layer.bytes);
    const fields = Object.fromEntries(new URLSearchParams(server.asked[0]?.body));
    assert.deepEqual(fields, {
      client_id: "swarmd",
      service: "the registry",
      scope: "repository:x:pull",
      grant_type: "refresh_token",
      refresh_token: "refresh me",
    });
  });

  test("from a server over plain HTTP, are not asked for with a login", async () => {
    await using cleanup = new AsyncDisposableStack();
    const server = cleanup.use(
      await startServer((_, response) => {
        const challenge = 'Bearer realm="http://tokens.test/token"';
        response.writeHead(401, { "www-authenticate": challenge }).end();
      }),
    );
    using registry = open();
    await assert.rejects(readBlob(registry, `${server.host}/x`, login), {
      code: "failed-precondition",
      message: /wants the login sent to "tokens.test" over plain HTTP/,
    });
  });

  for (const [what, answer, code, message] of [
    ["refuses the login", 401, "unauthenticated", /refuses the login of "user"$/],
    ["fails every time", 503, "unavailable", /the token server of the registry .* status 503$/],
    ["sends none", { x: "y" }, "failed-precondition", /the token server of .*, sent no token$/],
    ["sends no header's value", { token: "a\nb" }, "failed-precondition", /sent no token$/],
  ] as const) {
    test(`from a server that ${what}, are told of`, async () => {
      await using cleanup = new AsyncDisposableStack();
      const server = await startTokenRegistry(cleanup, () => answer);
      using registry = open();
      await assert.rejects(readBlob(registry, server.name, login), { code, message });
    });
  }
});

/** A registry of which each blob's answer is the handler's. */
async function startBlobs(cleanup: AsyncDisposableStack, handler: http.RequestListener) {
  const spoil = (request: http.IncomingMessage, response: http.ServerResponse) => {
    const isBlob = request.url?.endsWith(descriptor.digest) === true;
    if (isBlob) handler(request, response);
    return isBlob;
  };
  const server = cleanup.use(await startServer(serveImage(image, spoil)));
  return `${server.host}/x:1`;
}

const half = Math.floor(layer.bytes.length / 2);

function breakOff(response: http.ServerResponse, bytes: Buffer): void {
  response.writeHead(200, { "content-length": layer?.bytes.length });
  response.write(bytes, () => response.destroy());
}

describe("a blob whose connection breaks", () => {
  test("goes on where it was", async () => {
    await using cleanup = new AsyncDisposableStack();
    const ranges: (string | undefined)[] = [];
    const name = await startBlobs(cleanup, (request, response) => {
      ranges.push(request.headers.range);
      if (ranges.length === 1) return breakOff(response, layer.bytes.subarray(0, half));
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1]);
      const end = layer.bytes.length;
      response.writeHead(206, { "content-range": `bytes ${from}-${end - 1}/${end}` });
      response.end(layer.bytes.subarray(from));
    });
    using registry = open();
    assert.deepEqual(await readBlob(registry, name), layer.bytes);
    assert.deepEqual(ranges, [undefined, `bytes=${half}-`]);
  });

  test("goes on also where the server sends everything again", async () => {
    await using cleanup = new AsyncDisposableStack();
    let requests = 0;
    const name = await startBlobs(cleanup, (_, response) => {
      requests += 1;
      if (requests === 1) breakOff(response, layer.bytes.subarray(0, half));
      else response.end(layer.bytes);
    });
    using registry = open();
    assert.deepEqual(await readBlob(registry, name), layer.bytes);
    assert.equal(requests, 2);
  });

  test("and brings nothing more, is given up after three times", async () => {
    await using cleanup = new AsyncDisposableStack();
    let requests = 0;
    const name = await startBlobs(cleanup, (_, response) => {
      requests += 1;
      breakOff(response, layer.bytes.subarray(0, half));
    });
    using registry = open();
    await assert.rejects(readBlob(registry, name), { code: "unavailable", message: /broke off/ });
    assert.equal(requests, 3);
  });

  test("and goes on with another part, is refused", async () => {
    await using cleanup = new AsyncDisposableStack();
    let requests = 0;
    const name = await startBlobs(cleanup, (_, response) => {
      requests += 1;
      if (requests === 1) return breakOff(response, layer.bytes.subarray(0, half));
      response.writeHead(206, { "content-range": `bytes ${half + 1}-${layer.bytes.length}/*` });
      response.end(layer.bytes.subarray(half + 1));
    });
    using registry = open();
    await assert.rejects(readBlob(registry, name), { code: "data-loss" });
  });
});

describe("a registry that is busy", () => {
  test("is asked again after the pause that it names", async () => {
    await using cleanup = new AsyncDisposableStack();
    const at: number[] = [];
    const name = await startBlobs(cleanup, (_, response) => {
      at.push(systemClock.monotonic());
      if (at.length === 1) response.writeHead(429, { "retry-after": "1" }).end();
      else response.end(layer.bytes);
    });
    using registry = open();
    assert.deepEqual(await readBlob(registry, name), layer.bytes);
    const [first = 0, second = 0] = at;
    assert.ok(second - first >= 990, `${second - first} ms`);
  });

  test("for longer than anybody waits, says for how long", async () => {
    await using cleanup = new AsyncDisposableStack();
    const name = await startBlobs(cleanup, (_, response) => {
      response.writeHead(429, { "retry-after": "3600" }).end();
    });
    using registry = open();
    await assert.rejects(readBlob(registry, name), {
      code: "resource-exhausted",
      message: /answered with status 429; it asks to wait 3600 s$/,
    });
  });
});

describe("the way to a registry", () => {
  test("that breaks off while HTTPS is tried, is not HTTP for good", async () => {
    await using cleanup = new AsyncDisposableStack();
    let greetings = 0;
    // As a server of HTTPS does it that is just being started.
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (bytes) => {
        const isTls = bytes[0] === 0x16;
        greetings += isTls ? 1 : 0;
        if (isTls) socket.resetAndDestroy();
        else socket.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
      });
    }).listen(0, "127.0.0.1");
    cleanup.defer(() => void server.close());
    await once(server, "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    using registry = open();
    const reference = parseReference(`127.0.0.1:${address.port}/x`);
    await assert.rejects(registry.manifest(reference, signal()), { code: "unavailable" });
    assert.equal(greetings, 3);
  });

  test("by a redirect to another host, is gone without the login", async () => {
    await using cleanup = new AsyncDisposableStack();
    const seen: (string | undefined)[] = [];
    const storage = cleanup.use(
      await startServer((request, response) => {
        seen.push(request.headers.authorization);
        response.end(layer.bytes);
      }),
    );
    const name = await startBlobs(cleanup, (request, response) => {
      if (request.headers.authorization === undefined) {
        response.writeHead(401, { "www-authenticate": "Basic realm=x" }).end();
      } else response.writeHead(307, { location: `http://${storage.host}/blob` }).end();
    });
    using registry = open();
    assert.deepEqual(await readBlob(registry, name, login), layer.bytes);
    assert.deepEqual(seen, [undefined]);
  });

  test("by a mirror, does not ask the registry, nor show the mirror its login", async () => {
    await using cleanup = new AsyncDisposableStack();
    const seen: (string | undefined)[] = [];
    const mirror = cleanup.use(
      await startServer(
        serveImage(image, (request, response) => {
          seen.push(request.headers.authorization);
          if (!request.url?.startsWith("/hub/v2/")) response.writeHead(404).end();
          return !request.url?.startsWith("/hub/v2/");
        }),
      ),
    );
    const mirrors = [{ registry: "registry.test", url: `http://${mirror.host}/hub/` }];
    using registry = open({ mirrors });
    assert.deepEqual(await readBlob(registry, "registry.test/x:1", login), layer.bytes);
    assert.deepEqual(seen, [undefined]);
  });

  test("leads past mirrors that are away, lack the image or want a login", async () => {
    await using cleanup = new AsyncDisposableStack();
    const statuses = [404, 401, 500];
    const wrong = await Promise.all(
      statuses.map((status) => startServer((_, response) => response.writeHead(status).end())),
    );
    for (const server of wrong) cleanup.use(server);
    const gone = await startServer(() => {});
    await gone[Symbol.asyncDispose]();
    const real = cleanup.use(await startServer(serveImage(image, () => false)));
    const mirrors = [gone, ...wrong].map(({ host }) => ({
      registry: real.host,
      url: `http://${host}`,
    }));
    using registry = open({ mirrors });
    assert.deepEqual(await readBlob(registry, `${real.host}/x:1`), layer.bytes);
  });

  test("leads past mirrors whose manifest is none", async () => {
    await using cleanup = new AsyncDisposableStack();
    const real = cleanup.use(await startServer(serveImage(image, () => false)));
    for (const page of ["<html>", "{}"]) {
      const mirror = cleanup.use(await startServer((_, response) => response.end(page)));
      using registry = open({ mirrors: [{ registry: real.host, url: `http://${mirror.host}` }] });
      for (const name of ["x:1", `x@${image.manifest.digest}`]) {
        const reference = parseReference(`${real.host}/${name}`);
        assert.deepEqual(await registry.manifest(reference, signal()), image.manifest.bytes);
      }
    }
  });

  test("to one that refuses with many words, gives some of them, without control characters", async () => {
    await using cleanup = new AsyncDisposableStack();
    const message = `no\u001b[2J${"!".repeat(5000)}`;
    const body = JSON.stringify({ errors: [{ message }] });
    const handler = (_: unknown, response: http.ServerResponse) =>
      response.writeHead(403).end(body);
    const { host } = cleanup.use(await startServer(handler));
    using registry = open();
    await assert.rejects(registry.manifest(parseReference(`${host}/x:1`), signal()), {
      message: `the registry "${host}" forbids it: no [2J${"!".repeat(294)}`,
    });
  });

  test("by a proxy, is one for its name alone", async () => {
    await using cleanup = new AsyncDisposableStack();
    const urls: (string | undefined)[] = [];
    const serve = serveImage(image, () => false);
    const proxy = cleanup.use(
      await startServer((request, response) => {
        urls.push(request.url);
        serve(request, response);
      }),
    );
    const mirrors = [{ registry: "docker.io", url: "http://mirror.test" }];
    using registry = open({ mirrors, proxy: { http: `http://${proxy.host}`, except: [] } });
    assert.deepEqual(await readBlob(registry, "nginx:1"), layer.bytes);
    assert.deepEqual(urls, [`http://mirror.test/v2/library/nginx/blobs/${layer.digest}`]);
  });

  test("that nobody answers, is given up after the deadline with what was awaited", async () => {
    await using cleanup = new AsyncDisposableStack();
    // Of a server that hears and never speaks, neither HTTPS nor HTTP.
    const server = createServer(() => {}).listen(0, "127.0.0.1");
    cleanup.defer(() => void server.close());
    await once(server, "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    using registry = open({ deadlines: { headersMs: 100, stallMs: 100 } });
    const reference = parseReference(`127.0.0.1:${address.port}/x`);
    await assert.rejects(registry.resolve(reference, { signal: signal() }), {
      code: "deadline-exceeded",
      message: /^waited 0.1 s for the answer of "127/,
    });
  });
});

test("a digest, of a registry that knows no HEAD, is counted", async () => {
  await using cleanup = new AsyncDisposableStack();
  const handler = serveImage(image, ({ method }, response) => {
    if (method === "HEAD") response.writeHead(405).end();
    return method === "HEAD";
  });
  const server = cleanup.use(await startServer(handler));
  using registry = open();
  const reference = parseReference(`${server.host}/x:1`);
  assert.equal(await registry.resolve(reference, { signal: signal() }), image.manifest.digest);
});

test("a digest, where the registry does not say it, is counted", async () => {
  await using cleanup = new AsyncDisposableStack();
  const server = cleanup.use(await startServer(serveImage(image, () => false)));
  using registry = open();
  const reference = parseReference(`${server.host}/x:1`);
  assert.equal(await registry.resolve(reference, { signal: signal() }), image.manifest.digest);
});
