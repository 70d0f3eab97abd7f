import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { systemExec } from "#agent/exec.ts";
import { digestOf } from "#registry/digest.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { Content } from "./content.ts";
import { decompress } from "./decompress.ts";
import { TemporaryFolder } from "./temporary-folder.ts";

const signal = AbortSignal.timeout(20_000);
const tar = randomBytes(1_000_000);
const packed = gzipSync(tar);
const middle = packed.length / 2;

async function ground() {
  const root = await mkdtemp(join(tmpdir(), "swarm-packed-"));
  const modules = { exec: systemExec, random: systemRandom };
  const temporary = await TemporaryFolder.open(join(root, "temporary"), modules);
  return {
    content: new Content({ folder: join(root, "blobs") }, { temporary }),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true }),
  };
}

/** Half of the bytes, then the rest when the promise resolves. */
async function* inHalves(bytes: Buffer, more: Promise<void>) {
  yield bytes.subarray(0, middle);
  await more;
  yield bytes.subarray(middle);
}

function receive(content: Content, bytes: Buffer, more: Promise<void>) {
  const blob = { digest: digestOf(packed), sizeBytes: packed.length, mediaType: "" };
  return content.receive(
    blob,
    async () => inHalves(bytes, more),
    () => {},
  );
}

describe("a blob that still arrives", () => {
  test("is decompressed as far as it has come", async () => {
    await using place = await ground();
    const { promise: more, resolve } = Promise.withResolvers<void>();
    const received = receive(place.content, packed, more);
    const arriving = await place.content.arriving(digestOf(packed), signal);
    const chunks: Buffer[] = [];
    for await (const chunk of decompress(arriving, signal)) {
      chunks.push(chunk);
      resolve();
    }
    await received;
    assert(Buffer.concat(chunks).equals(tar));
  });

  test("is not read to its end when it turns out to be wrong", async () => {
    await using place = await ground();
    const wrong = Buffer.from(packed);
    wrong[packed.length - 1] = 255 - (packed.at(-1) ?? 0);
    const received = receive(place.content, wrong, Promise.resolve());
    const refused = assert.rejects(received, /arrived with the digest/);
    const arriving = await place.content.arriving(digestOf(packed), signal);
    const read = Array.fromAsync(decompress(arriving, signal));
    await assert.rejects(read, /arrived with the digest/);
    await refused;
  });

  test("can be opened when it has arrived meanwhile", async () => {
    await using place = await ground();
    const received = receive(place.content, packed, Promise.resolve());
    const arriving = await place.content.arriving(digestOf(packed), signal);
    await received;
    const chunks = await Array.fromAsync(decompress(arriving, signal));
    assert(Buffer.concat(chunks).equals(tar));
  });
});
