/** What users do with the images of a node, on a real store and without a registry. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { create } from "@bufbuild/protobuf";
import {
  LoadImagesRequestSchema,
  PruneImagesRequestSchema,
  RemoveImageRequestSchema,
  SaveImagesRequestSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { durationFromMs } from "#proto/time.ts";
import { parseReference } from "#registry/reference.ts";
import { imageOf, type TestImage } from "#registry/testing/test-image.ts";
import { systemExec } from "../exec.ts";
import type { DiskSpace } from "./disk-room.ts";
import { imageHandlers } from "./image-api.ts";
import { ImageCollector } from "./image-collector.ts";
import { type Image, ImageStore } from "./image-store.ts";
import type { TaskUse } from "./task-uses.ts";
import { tarOf } from "./testing/test-tar.ts";

const call = {
  signal: AbortSignal.timeout(120_000),
  metadata: new Map<string, string>(),
  peer: "test",
  caller: { kind: "anonymous", problem: "a test" },
} as const;

const platform = { os: "linux", architecture: "amd64" };
const day = 24 * 3_600_000;

const layerOf = (name: string, bytes = 100) =>
  tarOf([{ name, content: Buffer.alloc(bytes, name) }]);

class Ground implements AsyncDisposable {
  readonly folder: string;
  readonly store: ImageStore;
  readonly api: ReturnType<typeof imageHandlers>;
  uses: readonly TaskUse[] = [];
  nowMs = 1_800_000_000_000;
  readonly clock = { ...systemClock, now: () => this.nowMs };

  constructor(folder: string, store: ImageStore) {
    this.folder = folder;
    this.store = store;
    this.api = imageHandlers({ store, uses: async () => this.uses, clock: this.clock });
  }

  static async open(given?: string): Promise<Ground> {
    const folder = given ?? (await mkdtemp(join(tmpdir(), "test-image-api-")));
    const time = { nowMs: () => 0 };
    const clock = { ...systemClock, now: () => time.nowMs() };
    const modules = { clock, random: systemRandom, log: silentLog, exec: systemExec };
    const root = join(folder, "store");
    const store = await ImageStore.open({ root, platform, insecureRegistries: [] }, modules);
    const ground = new Ground(folder, store);
    time.nowMs = () => ground.nowMs;
    return ground;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }

  async install(image: TestImage, ...names: readonly string[]): Promise<Image> {
    const blobs = [image.manifest, ...image.blobs];
    using _held = this.store.hold(blobs.map(({ digest }) => digest));
    for (const { digest, bytes } of blobs) {
      await this.store.content.write({ digest, sizeBytes: bytes.length }, bytes);
    }
    const references = names.map(parseReference);
    const [first] = await this.store.install(image.manifest.digest, references, call.signal);
    assert.ok(first !== undefined);
    return first;
  }

  async load(bytes: Buffer) {
    const pieces = async function* () {
      for (let start = 0; start < bytes.length; start += 1000) {
        const data = bytes.subarray(start, start + 1000);
        yield create(LoadImagesRequestSchema, { data });
      }
    };
    return (await this.api.loadImages(pieces(), call)).images ?? [];
  }

  async save(...refs: readonly string[]): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    const request = create(SaveImagesRequestSchema, { refs: [...refs] });
    for await (const { data } of this.api.saveImages(request, call)) {
      if (data !== undefined) pieces.push(data);
    }
    return Buffer.concat(pieces);
  }

  async names(): Promise<readonly string[]> {
    const { images } = await this.api.listImages({ $typeName: "swarm.v1.ListImagesRequest" }, call);
    return (images ?? []).flatMap(({ references }) => references ?? []).toSorted();
  }

  remove(ref: string, force = false) {
    return this.api.removeImage(create(RemoveImageRequestSchema, { ref, force }), call);
  }

  /** A task with its container's layers. */
  useOf(image: Image, use: Partial<TaskUse> = {}): TaskUse {
    return {
      taskId: "task",
      serviceId: "service",
      reference: image.reference,
      isLive: true,
      createdAtMs: 0,
      layers: image.layers,
      ...use,
    };
  }

  async folders(): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const name of ["layers", "content", "temporary"]) {
      counts[name] = (await readdir(join(this.store.root, name))).length;
    }
    return counts;
  }
}

