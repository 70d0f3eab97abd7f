import assert from "node:assert/strict";
import {
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { Fault } from "#proto/fault.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { digestOf } from "#registry/digest.ts";
import { systemExec } from "../exec.ts";
import { systemDiskProbe } from "./disk-room.ts";
import { chainIds, type Layer, Layers } from "./layers.ts";
import { wholeBlob } from "./packed-blob.ts";
import { parseHeader, parsePax } from "./tar-header.ts";
import { TemporaryFolder } from "./temporary-folder.ts";
import { type TestEntry, tarOf } from "./testing/test-tar.ts";

const signal = AbortSignal.timeout(30_000);
const modules = {
  clock: systemClock,
  exec: systemExec,
  random: systemRandom,
  disk: systemDiskProbe,
};

/** As an image's lowest layer. */
const baseOf = (tar: Buffer) => ({ diffId: digestOf(tar), chainId: digestOf(tar) });

const openLayers = (folder: string, temporary: TemporaryFolder) =>
  Layers.open({ folder, layerBytesMax: 1e9 }, { ...modules, temporary });

describe("a layer", () => {
  let root: string;
  let layers: Layers;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "test-layers-"));
    const temporary = await TemporaryFolder.open(join(root, "temporary"), modules);
    layers = await openLayers(join(root, "layers"), temporary);
  });
  after(() => rm(root, { recursive: true, force: true }));

  async function unpackBytes(tar: Buffer, packed: Buffer): Promise<string> {
    const packedPath = join(root, "packed");
    await writeFile(packedPath, packed);
    const layer = await layers.unpack(baseOf(tar), await wholeBlob(packedPath), signal);
    assert.ok(layer !== undefined);
    return layer.path;
  }

  function unpack(entries: readonly TestEntry[]): Promise<string> {
    const tar = tarOf(entries);
    return unpackBytes(tar, tar);
  }

  async function refuses(entries: readonly TestEntry[], words: RegExp): Promise<void> {
    await assert.rejects(unpack(entries), (error) => {
      assert.ok(error instanceof Fault);
      assert.match(error.message, words);
      assert.equal(error.code, "failed-precondition");
      return true;
    });
    assert.deepEqual(await readdir(join(root, "temporary")), []);
    assert.equal(await layers.find(baseOf(tarOf(entries))), undefined);
  }

  /** Extended attributes, read by letting bsdtar pack them: no other program for it has to be here. */
  async function attributes(path: string): Promise<Record<string, string>> {
    const archive = join(root, "attributes.tar");
    const args = [
      "-cnf",
      archive,
      "--format=pax",
      "--numeric-owner",
      "-C",
      dirname(path),
      basename(path),
    ];
    await systemExec.run("bsdtar", args);
    const bytes = await readFile(archive);
    const header = parseHeader(bytes.subarray(0, 512));
    if (header.type !== "x") return {};
    const prefix = "SCHILY.xattr.";
    const records = [...parsePax(bytes.subarray(512, 512 + header.sizeBytes))];
    return Object.fromEntries(
      records.flatMap(([key, value]) =>
        key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [],
      ),
    );
  }

  for (const [kind, pack] of [
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync],
    ["plain", (tar: Buffer) => tar],
  ] as const) {
    test(`packed as ${kind}, is unpacked`, async () => {
      const tar = tarOf([{ name: `in-${kind}`, content: "content" }]);
      const folder = await unpackBytes(tar, pack(tar));
      assert.equal(await readFile(join(folder, `in-${kind}`), "utf8"), "content");
    });
  }

  test("in several gzip members or zstd frames, is unpacked whole", async () => {
    for (const pack of [gzipSync, zstdCompressSync]) {
      const tar = tarOf([{ name: `${pack.name}-members`, content: Buffer.alloc(5000, pack.name) }]);
      const folder = await unpackBytes(
        tar,
        Buffer.concat([pack(tar.subarray(0, 3000)), pack(tar.subarray(3000))]),
      );
      assert.equal((await readFile(join(folder, `${pack.name}-members`))).length, 5000);
    }
  });

  test("keeps owners, modes, links, devices and attributes", async () => {
    const folder = await unpack([
      { name: "setuid", mode: 0o4711, uid: 1234, gid: 99 },
      { name: "hard", type: "1", linkName: "setuid" },
      { name: "soft", type: "2", linkName: "/etc/passwd" },
      { name: "null", type: "3", device: [1, 3], mode: 0o666 },
      { name: "pipe", type: "6", mode: 0o600 },
      { name: "sticky/", type: "5", mode: 0o1777 },
      { name: "big-owner", pax: { uid: "4000000000", gid: "4000000001" } },
      {
        name: "capable",
        pax: {
          "SCHILY.xattr.security.capability": "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        },
      },
    ]);
    const stats = async (name: string) => await lstat(join(folder, name));
    const setuid = await stats("setuid");
    assert.deepEqual([setuid.mode & 0o7777, setuid.uid, setuid.gid], [0o4711, 1234, 99]);
    assert.equal((await stats("hard")).ino, setuid.ino);
    assert.equal(await readlink(join(folder, "soft")), "/etc/passwd");
    assert.ok((await stats("null")).isCharacterDevice());
    assert.equal((await stats("null")).rdev, 0x103);
    assert.ok((await stats("pipe")).isFIFO());
    assert.equal((await stats("sticky")).mode & 0o7777, 0o1777);
    const owner = await stats("big-owner");
    assert.deepEqual([owner.uid, owner.gid], [4_000_000_000, 4_000_000_001]);
    const capable = await attributes(join(folder, "capable"));
    assert.ok(capable["security.capability"]?.startsWith("\x01\0\0\x02"));
  });

  test("keeps names of any length and any bytes, not normalised", async () => {
    const long = "long/".repeat(60);
    const decomposed = "e\u0301";
    const folder = await unpack([
      { name: "short", pax: { path: `${long}name` }, content: "long" },
      { name: "short2", pax: { path: Buffer.from(decomposed).toString("latin1") } },
      { name: "short3", pax: { path: "raw-\xff" } },
      { name: "link", type: "2", pax: { linkpath: `${long}target` } },
    ]);
    assert.equal(await readFile(join(folder, long, "name"), "utf8"), "long");
    assert.equal(await readlink(join(folder, "link")), `${long}target`);
    const names = await readdir(folder, "latin1");
    assert.ok(names.includes(Buffer.from(decomposed).toString("latin1")));
    assert.ok(names.includes("raw-\xff"));
  });

  test("packed by GNU tar or bsdtar in any of their formats, is the same tree", async () => {
    const source = join(root, "source");
    const deep = "folder/".repeat(30);
    await mkdir(join(source, deep), { recursive: true });
    await writeFile(join(source, deep, "n\u00e4me"), "deep");
    await symlink(deep, join(source, "link"));
    const sparse = await open(join(source, "sparse"), "w");
    await sparse.write("data", 3_000_000);
    await sparse.truncate(5_000_000);
    await sparse.chown(3_000_000, 70_000);
    await sparse.close();
    for (const command of [
      ["tar", "--format=gnu", "--sparse"],
      ["tar", "--format=pax"],
      ["tar", "--format=pax", "--sparse"],
      ["bsdtar", "--format=pax"],
      ["bsdtar", "--format=gnutar"],
    ]) {
      const archive = join(root, "archive.tar");
      const [program = "", ...options] = command;
      await systemExec.run(program, [...options, "-cf", archive, "-C", source, "."]);
      const tar = await readFile(archive);
      const folder = await unpackBytes(tar, tar);
      await systemExec.run("diff", ["-r", source, folder]);
      const stats = await lstat(join(folder, "sparse"));
      assert.deepEqual([stats.uid, stats.gid, stats.size], [3_000_000, 70_000, 5_000_000]);
      assert.equal(await readlink(join(folder, "link")), deep);
    }
  });

  test("with whiteouts, gets devices 0/0 and opaque folders, and keeps the folders' times", async () => {
    const folder = await unpack([
      { name: "dir/", type: "5", mode: 0o750, uid: 5, gid: 6, pax: { mtime: "1000000.5" } },
      { name: "dir/.wh.gone" },
      { name: ".wh.top" },
      { name: "implicit/.wh.gone" },
      { name: "opaque/.wh..wh..opq" },
      { name: "opaque/", type: "5", mode: 0o700, pax: { mtime: "2000000" } },
      { name: ".wh.remade" },
      { name: "remade/", type: "5", mode: 0o755 },
      { name: ".wh.replaced" },
      { name: "replaced", content: "new" },
      { name: ".wh..wh.plnk/", type: "5" },
      { name: "long", pax: { path: `dir/.wh.${"x".repeat(100)}` } },
    ]);
    for (const name of ["dir/gone", "top", "implicit/gone", `dir/${"x".repeat(100)}`]) {
      const stats = await lstat(join(folder, name));
      assert.ok(stats.isCharacterDevice() && stats.rdev === 0, name);
    }
    const dir = await lstat(join(folder, "dir"));
    assert.deepEqual(
      [dir.mtimeMs, dir.mode & 0o7777, dir.uid, dir.gid],
      [1_000_000_500, 0o750, 5, 6],
    );
    assert.deepEqual(await attributes(join(folder, "dir")), {});
    assert.deepEqual(await attributes(join(folder, "opaque")), { "trusted.overlay.opaque": "y" });
    assert.equal((await lstat(join(folder, "opaque"))).mtimeMs, 2_000_000_000);
    assert.equal((await lstat(join(folder, "opaque"))).mode & 0o7777, 0o700);
    assert.deepEqual(await attributes(join(folder, "remade")), { "trusted.overlay.opaque": "y" });
    assert.equal(await readFile(join(folder, "replaced"), "utf8"), "new");
    assert.ok(!(await readdir(folder)).some((name) => name.startsWith(".wh.")));
  });

  test("that removes things in a folder and puts a file in its place, has the file", async () => {
    const folder = await unpack([
      { name: "a/.wh.gone" },
      { name: "b/c/.wh..wh..opq" },
      { name: "a", content: "file" },
      { name: "b", content: "file" },
      { name: ".wh.d" },
      { name: "d/.wh.in-d" },
    ]);
    assert.equal(await readFile(join(folder, "a"), "utf8"), "file");
    assert.equal(await readFile(join(folder, "b"), "utf8"), "file");
    assert.equal((await lstat(join(folder, "d"))).rdev, 0);
  });

  test("with an opaque root, is opaque itself", async () => {
    const folder = await unpack([{ name: "./.wh..wh..opq" }, { name: "only", content: "x" }]);
    assert.deepEqual(await attributes(folder), { "trusted.overlay.opaque": "y" });
  });

  test("that speaks to overlayfs by attributes, is not heard", async () => {
    const folder = await unpack([
      {
        name: "sly/",
        type: "5",
        mode: 0o755,
        pax: {
          "SCHILY.xattr.trusted.overlay.redirect": "/etc",
          "LIBARCHIVE.xattr.trusted.overlay.metacopy": "eQ==",
          "SCHILY.xattr.user.ours": "kept",
        },
      },
    ]);
    assert.deepEqual(await attributes(join(folder, "sly")), { "user.ours": "kept" });
  });

  test("with entries outside its root, is refused", async () => {
    for (const name of ["../out", "a/../../out", "/../out", ".."]) {
      await refuses([{ name }], /outside its root/);
    }
    await refuses([{ name: "in", pax: { path: "../out" } }], /outside its root/);
    await refuses([{ name: "h", type: "1", linkName: "../../../etc/passwd" }], /outside its root/);
  });

  test("with absolute names, stays inside", async () => {
    const folder = await unpack([
      { name: "/absolute", content: "in" },
      { name: "hard", type: "1", linkName: "/absolute" },
    ]);
    assert.equal(await readFile(join(folder, "absolute"), "utf8"), "in");
    assert.equal((await lstat(join(folder, "hard"))).nlink, 2);
  });

  test("that writes, links or removes through a link of its own, stays inside", async () => {
    const outside = await mkdtemp(join(root, "outside-"));
    await writeFile(join(outside, "file"), "untouched");
    const link = { name: "link", type: "2", linkName: outside };
    const target = { name: `${outside}/`, type: "5", mode: 0o700 };
    const folder = await unpack([
      { name: "up", type: "2", linkName: "../../../../../../../../etc" },
      { name: "up/passwd", content: "in" },
    ]);
    assert.equal(await readFile(join(folder, "etc/passwd"), "utf8"), "in");
    const inside = await unpack([
      link,
      target,
      { name: "link/file", content: "in" },
      { name: "hard", type: "1", linkName: "link/file" },
      { name: "link/.wh.gone" },
      { name: "link/.wh..wh..opq" },
    ]);
    assert.equal(await readFile(join(inside, outside, "file"), "utf8"), "in");
    assert.equal((await lstat(join(inside, "hard"))).nlink, 2);
    assert.equal((await lstat(join(inside, outside, "gone"))).rdev, 0);
    assert.deepEqual(await readdir(outside), ["file"]);
    assert.equal(await readFile(join(outside, "file"), "utf8"), "untouched");
    assert.equal((await lstat(join(outside, "file"))).nlink, 1);
    assert.deepEqual(await attributes(outside), {});
  });

  test("with links that go in circles, is refused", () =>
    refuses(
      [
        { name: "a", type: "2", linkName: "b" },
        { name: "b", type: "2", linkName: "a" },
        { name: "a/file", content: "x" },
      ],
      /too many links/,
    ));

  test("whose first name looks like another format, is read as tar", async () => {
    const folder = await unpack([{ name: "#mtree", content: "x" }, { name: "\x1f\x8b" }]);
    assert.deepEqual((await readdir(folder)).length, 2);
  });

  test("that is damaged, is refused with the reason", async () => {
    const tar = tarOf([{ name: "file", content: Buffer.alloc(2000) }]);
    const packed = gzipSync(tar);
    const attempt = (bytes: Buffer, words: RegExp) =>
      assert.rejects(unpackBytes(tar, bytes), (error) => words.test(Fault.from(error).message));
    await attempt(tar.subarray(0, 1000), /ends within an entry/);
    await attempt(Buffer.from("hello ".repeat(200)), /checksum is/);
    await attempt(packed.subarray(0, packed.length - 12), /does not decompress/);
    await attempt(gzipSync(tarOf([{ name: "other" }])), /unpacked to the digest sha256:/);
    await refuses([{ name: "odd", type: "Q" }], /unknown type "Q"/);
    assert.deepEqual(await readdir(join(root, "temporary")), []);
  });

  test("whose unpacking is aborted, leaves nothing", async () => {
    const tar = tarOf([{ name: "big", content: Buffer.alloc(20_000_000, "x") }]);
    await writeFile(join(root, "packed"), tar);
    const controller = new AbortController();
    const unpacking = layers.unpack(
      baseOf(tar),
      await wholeBlob(join(root, "packed")),
      controller.signal,
    );
    setImmediate(() => controller.abort());
    await assert.rejects(unpacking, { name: "AbortError" });
    assert.deepEqual(await readdir(join(root, "temporary")), []);
  });

  test("unpacked twice at the same time, is there once", async () => {
    const tar = tarOf([{ name: "twice", content: "x" }]);
    const folders = await Promise.all([unpackBytes(tar, tar), unpackBytes(tar, tar)]);
    assert.deepEqual(await readdir(folders[0]), ["twice"]);
    assert.deepEqual(await readdir(join(root, "temporary")), []);
  });
});

