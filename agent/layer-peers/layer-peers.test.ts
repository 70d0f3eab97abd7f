/** Nodes with real image stores that take images from each other over TLS, and from registries that can go away. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  LayerService,
  type ReadBlobRequest,
  ReadBlobResponseSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { CallContext } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { until } from "#proto/testing/until.ts";
import { imageOf, type TestImage } from "#registry/testing/test-image.ts";
import { serveImage, startRegistry, startServer } from "#registry/testing/test-registry.ts";
import { tarOf } from "../image/testing/test-tar.ts";
import { mayWait } from "./plan.ts";
import { PeerCluster, type TestNode } from "./testing/peer-cluster.ts";

const timeout = 90_000;

/** Random bytes: what is packed is as large. */
function newImage(layers: number, layerBytes: number): TestImage {
  const names = Array.from({ length: layers }, (_, index) => `file${index}`);
  return imageOf(names.map((name) => tarOf([{ name, content: randomBytes(layerBytes) }])));
}

const layersOf = (image: TestImage) => image.blobs.slice(1);
const referenceTo = (host: string, image: TestImage) => `${host}/app@${image.manifest.digest}`;

async function assertHeld({ store }: TestNode, image: TestImage): Promise<void> {
  for (const { digest, bytes } of layersOf(image)) {
    assert.deepEqual(await store.content.read(digest, bytes.length), bytes);
  }
}

/** A registry that counts requests for layers, with what they asked for. */
async function countingRegistry(image: TestImage, gate: Promise<void> = Promise.resolve()) {
  const ranges: (string | undefined)[] = [];
  const server = await startServer(
    serveImage(image, (request, response) => {
      const layer = layersOf(image).find(({ digest }) => request.url?.endsWith(digest) === true);
      if (layer === undefined) return false;
      ranges.push(request.headers.range);
      const half = Math.floor(layer.bytes.length / 2);
      response.writeHead(200, { "content-length": layer.bytes.length });
      response.write(layer.bytes.subarray(0, half));
      void gate.then(() => response.end(layer.bytes.subarray(half)));
      return true;
    }),
  );
  return { ...server, ranges };
}

async function* pieces(data: Uint8Array, count = 1) {
  for (let sent = 0; sent < count; sent += 1) yield create(ReadBlobResponseSchema, { data });
}

test("layer peers, nodes that pull together load the registry once", { timeout }, async () => {
  await using cluster = await PeerCluster.create(1);
  await using registry = await startRegistry();
  const image = newImage(5, 1_000_000);
  await registry.push("app", "1", image);
  const nodes = await Promise.all(Array.from({ length: 6 }, () => cluster.node()));
  const reference = referenceTo(registry.host, image);
  await Promise.all(nodes.map((node) => node.pull(reference)));
  for (const node of nodes) await assertHeld(node, image);
  const layers = layersOf(image);
  const fetched = layers.map(({ digest }) => registry.requests(`/blobs/${digest}`));
  // A node that is late to begin, on a busy machine, may make its children go to the registry too.
  assert.ok(fetched.reduce((sum, count) => sum + count, 0) <= layers.length + 2, fetched.join(" "));
});

test("layer peers, without a registry a node gets what another holds", { timeout }, async () => {
  await using cluster = await PeerCluster.create();
  const registry = await startRegistry();
  const image = newImage(3, 300_000);
  await registry.push("app", "1", image);
  const first = await cluster.node();
  const reference = referenceTo(registry.host, image);
  await first.pull(reference);
  await registry[Symbol.asyncDispose]();
  const others = await Promise.all(Array.from({ length: 3 }, () => cluster.node()));
  await Promise.all(others.map((node) => node.pull(reference)));
  for (const node of others) await assertHeld(node, image);
  await first.cutOff();
  const late = await cluster.node();
  await late.pull(reference);
  await assertHeld(late, image);
});