test("images, saved and loaded elsewhere, are the same, packed in any way", async () => {
  await using from = await Ground.open();
  const image = imageOf([layerOf("base"), layerOf("top")]);
  await from.install(image, "registry.test/app:1", "app:2");
  const saved = await from.save("registry.test/app:1", "app:2");
  for (const pack of [(bytes: Buffer) => bytes, gzipSync, zstdCompressSync]) {
    await using to = await Ground.open();
    const loaded = await to.load(pack(saved));
    assert.deepEqual(
      loaded.map(({ id, references }) => [id, references]),
      [[image.blobs[0]?.digest, ["registry.test/app:1", "docker.io/library/app:2"]]],
    );
    const found = to.store.find("app:2");
    assert.equal(found?.manifestDigest, image.manifest.digest);
    assert.equal(
      await readFile(join(found.layers[1] ?? "", "top"), "utf8"),
      "top".repeat(34).slice(0, 100),
    );
    assert.ok((await to.save("registry.test/app:1", "app:2")).equals(saved));
    assert.deepEqual(await to.folders(), { layers: 2, content: 4, temporary: 0 });
  }
});

test("a saved image, is read by umoci; by its ID it has no name", async () => {
  await using ground = await Ground.open();
  const image = await ground.install(imageOf([layerOf("file")]), "registry.test/app:1");
  const layout = join(ground.folder, "layout");
  await mkdir(layout);
  const input = await ground.save("registry.test/app:1");
  await systemExec.run("tar", ["-x", "-f", "-", "-C", layout], { input });
  const { stdout } = await systemExec.run("umoci", ["ls", "--layout", layout]);
  assert.equal(stdout, "1\n");
  const bundle = join(ground.folder, "bundle");
  await systemExec.run("umoci", ["unpack", "--image", `${layout}:1`, bundle]);
  assert.equal((await readFile(join(bundle, "rootfs/file"))).length, 100);
  const manifest = JSON.parse(await readFile(join(layout, "manifest.json"), "utf8")) as object[];
  assert.deepEqual(Object.keys(manifest[0] ?? {}), ["Config", "RepoTags", "Layers"]);
  await using other = await Ground.open();
  const id = image.configDigest.slice(7, 20);
  const [loaded] = await other.load(await ground.save(id));
  assert.deepEqual([loaded?.id, loaded?.references], [image.configDigest, []]);
});

test("an archive of an old docker's, with links and one layer twice, is loaded", async () => {
  await using ground = await Ground.open();
  const layer = layerOf("file");
  const image = imageOf([layer, layer]);
  const folder = join(ground.folder, "docker");
  for (const name of ["a", "b"]) await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, "a/layer.tar"), layer);
  await symlink("../a/layer.tar", join(folder, "b/layer.tar"));
  await writeFile(join(folder, "config.json"), image.blobs[0]?.bytes ?? "");
  const manifest = [
    { Config: "config.json", RepoTags: ["app:1"], Layers: ["a/layer.tar", "b/layer.tar"] },
  ];
  await writeFile(join(folder, "manifest.json"), JSON.stringify(manifest));
  const archive = join(ground.folder, "archive.tar");
  await systemExec.run("tar", ["-cf", archive, "-C", folder, "."]);
  const [loaded] = await ground.load(await readFile(archive));
  assert.deepEqual(loaded?.references, ["docker.io/library/app:1"]);
  assert.equal(ground.store.find("app:1")?.layers.length, 1);
});

test("an archive with any byte wrong or cut off, is loaded or refused with a Fault, and leaves nothing", async () => {
  await using from = await Ground.open();
  await from.install(imageOf([layerOf("file", 10)]), "app:1");
  const saved = await from.save("app:1");
  await using ground = await Ground.open();
  const property = fc.asyncProperty(
    fc.nat(saved.length - 1),
    fc.integer({ min: 1, max: 255 }),
    fc.nat(saved.length),
    async (at, change, end) => {
      const bytes = Buffer.from(saved.subarray(0, end));
      if (at < end) bytes[at] = (bytes[at] ?? 0) ^ change;
      try {
        await ground.load(bytes);
      } catch (error) {
        assert.ok(error instanceof Fault && error.code !== "internal", String(error));
        assert.match(error.message, /^Cannot load the images: /);
      }
      for (const { reference } of ground.store.list()) {
        await ground.store.remove([reference], new Set());
      }
      assert.deepEqual(await ground.folders(), { layers: 0, content: 0, temporary: 0 });
    },
  );
  await ground.load(saved);
  await fc.assert(property, { numRuns: 100, interruptAfterTimeLimit: 20_000 });
});

