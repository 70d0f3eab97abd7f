/** Archives as they come: plain, gzip or zstd. The first bytes tell which; names and media types are often wrong. */
import type { FileHandle } from "node:fs/promises";
import { PassThrough, Readable, type Transform } from "node:stream";
import { createGunzip, createZstdDecompress, ZstdDecompress } from "node:zlib";
import { Fault, errnoOf } from "#proto/fault.ts";
import { type PackedBlob, readBlob } from "./packed-blob.ts";
import { malformed } from "./tar-header.ts";

/**
 * A piece of an archive on its way: hashing it and going over the small files in it is one stretch of work on the event
 * loop, so it has to be small; about a millisecond.
 */
export const pieceBytes = 256 * 1024;

/** Decompressed ahead of whoever takes the pieces, in threads of their own. */
const aheadBytes = 1024 * 1024;

/** A skippable frame (RFC 8878, section 3.1), with which some writers begin: magic number and length. */
const skippableHeaderBytes = 8;
const skippableMagic = /^5.2a4d18$/;

/** The tar stream in the blob. Aborted also between two of its frames, of which a small one may have millions. */
export async function* decompress(blob: PackedBlob, signal: AbortSignal): AsyncGenerator<Buffer> {
  await using handle = await blob.open();
  const size = blob.sizeBytes;
  // Node's zstd decoder ends after one frame, but archives may have several; for the others this is one round.
  for (let offset = 0; offset < size; ) {
    signal.throwIfAborted();
    const start = await readStart(blob, handle, { offset, signal });
    const magic = start.toString("hex", 0, 4);
    if (skippableMagic.test(magic) && start.length === skippableHeaderBytes) {
      offset += skippableHeaderBytes + start.readUInt32LE(4);
      continue;
    }
    const decoder = decoderFor(magic);
    const bytes = readBlob(blob, handle, { offset, pieceBytes, signal });
    yield* through(Readable.from(bytes, { objectMode: false, highWaterMark: pieceBytes }), decoder);
    const consumedBytes = decoder instanceof ZstdDecompress ? decoder.bytesWritten : size;
    if (consumedBytes === 0) throw malformed("it does not decompress");
    offset += consumedBytes;
  }
}

async function* through(file: Readable, decoder: Transform): AsyncGenerator<Buffer> {
  file.on("error", (error) => decoder.destroy(error));
  try {
    yield* file.pipe(decoder);
  } catch (error) {
    if (errnoOf(error)?.startsWith("Z") !== true) throw error;
    throw malformed(`it does not decompress (${Fault.from(error).message})`);
  } finally {
    file.destroy();
    decoder.destroy();
  }
}

function decoderFor(magic: string): Transform {
  const options = { chunkSize: pieceBytes, highWaterMark: aheadBytes };
  if (magic.startsWith("1f8b")) return createGunzip(options);
  if (magic === "28b52ffd") return createZstdDecompress(options);
  return new PassThrough({ highWaterMark: pieceBytes });
}

async function readStart(
  blob: PackedBlob,
  handle: FileHandle,
  { offset, signal }: { readonly offset: number; readonly signal: AbortSignal },
): Promise<Buffer> {
  const enough = Math.min(offset + skippableHeaderBytes, blob.sizeBytes);
  for (let end = offset; end < enough; ) end = await blob.readable(end, signal);
  const start = Buffer.alloc(skippableHeaderBytes);
  const { bytesRead } = await handle.read(start, 0, start.length, offset);
  return start.subarray(0, bytesRead);
}
