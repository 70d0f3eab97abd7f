/** Archives as they come: plain, gzip or zstd. The first bytes tell which; names and media types are often wrong. */
import { createReadStream, type ReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { PassThrough, type Transform } from "node:stream";
import { createGunzip, createZstdDecompress, ZstdDecompress } from "node:zlib";
import { Fault, errnoOf } from "#proto/fault.ts";
import { malformed } from "./tar-header.ts";

/**
 * A piece of an archive on its way: hashing it and going over the small files in it is one stretch of work on the event
 * loop, so it has to be small; about a millisecond.
 */
export const pieceBytes = 64 * 1024;

/** A skippable frame (RFC 8878, section 3.1), with which some writers begin: magic number and length. */
const skippableHeaderBytes = 8;
const skippableMagic = /^5.2a4d18$/;

/** The tar stream in the file. Aborted also between two of its frames, of which a small file may have millions. */
export async function* decompress(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  await using handle = await open(path, "r");
  const { size } = await handle.stat();
  // Node's zstd decoder ends after one frame, but archives may have several; for the others this is one round.
  for (let offset = 0; offset < size; ) {
    signal.throwIfAborted();
    const start = await readStart(handle, offset);
    const magic = start.toString("hex", 0, 4);
    if (skippableMagic.test(magic) && start.length === skippableHeaderBytes) {
      offset += skippableHeaderBytes + start.readUInt32LE(4);
      continue;
    }
    const decoder = decoderFor(magic);
    const file = createReadStream(path, { highWaterMark: pieceBytes, start: offset });
    yield* through(file, decoder);
    const consumedBytes = decoder instanceof ZstdDecompress ? decoder.bytesWritten : size;
    if (consumedBytes === 0) throw malformed("it does not decompress");
    offset += consumedBytes;
  }
}

async function* through(file: ReadStream, decoder: Transform): AsyncGenerator<Buffer> {
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
  const options = { chunkSize: pieceBytes };
  if (magic.startsWith("1f8b")) return createGunzip(options);
  if (magic === "28b52ffd") return createZstdDecompress(options);
  return new PassThrough({ highWaterMark: pieceBytes });
}

async function readStart(handle: FileHandle, offset: number): Promise<Buffer> {
  const start = Buffer.alloc(skippableHeaderBytes);
  const { bytesRead } = await handle.read(start, 0, start.length, offset);
  return start.subarray(0, bytesRead);
}