test("removing, follows docker's rules", async () => {
  await using ground = await Ground.open();
  const image = await ground.install(imageOf([layerOf("a")]), "one:1", "two:1");
  const id = image.configDigest.slice(7, 19);
  await assert.rejects(ground.remove(id), {
    code: "failed-precondition",
    message: /several names/,
  });
  assert.deepEqual((await ground.remove("one:1")).deleted, []);
  assert.deepEqual(await ground.names(), ["docker.io/library/two:1"]);
  ground.uses = [ground.useOf({ ...image, reference: "docker.io/library/two:1" })];
  for (const force of [false, true]) {
    await assert.rejects(ground.remove("two:1", force), { message: /in use by task task/ });
  }
  await assert.rejects(ground.remove("three"), { code: "not-found" });
  ground.uses = [];
  const removed = await ground.remove(id);
  assert.deepEqual(removed.deleted, [image.configDigest]);
  assert.ok((removed.reclaimedBytes ?? 0n) > 100n);
  assert.deepEqual(await ground.folders(), { layers: 0, content: 0, temporary: 0 });
});

test("removing a tag, takes it off with the digests that services have it with", async () => {
  await using ground = await Ground.open();
  const image = imageOf([layerOf("a")]);
  const pinned = `one:1@${image.manifest.digest}`;
  const held = await ground.install(image, "one:1", pinned);
  ground.uses = [ground.useOf({ ...held, reference: `docker.io/library/${pinned}` })];
  await assert.rejects(ground.remove("one:1"), { message: /in use by task task/ });
  ground.uses = [];
  assert.deepEqual((await ground.remove("one:1")).deleted, [held.configDigest]);
  assert.deepEqual(ground.store.list(), []);
});

test("removing and pruning, leave an image that a task comes for meanwhile", async () => {
  await using ground = await Ground.open();
  const { reference } = await ground.install(imageOf([layerOf("a")]), "one:1");
  const { store, clock } = ground;
  const uses = async () => {
    ground.nowMs += 1;
    await store.touch([reference]);
    return [];
  };
  const api = imageHandlers({ store, uses, clock });
  const remove = async () =>
    api.removeImage(create(RemoveImageRequestSchema, { ref: "one:1" }), call);
  await assert.rejects(remove, { message: /was used just now: try again/ });
  const pruned = await api.pruneImages(create(PruneImagesRequestSchema, { all: true }), call);
  assert.deepEqual(pruned.deleted, []);
  assert.deepEqual(await ground.names(), [reference]);
});

test("an archive whose config is as large as a layer, is refused unread", async () => {
  await using ground = await Ground.open();
  const config = Buffer.alloc(9_000_000, " ");
  const docker = [{ Config: "config.json", RepoTags: ["large:1"], Layers: ["layer.tar"] }];
  const files = [
    { name: "config.json", content: config },
    { name: "layer.tar", content: layerOf("a") },
    { name: "manifest.json", content: JSON.stringify(docker) },
  ];
  const load = ground.load(gzipSync(tarOf(files)));
  await assert.rejects(load, { message: /^Cannot load the images: .*its config is too large/ });
  assert.deepEqual(await readdir(join(ground.store.root, "temporary")), []);
});

test("pruning, takes what has no tag, or all that no task uses and nobody used lately", async () => {
  await using ground = await Ground.open();
  const used = await ground.install(imageOf([layerOf("common"), layerOf("used")]), "used:1");
  await ground.install(imageOf([layerOf("common"), layerOf("old")]), "old:1");
  await ground.install(imageOf([layerOf("nameless")]));
  ground.uses = [ground.useOf(used)];
  ground.nowMs += 2 * day;
  await ground.install(imageOf([layerOf("new")]), "new:1");
  const prune = (all: boolean, ms = 0) =>
    ground.api.pruneImages(
      create(PruneImagesRequestSchema, { all, unusedFor: durationFromMs(ms) }),
      call,
    );
  assert.equal((await prune(false)).deleted?.length, 1);
  assert.equal((await prune(true, day)).deleted?.length, 1);
  assert.deepEqual(await ground.names(), ["docker.io/library/new:1", "docker.io/library/used:1"]);
  assert.equal((await ground.folders())["layers"], 3);
});