test("layer peers, a layer is passed on while it comes, but for its last byte", {
  timeout,
}, async () => {
  await using cluster = await PeerCluster.create();
  const image = newImage(1, 1_000_000);
  const gate = Promise.withResolvers<void>();
  await using registry = await countingRegistry(image, gate.promise);
  const [layer] = layersOf(image);
  assert.ok(layer !== undefined);
  const a = await cluster.node();
  const pulled = a.pull(referenceTo(registry.host, image));
  const reader = readerAfter(layer.digest, a.nodeId);
  const client = (await cluster.connect(a, reader)).service(LayerService);
  const read: Buffer[] = [];
  const lengthOf = () => read.reduce((sum, { length }) => sum + length, 0);
  const reading = (async () => {
    for await (const { data } of client.readBlob({ digest: layer.digest }))
      read.push(Buffer.from(data));
  })();
  await until(() => lengthOf() >= Math.floor(layer.bytes.length / 2));
  const found = await client.findBlobs({ digests: [layer.digest, image.manifest.digest] });
  assert.deepEqual(found.coming, [layer.digest]);
  assert.deepEqual(found.held, [image.manifest.digest]);
  // Whoever stands before this node in the order must not wait for it.
  const before = (await cluster.connect(a, readerAfter(layer.digest, a.nodeId, false))).service(
    LayerService,
  );
  await assert.rejects(drain(before.readBlob({ digest: layer.digest })), { code: "not-found" });
  gate.resolve();
  await Promise.all([pulled, reading]);
  assert.deepEqual(Buffer.concat(read), layer.bytes);
  assert.deepEqual(registry.ranges, [undefined]);
});

test("layer peers, who reads wrong bytes while they come is told so", { timeout }, async () => {
  await using cluster = await PeerCluster.create();
  const image = newImage(1, 500_000);
  const [layer] = layersOf(image);
  assert.ok(layer !== undefined);
  const gate = Promise.withResolvers<void>();
  const wrong = Buffer.from(layer.bytes).fill(0, 100, 200);
  await using registry = await startServer(
    serveImage(image, (request, response) => {
      if (request.url?.endsWith(layer.digest) !== true) return false;
      void gate.promise.then(() => response.end(wrong));
      return true;
    }),
  );
  const a = await cluster.node();
  const failed = assert.rejects(a.pull(referenceTo(registry.host, image)), { code: "data-loss" });
  const connection = await cluster.connect(a, readerAfter(layer.digest, a.nodeId));
  const refused = assert.rejects(
    drain(connection.service(LayerService).readBlob({ digest: layer.digest })),
    {
      code: "data-loss",
    },
  );
  gate.resolve();
  await Promise.all([failed, refused]);
});

type ReadBlob = (request: ReadBlobRequest, context: CallContext) => AsyncIterable<never>;

