/**
 * For tests: registries on loopback. A real one (Debian's docker-registry) to be right against, and one that serves what
 * a test tells it to, to be wrong.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { systemClock } from "#proto/system-ports.ts";
import { indexType, type TestBlob, type TestImage } from "./test-image.ts";

export interface TestRegistry extends AsyncDisposable {
  /** 127.0.0.1:PORT */
  readonly host: string;
  push(repository: string, tag: string, image: TestImage): Promise<void>;
  pushIndex(repository: string, tag: string, index: TestBlob): Promise<void>;
  /** How many requests whose path has the text in it were made so far. */
  requests(text: string): number;
}

const startDeadlineMs = 10_000;

export interface TestRegistryOptions {
  /** Only `account` may pull and push. */
  readonly isPrivate?: boolean;
}

/** The one account of private registries; docker-registry takes bcrypt alone, which Node does not have. */
export const account = { username: "user", password: "secret word" } as const;
export const accountLine = "user:$2b$04$abcdefghijklmnopqrstuuP6/q0obcGuk6SuzN66aTZwHeRCLMzKO\n";
export const accountAuth = Buffer.from(`${account.username}:${account.password}`).toString(
  "base64",
);

export async function startRegistry(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "test-registry-"));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const config = {
    version: 0.1,
    log: { level: "info" },
    storage: { filesystem: { rootdirectory: join(folder, "data") } },
    http: { addr: "127.0.0.1:0" },
    ...(options.isPrivate === true && {
      auth: { htpasswd: { realm: "test", path: join(folder, "htpasswd") } },
    }),
  };
  await writeFile(join(folder, "htpasswd"), accountLine);
  const configPath = join(folder, "config.yml");
  await writeFile(configPath, JSON.stringify(config));
  const child = spawn("docker-registry", ["serve", configPath], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  cleanup.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  });
  const host = await listeningAddress(child.stderr);
  const counter = await startProxy(host);
  cleanup.use(counter);
  const owned = cleanup.move();
  return {
    host: counter.host,
    requests: (text) => counter.paths.filter((path) => path.includes(text)).length,
    async push(repository, tag, image) {
      for (const blob of image.blobs) await pushBlob(host, repository, blob);
      await pushManifest(
        host,
        `${repository}/manifests/${tag}`,
        image.manifest,
        image.manifestType,
      );
    },
    pushIndex: (repository, tag, index) =>
      pushManifest(host, `${repository}/manifests/${tag}`, index, indexType),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The address that docker-registry chose, from its log. */
async function listeningAddress(log: Readable | null): Promise<string> {
  if (log === null) throw new Error("docker-registry has no log");
  const lines: string[] = [];
  const found = Promise.withResolvers<string>();
  const deadline = systemClock.timer(startDeadlineMs, () =>
    found.reject(new Error(`docker-registry does not listen: ${lines.join("; ")}`)),
  );
  // Goes on reading afterwards, so that the registry never waits for its log to be read.
  const reader = createInterface({ input: log });
  reader.on("line", (line) => {
    lines.push(line);
    const address = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
    if (address !== undefined) found.resolve(address);
  });
  reader.on("close", () => found.reject(new Error(`docker-registry ended: ${lines.join("; ")}`)));
  try {
    return await found.promise;
  } finally {
    deadline[Symbol.dispose]();
  }
}

/** Passes everything on but bodies of requests, and notes the paths. */
async function startProxy(
  target: string,
): Promise<AsyncDisposable & { readonly host: string; readonly paths: string[] }> {
  const paths: string[] = [];
  const server = await startServer((request, response) => {
    paths.push(request.url ?? "");
    const url = `http://${target}${request.url}`;
    const { method, headers } = request;
    const onward = http.request(url, { method, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    onward.end();
  });
  return { ...server, paths };
}

/** A server that behaves as the handler says. */
export async function startServer(
  handler: http.RequestListener,
): Promise<AsyncDisposable & { readonly host: string }> {
  const server = http.createServer(handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  return {
    host: `127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Serves the image under every name and tag, except for what `spoil` answers itself (it returns true then). */
export function serveImage(
  image: TestImage,
  spoil: (request: http.IncomingMessage, response: http.ServerResponse) => boolean,
): http.RequestListener {
  return (request, response) => {
    if (spoil(request, response)) return;
    const path = request.url ?? "";
    const blob = image.blobs.find(({ digest }) => path.endsWith(digest));
    const bytes = path.includes("/manifests/") ? image.manifest.bytes : blob?.bytes;
    response.writeHead(bytes === undefined ? 404 : 200, {
      "content-length": bytes?.length ?? 0,
    });
    response.end(bytes);
  };
}

/** Registries that want no login do not look at it. */
const pushHeaders = { authorization: `Basic ${accountAuth}` };

async function pushBlob(host: string, repository: string, blob: TestBlob): Promise<void> {
  const uploads = `http://${host}/v2/${repository}/blobs/uploads/`;
  const start = await fetch(uploads, { method: "POST", headers: pushHeaders });
  const location = new URL(start.headers.get("location") ?? "", `http://${host}`);
  location.searchParams.set("digest", blob.digest);
  const body = new Uint8Array(blob.bytes);
  await expectCreated(await fetch(location, { method: "PUT", body, headers: pushHeaders }));
}

async function pushManifest(
  host: string,
  path: string,
  manifest: TestBlob,
  type: string,
): Promise<void> {
  await expectCreated(
    await fetch(`http://${host}/v2/${path}`, {
      method: "PUT",
      body: new Uint8Array(manifest.bytes),
      headers: { ...pushHeaders, "content-type": type },
    }),
  );
}

async function expectCreated(response: Response): Promise<void> {
  const text = await response.text();
  if (response.status !== 201) throw new Error(`the registry said ${response.status}: ${text}`);
}