test("an image that lost its tag to another, stays for the container that has it", async () => {
  await using ground = await Ground.open();
  const before = await ground.install(imageOf([layerOf("before")]), "app:1");
  const after = await ground.install(imageOf([layerOf("after")]), "app:1");
  assert.notEqual(before.manifestDigest, after.manifestDigest);
  ground.uses = [ground.useOf({ ...before, reference: "docker.io/library/app:1" })];
  const collector = collectorOf(ground, { freeBytes: 0 });
  ground.nowMs += 365 * day;
  await collector.collect();
  assert.ok(ground.store.list().some(({ layers }) => layers[0] === before.layers[0]));
});

test("the collector, removes what is old, and when the disk is full the oldest first", async () => {
  await using ground = await Ground.open();
  const images: Image[] = [];
  for (const name of ["a", "b", "c", "d", "e"]) {
    images.push(await ground.install(imageOf([layerOf(name, 5000)]), `${name}:1`));
    ground.nowMs += day;
  }
  const [, b, , , e] = images;
  assert.ok(b !== undefined && e !== undefined);
  // The service runs e, and ran b before that.
  ground.uses = [
    ground.useOf(e, { createdAtMs: 2 }),
    ground.useOf(b, { taskId: "old", isLive: false, createdAtMs: 1 }),
  ];
  const space = { freeBytes: 20 };
  const collector = collectorOf(ground, space);
  await collector.collect();
  assert.equal((await ground.names()).length, 5);
  // Each image that goes frees three of a hundred; from 86 on until 80.
  space.freeBytes = 14;
  const full = collectorOf(ground, space, 3);
  await full.collect();
  assert.deepEqual(
    await ground.names(),
    ["b", "d", "e"].map((name) => `docker.io/library/${name}:1`),
  );
  ground.nowMs += 40 * day;
  space.freeBytes = 50;
  await full.collect();
  assert.deepEqual(
    await ground.names(),
    ["b", "e"].map((name) => `docker.io/library/${name}:1`),
  );
});

test("the collector, removes images from a disk on which nothing can be written any more", async () => {
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "test-image-full-"));
  cleanup.defer(() => rm(folder, { recursive: true }));
  await systemExec.run("mount", ["-t", "tmpfs", "-o", "size=8m", "none", folder]);
  cleanup.defer(async () => void (await systemExec.run("umount", [folder])));
  const ground = await Ground.open(folder);
  cleanup.use(ground.store);
  const used = await ground.install(imageOf([layerOf("used")]), "used:1");
  await ground.install(imageOf([layerOf("unused", 100_000)]), "unused:1");
  ground.uses = [ground.useOf(used)];
  ground.nowMs += day;
  const filler = writeFile(join(folder, "filler"), Buffer.alloc(9_000_000));
  await assert.rejects(filler, { code: "ENOSPC" });
  await collectorOf(ground, { freeBytes: 0 }).collect();
  assert.deepEqual(await ground.names(), ["docker.io/library/used:1"]);
  const index = await readFile(join(ground.store.root, "index.json"), "utf8");
  assert.doesNotMatch(index, /unused/);
});

test("an image store, opens with whatever is damaged, and mends it when it comes again", async () => {
  await using ground = await Ground.open();
  const image = imageOf([layerOf("mended")]);
  const { layers, configDigest } = await ground.install(image, "mended:1");
  const modules = { clock: ground.clock, random: systemRandom, log: silentLog, exec: systemExec };
  const options = { root: ground.store.root, platform, insecureRegistries: [] };
  const about = join(layers[0] ?? "", "../layer.json");
  for (const path of [about, ground.store.content.path(configDigest)]) {
    await writeFile(path, "{");
    await using store = await ImageStore.open(options, modules);
    assert.equal(store.find("mended:1"), undefined);
    await ground.install(image, "mended:1");
    await using mended = await ImageStore.open(options, modules);
    assert.deepEqual(mended.find("mended:1")?.layers, layers);
  }
});

function collectorOf(ground: Ground, space: { freeBytes: number }, perImage = 0): ImageCollector {
  const start = ground.store.list().length;
  const disk = async (): Promise<DiskSpace> => {
    const removed = start - ground.store.list().length;
    const freeBytes = space.freeBytes + removed * perImage;
    return { totalBytes: 100, freeBytes, totalFiles: 0, freeFiles: 0 };
  };
  const options = { highPercent: 85, lowPercent: 80, unusedMs: 30 * day };
  const uses = async () => ground.uses;
  return new ImageCollector(options, {
    store: ground.store,
    uses,
    clock: ground.clock,
    log: silentLog,
    disk,
  });
}