describe("layers, one on the other", () => {
  let root: string;
  let layers: Layers;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "test-layers-"));
    const temporary = await TemporaryFolder.open(join(root, "temporary"), modules);
    layers = await openLayers(join(root, "layers"), temporary);
  });
  after(() => rm(root, { recursive: true, force: true }));

  /** Unpacks them as an image does: what leans on others after them. */
  async function stack(...entries: readonly (readonly TestEntry[])[]): Promise<readonly Layer[]> {
    const tars = entries.map(tarOf);
    const done: Layer[] = [];
    for (const [index, id] of chainIds(tars.map(digestOf)).entries()) {
      const packed = join(root, "packed");
      await writeFile(packed, tars[index] ?? "");
      const layer =
        (await layers.unpack(id, await wholeBlob(packed), signal)) ??
        (await layers.unpackOnto(done, id, await wholeBlob(packed), signal));
      assert.deepEqual(await layers.find(id), layer);
      done.push(layer);
    }
    return done;
  }

  test("a hard link to a file of a lower layer, makes both names one file in the upper", async () => {
    const base = [
      { name: "bin/", type: "5", mode: 0o711 },
      { name: "bin/tool", content: "tool", mode: 0o4755, uid: 7 },
    ];
    const link = { name: "again", type: "1", linkName: "bin/tool" };
    const [, upper] = await stack(base, [link]);
    const tool = await lstat(join(upper?.path ?? "", "bin/tool"));
    const again = await lstat(join(upper?.path ?? "", "again"));
    assert.deepEqual([tool.ino, tool.mode & 0o7777, tool.uid], [again.ino, 0o4755, 7]);
    assert.equal((await lstat(join(upper?.path ?? "", "bin"))).mode & 0o7777, 0o711);
    // On another base it is another file.
    const other = [
      { name: "bin/", type: "5", mode: 0o755 },
      { name: "bin/tool", content: "other" },
    ];
    const [, second] = await stack(other, [link]);
    assert.equal(await readFile(join(second?.path ?? "", "again"), "utf8"), "other");
    assert.equal(await readFile(join(upper?.path ?? "", "again"), "utf8"), "tool");
    await assert.rejects(
      stack([{ name: "x" }], [link]),
      /a hard link leads to "bin\/tool", which is no/,
    );
    await assert.rejects(stack(base, [{ name: ".wh.bin" }, link]), /which is no file/);
  });

  test("a folder without an entry of its own, stays as it is below, also behind a link", async () => {
    const [, upper] = await stack(
      [
        { name: "usr/", type: "5", mode: 0o755 },
        { name: "usr/lib/", type: "5", mode: 0o750, uid: 5, pax: { mtime: "1000000.5" } },
        { name: "lib", type: "2", linkName: "/usr/lib" },
      ],
      [{ name: "lib/new", content: "new" }],
    );
    const path = upper?.path ?? "";
    assert.equal(await readFile(join(path, "usr/lib/new"), "utf8"), "new");
    const folder = await lstat(join(path, "usr/lib"));
    assert.deepEqual([folder.mode & 0o7777, folder.uid, folder.mtimeMs], [0o750, 5, 1_000_000_500]);
    assert.deepEqual(await readdir(path), ["usr"]);
  });

  test("a link below that leads out of the image, leads nobody out", async () => {
    const outside = await mkdtemp(join(root, "outside-"));
    const [, upper] = await stack(
      [{ name: "out", type: "2", linkName: outside }],
      [{ name: "out/file", content: "in" }],
    );
    assert.deepEqual(await readdir(outside), []);
    assert.equal(await readFile(join(upper?.path ?? "", outside, "file"), "utf8"), "in");
  });
});

test("layers without bsdtar, say what to install", async () => {
  await using cleanup = new AsyncDisposableStack();
  const root = await mkdtemp(join(tmpdir(), "test-layers-"));
  cleanup.defer(() => rm(root, { recursive: true, force: true }));
  const exec = {
    ...systemExec,
    start: (_command: string, args: readonly string[], options: object) =>
      systemExec.start("no-such-program", args, options),
  };
  const temporary = await TemporaryFolder.open(join(root, "temporary"), modules);
  const layers = await Layers.open(
    { folder: join(root, "layers"), layerBytesMax: 1e9 },
    { ...modules, exec, temporary },
  );
  const tar = tarOf([{ name: "file" }]);
  await writeFile(join(root, "packed"), tar);
  await assert.rejects(layers.unpack(baseOf(tar), await wholeBlob(join(root, "packed")), signal), {
    message: 'cannot run "bsdtar": install libarchive-tools',
  });
});
