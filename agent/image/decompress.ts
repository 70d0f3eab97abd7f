/** Archives as they come: plain, gzip or zstd. The first bytes tell which; names and media types are often wrong. */
import { createReadStream, type ReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { PassThrough, type Transform } from "node:stream";
import { createGunzip, createZstdDecompress, ZstdDecompress } from "node:zlib";
import { Fault, errnoOf } from "#proto/fault.ts";
import { malformed } from "./tar-header.ts";

/**
 * A piece of an archive on its way: hashing it and going over the small files in it is one stretch of work on the event
 * loop, so it has to be small; about a millisecond.
 */
export const pieceBytes = 64 * 1024;

/** The tar stream in the file. */
export async function* decompress(path: string): AsyncGenerator<Buffer> {
  const { size } = await stat(path);
  // Node's zstd decoder ends after one frame, but archives may have several; for the others this is one round.
  for (let offset = 0; offset < size; ) {
    const decoder = decoderFor(await readStart(path, offset));
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

function decoderFor(start: Buffer): Transform {
  const options = { chunkSize: pieceBytes };
  const magic = start.toString("hex");
  if (magic.startsWith("1f8b")) return createGunzip(options);
  // A frame, or a skippable frame (RFC 8878, section 3.1), with which some writers begin.
  if (magic === "28b52ffd" || /^5.2a4d18$/.test(magic)) return createZstdDecompress(options);
  return new PassThrough({ highWaterMark: pieceBytes });
}

async function readStart(path: string, offset: number): Promise<Buffer> {
  await using handle = await open(path, "r");
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, offset);
  return buffer.subarray(0, bytesRead);
}
