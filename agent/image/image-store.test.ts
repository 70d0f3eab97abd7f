import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { lstat, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Fault } from "#proto/fault.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { imageOf, indexOf } from "#registry/testing/test-image.ts";
import {
  serveImage,
  startRegistry,
  startServer,
  type TestRegistry,
} from "#registry/testing/test-registry.ts";
import { systemExec } from "../exec.ts";
import { ImageStore, type ImageStoreOptions } from "./image-store.ts";
import type { PullProgress } from "./pull-progress.ts";
import { tarOf } from "./testing/test-tar.ts";

const modules = { clock: systemClock, random: systemRandom, log: silentLog, exec: systemExec };
const platform = { os: "linux", architecture: "amd64" };
const signal = () => AbortSignal.timeout(15_000);

async function temporaryFolder(cleanup: AsyncDisposableStack): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "test-images-"));
  cleanup.defer(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function openStore(
  cleanup: AsyncDisposableStack,
  options: Partial<ImageStoreOptions> = {},
): Promise<{ store: ImageStore; root: string }> {
  const root = options.root ?? (await temporaryFolder(cleanup));
  const store = await ImageStore.open(
    { insecureRegistries: [], platform, backoffMs: 5, ...options, root },
    modules,
  );
  cleanup.use(store);
  return { store, root };
}

const fileLayer = (name: string, content: string | Buffer) => tarOf([{ name, content }]);

describe("an image store with a real registry", () => {
  const suite = new AsyncDisposableStack();
  let registry: TestRegistry;
  before(async () => {
    registry = suite.use(await startRegistry());
  });
  after(() => suite.disposeAsync());

  test("pull, returns config and layers that overlayfs mounts as one tree", async () => {
    await using cleanup = new AsyncDisposableStack();
    const busybox = await readFile("/bin/busybox");
    const image = imageOf(
      [
        tarOf([
          { name: "bin/", type: "5", mode: 0o755 },
          { name: "bin/busybox", content: busybox, mode: 0o4755 },
          { name: "bin/sh", type: "1", linkName: "bin/busybox" },
          { name: "etc/", type: "5", mode: 0o750, uid: 7, gid: 8 },
          { name: "etc/old", content: "old" },
          { name: "etc/kept", content: "kept" },
          { name: "data/", type: "5", mode: 0o700 },
          { name: "data/hidden", content: "hidden" },
        ]),
        tarOf([
          { name: "etc/", type: "5", mode: 0o751, uid: 9, gid: 8 },
          { name: "etc/.wh.old" },
          { name: "data/", type: "5", mode: 0o711 },
          { name: "data/.wh..wh..opq" },
          { name: "data/new", content: "new" },
        ]),
      ],
      {
        config: { Env: ["A=b"], Cmd: ["sh"], WorkingDir: "/data", ExposedPorts: { "80/tcp": {} } },
      },
    );
    await registry.push("team/box", "1", image);
    const { store } = await openStore(cleanup);
    const pulled = await store.pull(`${registry.host}/team/box:1`, { signal: signal() });
    assert.equal(pulled.reference, `${registry.host}/team/box:1`);
    assert.equal(pulled.manifestDigest, image.manifest.digest);
    assert.deepEqual(pulled.config.cmd, ["sh"]);
    assert.deepEqual(pulled.config.exposedPorts, ["80/tcp"]);
    const merged = await mountOverlay(cleanup, pulled.layers);
    assert.deepEqual((await readdir(join(merged, "etc"))).toSorted(), ["kept"]);
    assert.deepEqual(await readdir(join(merged, "data")), ["new"]);
    const etc = await lstat(join(merged, "etc"));
    assert.deepEqual([etc.mode & 0o7777, etc.uid, etc.gid], [0o751, 9, 8]);
    assert.equal((await lstat(join(merged, "data"))).mode & 0o7777, 0o711);
    const shell = await lstat(join(merged, "bin/sh"));
    assert.deepEqual([shell.mode & 0o7777, shell.nlink], [0o4755, 2]);
    const { stdout } = await systemExec.run("chroot", [merged, "/bin/sh", "-c", "echo it runs"]);
    assert.equal(stdout, "it runs\n");
  });

  test("pull of an index, takes the manifest of the host's platform", async () => {
    await using cleanup = new AsyncDisposableStack();
    const images = ["amd64", "s390x"].map((architecture) => {
      const image = imageOf([fileLayer(architecture, architecture)], { architecture });
      return { image, platform: { os: "linux", architecture } };
    });
    for (const { image, platform: of } of images)
      await registry.push("multi", of.architecture, image);
    const index = indexOf(images);
    await registry.pushIndex("multi", "all", index);
    const { store } = await openStore(cleanup);
    const pulled = await store.pull(`${registry.host}/multi:all`, { signal: signal() });
    assert.equal(pulled.digest, index.digest);
    assert.equal(pulled.manifestDigest, images[0]?.image.manifest.digest);
    const other = await openStore(cleanup, { platform: { os: "linux", architecture: "riscv64" } });
    await assert.rejects(other.store.pull(`${registry.host}/multi:all`, { signal: signal() }), {
      code: "not-found",
      message: /: it is for linux\/amd64, linux\/s390x, not for linux\/riscv64$/,
    });
  });

  test("pull of an unknown image or tag, says which of them is unknown", async () => {
    await using cleanup = new AsyncDisposableStack();
    await registry.push("known", "1", imageOf([fileLayer("known", "")]));
    const { store } = await openStore(cleanup);
    const { host } = registry;
    await assert.rejects(store.pull(`${host}/known:9`, { signal: signal() }), {
      code: "not-found",
      message: `Cannot pull image "${host}/known:9": the registry "${host}" has no tag "9" of image "known"`,
    });
    await assert.rejects(store.pull(`${host}/unknown`, { signal: signal() }), {
      code: "not-found",
      message: `Cannot pull image "${host}/unknown": the registry "${host}" has no image "unknown"`,
    });
    await assert.rejects(store.pull("UPPER", { signal: signal() }), { code: "invalid-argument" });
  });

  test("pulls of one image at the same time, share the work", async () => {
    await using cleanup = new AsyncDisposableStack();
    const image = imageOf([fileLayer("shared", "1"), fileLayer("shared", "2")]);
    await registry.push("shared", "1", image);
    const { store } = await openStore(cleanup);
    const name = `${registry.host}/shared:1`;
    const pulls = Array.from({ length: 10 }, () => store.pull(name, { signal: signal() }));
    const [first, ...others] = await Promise.all(pulls);
    for (const other of others) assert.deepEqual(other, first);
    assert.equal(registry.requests("/shared/manifests/"), 1);
    assert.equal(registry.requests("/shared/blobs/"), 3);
  });

  test("two images with one layer, fetch and keep it once", async () => {
    await using cleanup = new AsyncDisposableStack();
    const base = fileLayer("common-base", "base");
    await registry.push("one", "1", imageOf([base, fileLayer("one", "1")]));
    await registry.push("two", "1", imageOf([base, fileLayer("two", "2")]));
    const { store, root } = await openStore(cleanup);
    const pull = (name: string) => store.pull(`${registry.host}/${name}:1`, { signal: signal() });
    const [one, two] = await Promise.all([pull("one"), pull("two")]);
    assert.equal(one.layers[0], two.layers[0]);
    assert.equal((await readdir(join(root, "layers"))).length, 3);
    const digest = imageOf([base]).blobs[1]?.digest ?? "";
    assert.equal(registry.requests(`blobs/${digest}`), 1);
  });

  test("pull by digest of what is here, needs no network; by tag it falls back to it", async () => {
    await using cleanup = new AsyncDisposableStack();
    const own = await startRegistry();
    cleanup.use(own);
    const image = imageOf([fileLayer("pinned", "")]);
    await own.push("pinned", "1", image);
    const { store, root } = await openStore(cleanup);
    const byTag = `${own.host}/pinned:1`;
    const byDigest = `${own.host}/pinned@${image.manifest.digest}`;
    const first = await store.pull(byTag, { signal: signal() });
    const before = own.requests("");
    const pinned = await store.pull(byDigest, { signal: signal() });
    assert.deepEqual(pinned.layers, first.layers);
    assert.equal(own.requests(""), before);
    await own[Symbol.asyncDispose]();
    assert.deepEqual(await store.pull(byTag, { signal: signal() }), first);
    await assert.rejects(store.pull(byTag, { signal: signal(), isStrict: true }), {
      code: "unavailable",
    });
    await store[Symbol.asyncDispose]();
    const reopened = await openStore(cleanup, { root });
    assert.deepEqual(reopened.store.find(byTag), first);
    assert.deepEqual(reopened.store.find(byDigest), pinned);
  });

  test("a tag that moved, is pulled anew", async () => {
    await using cleanup = new AsyncDisposableStack();
    const { store } = await openStore(cleanup);
    const name = `${registry.host}/moving`;
    for (const content of ["old", "new"]) {
      const image = imageOf([fileLayer("file", content)]);
      await registry.push("moving", "latest", image);
      const pulled = await store.pull(name, { signal: signal() });
      assert.equal(pulled.manifestDigest, image.manifest.digest);
      assert.deepEqual(store.find(name), pulled);
    }
  });

  test("an image that names a layer twice, has its folder once", async () => {
    await using cleanup = new AsyncDisposableStack();
    const [a, b] = [fileLayer("a", "a"), fileLayer("b", "b")];
    await registry.push("twice", "latest", imageOf([a, b, a]));
    const { store } = await openStore(cleanup);
    const pulled = await store.pull(`${registry.host}/twice`, { signal: signal() });
    assert.equal(pulled.layers.length, 2);
    await mountOverlay(cleanup, pulled.layers);
  });

  test("progress, goes through the phases up to the total", async () => {
    await using cleanup = new AsyncDisposableStack();
    const image = imageOf([fileLayer("progress", randomBytes(3_000_000))]);
    await registry.push("progress", "1", image);
    const { store } = await openStore(cleanup);
    const seen: PullProgress[] = [];
    const onProgress = (progress: PullProgress) => seen.push(progress);
    await store.pull(`${registry.host}/progress:1`, { signal: signal(), onProgress });
    const phases = [...new Set(seen.map(({ phase }) => phase))];
    assert.deepEqual(phases, ["resolving", "downloading", "unpacking", "complete"]);
    const size = image.blobs[1]?.bytes.length;
    assert.deepEqual(seen.at(-1), { phase: "complete", completedBytes: size, totalBytes: size });
    assert.ok(seen.length < 30);
  });

  test("leftovers of a killed process, are removed and an incomplete image is pulled anew", async () => {
    await using cleanup = new AsyncDisposableStack();
    await registry.push("mended", "1", imageOf([fileLayer("mended", "")]));
    const { store, root } = await openStore(cleanup);
    const name = `${registry.host}/mended:1`;
    const pulled = await store.pull(name, { signal: signal() });
    await store[Symbol.asyncDispose]();
    await mkdir(join(root, "temporary/half/layer"), { recursive: true });
    await rm(pulled.layers[0] ?? "", { recursive: true });
    const reopened = await openStore(cleanup, { root });
    assert.deepEqual(await readdir(join(root, "temporary")), []);
    assert.equal(reopened.store.find(name), undefined);
    const mended = await reopened.store.pull(name, { signal: signal() });
    assert.deepEqual(mended.layers, pulled.layers);
    assert.deepEqual(await readdir(pulled.layers[0] ?? ""), ["mended"]);
  });

  test("a disk that is full, fails the pull with its place and leaves nothing", async () => {
    await using cleanup = new AsyncDisposableStack();
    const zeros = Buffer.alloc(12_000_000);
    await registry.push("bomb", "1", imageOf([fileLayer("zeros", zeros)]));
    await registry.push("big", "1", imageOf([fileLayer("random", randomBytes(12_000_000))]));
    const root = await temporaryFolder(cleanup);
    await systemExec.run("mount", ["-t", "tmpfs", "-o", "size=8m", "none", root]);
    cleanup.defer(async () => void (await systemExec.run("umount", [root])));
    const { store } = await openStore(cleanup, { root });
    for (const name of ["bomb:1", "big:1"]) {
      await assert.rejects(store.pull(`${registry.host}/${name}`, { signal: signal() }), {
        code: "resource-exhausted",
        message: `Cannot pull image "${registry.host}/${name}": no space is left on the disk that holds "${root}": free some and try again`,
      });
      assert.deepEqual(await readdir(join(root, "temporary")), []);
      assert.deepEqual(await readdir(join(root, "layers")), []);
    }
    await registry.push("small", "1", imageOf([fileLayer("small", "")]));
    await store.pull(`${registry.host}/small:1`, { signal: signal() });
  });
});

describe("an image store with a registry that misbehaves", () => {
  const layer = fileLayer("file", randomBytes(300_000));
  const image = imageOf([layer, fileLayer("other", "other")]);
  const blob = image.blobs[1] ?? image.manifest;
  const isBlob = (request: IncomingMessage) => request.url?.endsWith(blob.digest) === true;
  const deadlines = { headersMs: 150, stallMs: 150 };

  async function serve(cleanup: AsyncDisposableStack, spoil: Parameters<typeof serveImage>[1]) {
    const server = cleanup.use(await startServer(serveImage(image, spoil)));
    const { store, root } = await openStore(cleanup, { deadlines });
    return { store, root, host: server.host, name: `${server.host}/x:1` };
  }

  async function refuses(spoil: Parameters<typeof serveImage>[1], code: string, words: RegExp) {
    await using cleanup = new AsyncDisposableStack();
    const { store, root, name } = await serve(cleanup, spoil);
    await assert.rejects(store.pull(name, { signal: signal() }), (error) => {
      assert.ok(error instanceof Fault);
      assert.match(error.message, words);
      assert.equal(error.code, code);
      assert.ok(error.message.startsWith(`Cannot pull image "${name}": `));
      return true;
    });
    assert.equal(store.find(name), undefined);
    await store[Symbol.asyncDispose]();
    assert.deepEqual(await readdir(join(root, "temporary")), []);
  }

  const answer =
    (status: number, body: string | Buffer) => (_: unknown, response: ServerResponse) => {
      response.writeHead(status).end(body);
      return true;
    };

  test("that hangs before it answers, is given up after the deadline with what was awaited", () =>
    refuses(
      () => true,
      "deadline-exceeded",
      /: waited 0.15 s for the answer of "127.*" to GET \/v2\/x\/manifests\/1$/,
    ));

  test("that hangs within a layer, is given up after the deadline with what was awaited", () =>
    refuses(
      (request, response) => {
        if (!isBlob(request)) return false;
        response.writeHead(200, { "content-length": blob.bytes.length });
        response.write(blob.bytes.subarray(0, 1000));
        return true;
      },
      "deadline-exceeded",
      /: waited 0.15 s for more of \/v2\/x\/blobs\/sha256:[0-9a-f]+ from "127/,
    ));

  test("that nobody runs, is not reachable", async () => {
    await using cleanup = new AsyncDisposableStack();
    const server = await startServer(() => {});
    await server[Symbol.asyncDispose]();
    const { store } = await openStore(cleanup);
    await assert.rejects(store.pull(`${server.host}/x`, { signal: signal() }), {
      code: "unavailable",
      message: new RegExp(`: cannot reach "${server.host}": the connection was refused`),
    });
  });

  test("that wants credentials, is named", () =>
    refuses(answer(401, "{}"), "unauthenticated", /asks for credentials, and this host has none/));

  test("that fails every time, is asked three times", async () => {
    let requests = 0;
    await refuses(
      (_request, response) => {
        requests += 1;
        response.writeHead(503).end('{"errors":[{"code":"X","message":"in maintenance"}]}');
        return true;
      },
      "unavailable",
      /answered with status 503: in maintenance$/,
    );
    assert.equal(requests, 3);
  });

  test("that fails or breaks off in passing, does not fail the pull", async () => {
    await using cleanup = new AsyncDisposableStack();
    const seen = new Set<string>();
    const { store, name } = await serve(cleanup, (request, response) => {
      const url = request.url ?? "";
      if (seen.has(url)) return false;
      seen.add(url);
      if (!isBlob(request)) return answer(500, "oops")(request, response);
      response.writeHead(200, { "content-length": blob.bytes.length });
      response.write(blob.bytes.subarray(0, 1000), () => response.destroy());
      return true;
    });
    await store.pull(name, { signal: signal() });
  });

  test("that redirects blobs, is followed", async () => {
    await using cleanup = new AsyncDisposableStack();
    const storage = cleanup.use(await startServer(serveImage(image, () => false)));
    const { store, name } = await serve(cleanup, (request, response) => {
      if (!isBlob(request)) return false;
      response.writeHead(307, { location: `http://${storage.host}${request.url}` }).end();
      return true;
    });
    await store.pull(name, { signal: signal() });
  });

  test("that redirects in a circle, is given up", () =>
    refuses(
      (request, response) => {
        response.writeHead(302, { location: request.url }).end();
        return true;
      },
      "unavailable",
      /redirects more than 5 times/,
    ));

  test("that sends other bytes than the digest says, is refused", () =>
    refuses(
      (request, response) => {
        if (!isBlob(request)) return false;
        const bytes = Buffer.from(blob.bytes);
        bytes[5000] = (bytes[5000] ?? 0) ^ 1;
        response.end(bytes);
        return true;
      },
      "data-loss",
      /: the blob sha256:[0-9a-f]+ arrived with the digest sha256:[0-9a-f]+$/,
    ));

  test("that sends too few or too many bytes, is refused", async () => {
    for (const bytes of [blob.bytes.subarray(1), Buffer.concat([blob.bytes, Buffer.from("x")])]) {
      await refuses(
        (request, response) => {
          if (isBlob(request)) response.end(bytes);
          return isBlob(request);
        },
        "data-loss",
        new RegExp(`arrived with .*${bytes.length} bytes instead of ${blob.bytes.length}$`),
      );
    }
  });

  test("that sends another manifest than the digest says, is refused", async () => {
    await using cleanup = new AsyncDisposableStack();
    const { store, host } = await serve(cleanup, answer(200, JSON.stringify({ other: true })));
    const name = `${host}/x@${image.manifest.digest}`;
    await assert.rejects(store.pull(name, { signal: signal() }), {
      code: "data-loss",
      message: new RegExp(
        `: the manifest ${image.manifest.digest} arrived with the digest sha256:`,
      ),
    });
  });

  test("that sends another manifest for a tag than it says itself, is refused", async () => {
    const promised = image.manifest.digest;
    await refuses(
      (_, response) => {
        const bytes = Buffer.concat([image.manifest.bytes, Buffer.from(" ")]);
        response.setHeader("docker-content-digest", promised).end(bytes);
        return true;
      },
      "data-loss",
      new RegExp(`: the manifest ${promised} arrived with the digest sha256:`),
    );
  });

  test("that sends nonsense as a manifest, is refused with the reason", async () => {
    await refuses(answer(200, "<html>"), "failed-precondition", /: it is not JSON: /);
    await refuses(answer(200, '{"schemaVersion":1}'), "failed-precondition", /old format schema 1/);
    await refuses(
      answer(200, Buffer.alloc(5_000_000)),
      "failed-precondition",
      /more than 4194304 bytes/,
    );
  });

  test("a layer that hangs for one of two pulls, is aborted for that one only", async () => {
    await using cleanup = new AsyncDisposableStack();
    const asked = Promise.withResolvers<ServerResponse>();
    const { store, root, name } = await serve(cleanup, (request, response) => {
      if (isBlob(request)) asked.resolve(response);
      return isBlob(request);
    });
    const controller = new AbortController();
    const aborted = store.pull(name, { signal: controller.signal });
    const kept = store.pull(name, { signal: signal() });
    const response = await asked.promise;
    controller.abort();
    await assert.rejects(aborted, { code: "canceled" });
    response.end(blob.bytes);
    assert.equal((await kept).layers.length, 2);
    assert.deepEqual(await readdir(join(root, "temporary")), []);
  });

  test("a pull that everybody aborted, leaves nothing and can be made again", async () => {
    await using cleanup = new AsyncDisposableStack();
    const asked = Promise.withResolvers<void>();
    let hangs = true;
    const { store, root, name } = await serve(cleanup, (request) => {
      if (isBlob(request)) asked.resolve();
      return isBlob(request) && hangs;
    });
    const controller = new AbortController();
    const aborted = store.pull(name, { signal: controller.signal });
    await asked.promise;
    controller.abort();
    await assert.rejects(aborted, { code: "canceled" });
    assert.deepEqual(await readdir(join(root, "temporary")), []);
    hangs = false;
    await store.pull(name, { signal: signal() });
  });
});

/** Mounts the layers (base first) read-write and returns the merged tree. */
async function mountOverlay(
  cleanup: AsyncDisposableStack,
  layers: readonly string[],
): Promise<string> {
  // An overlay's upper folder cannot be on an overlay, which /tmp may be.
  const folder = await temporaryFolder(cleanup);
  await systemExec.run("mount", ["-t", "tmpfs", "-o", "size=16m", "none", folder]);
  cleanup.defer(async () => void (await systemExec.run("umount", [folder])));
  const paths = ["upper", "work", "merged"].map((name) => join(folder, name));
  await systemExec.run("mkdir", paths);
  const [upper, work, merged = ""] = paths;
  const lower = layers.toReversed().join(":");
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  await systemExec.run("mount", ["-t", "overlay", "-o", options, "none", merged]);
  cleanup.defer(async () => void (await systemExec.run("umount", [merged])));
  return merged;
}
