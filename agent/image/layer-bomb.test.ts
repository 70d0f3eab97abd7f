/** Layers that are small on their way and unpack to more than there is room for. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { zstdCompressSync } from "node:zlib";
import { Fault } from "#proto/fault.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { digestOf } from "#registry/digest.ts";
import { systemExec } from "../exec.ts";
import { decompress } from "./decompress.ts";
import type { DiskSpace } from "./disk-room.ts";
import { Layers } from "./layers.ts";
import { wholeBlob } from "./packed-blob.ts";
import { encodeFileHeader } from "./tar-header.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const signal = AbortSignal.timeout(60_000);
const modules = { clock: systemClock, exec: systemExec, random: systemRandom };

describe("a bomb", () => {
  const gigabyte = 1024 ** 3;
  const zeros = Buffer.alloc(64 * 1024 * 1024);

  /** Ten gigabytes of zeros in ten megabytes, and what the disk is said to have. */
  async function explode(layerBytesMax: number, disk: DiskSpace, words: RegExp): Promise<void> {
    await using cleanup = new AsyncDisposableStack();
    const root = await mkdtemp(join(tmpdir(), "test-bomb-"));
    cleanup.defer(() => rm(root, { recursive: true, force: true }));
    const temporary = await TemporaryFolder.open(join(root, "temporary"), modules);
    const folder = join(root, "layers");
    const layers = await Layers.open(
      { folder, layerBytesMax },
      { ...modules, temporary, disk: async () => disk },
    );
    const packed = join(root, "packed");
    const sizes = Array.from({ length: 160 }, () => zeros);
    const header = encodeFileHeader("zeros", sizes.length * zeros.length);
    const member = zstdCompressSync(zeros);
    await writeFile(packed, Buffer.concat([zstdCompressSync(header), ...sizes.map(() => member)]));
    const id = { diffId: digestOf(zeros), chainId: digestOf(zeros) };
    const began = performance.now();
    await assert.rejects(layers.unpack(id, await wholeBlob(packed), signal), (error) => {
      assert.ok(error instanceof Fault && error.code === "resource-exhausted", String(error));
      assert.match(error.message, words);
      return true;
    });
    assert.ok(performance.now() - began < 20_000);
    assert.deepEqual(await readdir(folder), []);
    assert.deepEqual(await readdir(join(root, "temporary")), []);
  }
  const room = {
    totalBytes: 100 * gigabyte,
    freeBytes: 50 * gigabyte,
    totalFiles: 0,
    freeFiles: 0,
  };

  test("of more than a layer may have, is given up and leaves nothing", () =>
    explode(50_000_000, room, /unpacks to more than 50000000 bytes.*--image-layer-max/));

  test("that would take the host's last gigabyte, is given up and leaves nothing", () =>
    explode(100 * gigabyte, { ...room, freeBytes: gigabyte - 1 }, /No space left/));

  test("of so many files that no more could be made, is given up and leaves nothing", () =>
    explode(100 * gigabyte, { ...room, totalFiles: 1000, freeFiles: 19 }, /No space left/));

  test("of many empty frames, ends when nobody waits for it any more", async () => {
    await using cleanup = new AsyncDisposableStack();
    const root = await mkdtemp(join(tmpdir(), "test-bomb-"));
    cleanup.defer(() => rm(root, { recursive: true, force: true }));
    const packed = join(root, "packed");
    const frames = [Buffer.from("502a4d1800000000", "hex"), zstdCompressSync("")];
    for (const frame of frames) {
      await writeFile(packed, Buffer.concat(Array.from({ length: 1_000_000 }, () => frame)));
      const aborted = AbortSignal.timeout(100);
      const read = async () => {
        for await (const _chunk of decompress(await wholeBlob(packed), aborted));
      };
      const began = performance.now();
      await assert.rejects(read, { name: "TimeoutError" });
      assert.ok(performance.now() - began < 10_000);
    }
  });
});