const hostile: Readonly<Record<string, (image: TestImage) => unknown>> = {
  "wrong bytes": (image) => (request: ReadBlobRequest) =>
    pieces(Buffer.alloc(bytesOf(image, request).length - Number(request.offset), 7)),
  "too little": (image) => (request: ReadBlobRequest) =>
    pieces(bytesOf(image, request).subarray(Number(request.offset)).subarray(0, 1000)),
  "too much": (image) => (request: ReadBlobRequest) =>
    pieces(Buffer.concat([bytesOf(image, request), Buffer.from("more")])),
  "bytes without an end": () => () => pieces(Buffer.alloc(100_000), Number.POSITIVE_INFINITY),
  "empty messages without an end": () =>
    async function* (_request: ReadBlobRequest, { signal }: CallContext) {
      while (!signal.aborted) {
        yield* pieces(Buffer.alloc(0));
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  "nothing at all": () =>
    async function* (_request: ReadBlobRequest, { signal }: CallContext) {
      yield* pieces(Buffer.alloc(0), 0);
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
  "half, and then nothing": (image) =>
    async function* (request: ReadBlobRequest, { signal }: CallContext) {
      yield* pieces(bytesOf(image, request).subarray(Number(request.offset), 100_000));
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
  "a refusal": () => () =>
    failing(new Fault("resource-exhausted", "this node sends as many layers as it may")),
  "an old swarmd's words": () => undefined,
};

for (const [what, behave] of Object.entries(hostile)) {
  test(`layer peers, nodes that send ${what} do not spoil a pull`, { timeout }, async () => {
    await using cluster = await PeerCluster.create();
    const image = newImage(2, 300_000);
    await using registry = await countingRegistry(image);
    const readBlob = behave(image) as ReadBlob | undefined;
    const handlers = readBlob === undefined ? {} : { readBlob };
    for (let count = 0; count < 3; count += 1) await cluster.stranger(handlers);
    const node = await cluster.node();
    await node.pull(referenceTo(registry.host, image));
    await assertHeld(node, image);
    assert.ok(registry.ranges.length >= layersOf(image).length);
  });
}

test("layer peers, the registry is asked for the rest of what a node began to send", {
  timeout,
}, async () => {
  await using cluster = await PeerCluster.create();
  const image = newImage(1, 300_000);
  const [layer] = layersOf(image);
  assert.ok(layer !== undefined);
  await using registry = await countingRegistry(image);
  await cluster.stranger({
    readBlob: ({ digest }) =>
      digest === layer.digest
        ? pieces(layer.bytes.subarray(0, 123_456))
        : failing(new Fault("not-found", "it has no such blob")),
  });
  const node = await cluster.node();
  await node.pull(referenceTo(registry.host, image));
  await assertHeld(node, image);
  assert.deepEqual(registry.ranges, ["bytes=123456-"]);
});

test("layer peers, another node at a node's address is not read from", { timeout }, async () => {
  await using cluster = await PeerCluster.create();
  const image = newImage(1, 10_000);
  await using registry = await countingRegistry(image);
  const calls: string[] = [];
  const stranger = await cluster.stranger({
    readBlob: ({ digest }) => {
      calls.push(digest);
      return failing(new Fault("not-found", "it has none"));
    },
  });
  cluster.peers.splice(0, 1, { ...stranger, nodeId: newId(systemRandom) });
  await (await cluster.node()).pull(referenceTo(registry.host, image));
  assert.deepEqual(calls, []);
});

test("layer peers, a node sends only so many layers at a time, and drops who stands still", {
  timeout,
}, async () => {
  await using cluster = await PeerCluster.create();
  await using registry = await startRegistry();
  const image = newImage(1, 24_000_000);
  await registry.push("app", "1", image);
  const [layer] = layersOf(image);
  assert.ok(layer !== undefined);
  const node = await cluster.node();
  await node.pull(referenceTo(registry.host, image));
  const open = async () => {
    const connection = await cluster.connect(node, newId(systemRandom));
    const messages = connection.service(LayerService).readBlob({ digest: layer.digest });
    return messages[Symbol.asyncIterator]();
  };
  const idle = await Promise.all(Array.from({ length: 12 }, open));
  await Promise.all(idle.map((messages) => messages.next()));
  await assert.rejects(async () => (await open()).next(), { code: "resource-exhausted" });
  // Each place is free again when its reader has stood still.
  const again = async () =>
    (await open()).next().then(
      () => true,
      () => false,
    );
  const deadlineMs = performance.now() + 20_000;
  while (!(await again())) assert.ok(performance.now() < deadlineMs, "no place became free");
  for (const messages of idle) await messages.return?.();
});

test("layer peers, pulls succeed while nodes come and go at random", { timeout }, async () => {
  await using cluster = await PeerCluster.create();
  await using registry = await startRegistry();
  const image = newImage(4, 2_000_000);
  await registry.push("app", "1", image);
  const nodes = await Promise.all(Array.from({ length: 8 }, () => cluster.node()));
  const reference = referenceTo(registry.host, image);
  const pulls = nodes.map((node) => node.pull(reference));
  // The manager is wrong about some, and some are gone in the middle.
  for (const [index, node] of nodes.entries()) {
    if (index % 4 === 1) node.holds = true;
    if (index % 4 !== 2) continue;
    for (let turns = systemRandom.int(200); turns > 0; turns -= 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    await node.cutOff();
  }
  await Promise.all(pulls);
  for (const node of nodes) await assertHeld(node, image);
});

/** The ID of a node that may wait for the blob at `nodeId`, or must not. */
function readerAfter(digest: string, nodeId: string, may = true): string {
  for (;;) {
    const id = newId(systemRandom);
    if (mayWait(digest, id, nodeId) === may) return id;
  }
}

function bytesOf(image: TestImage, { digest }: Pick<ReadBlobRequest, "digest">): Buffer {
  const blobs = [...image.blobs, image.manifest];
  return blobs.find((blob) => blob.digest === digest)?.bytes ?? Buffer.alloc(0);
}

// oxlint-disable-next-line require-yield -- a stream that only fails
async function* failing(fault: Fault): AsyncGenerator<never> {
  throw fault;
}

async function drain(messages: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of messages);
}
