/**
 * How a snapshot is cut into chunks, which are what is kept and what is sent to other servers. A chunk is any number of
 * whole pieces, each behind its length as 4 bytes, big-endian. A snapshot has at least one chunk; it may be empty.
 */
import { Fault } from "#proto/fault.ts";

/** A chunk is closed as soon as it has this much. */
export const chunkBytesMin = 512 * 1024;

const lengthBytes = 4;

export function encodeChunk(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const sizeBytes = pieces.reduce((sum, piece) => sum + lengthBytes + piece.length, 0);
  const chunk = new Uint8Array(sizeBytes);
  const view = new DataView(chunk.buffer);
  let at = 0;
  for (const piece of pieces) {
    view.setUint32(at, piece.length);
    chunk.set(piece, at + lengthBytes);
    at += lengthBytes + piece.length;
  }
  return chunk;
}

/** The pieces share the chunk's memory. "invalid-argument" for what is no chunk. */
export function parseChunk(chunk: Uint8Array): Uint8Array[] {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  const pieces: Uint8Array[] = [];
  let at = 0;
  while (at < chunk.length) {
    const left = chunk.length - at - lengthBytes;
    const length = left < 0 ? 0 : view.getUint32(at);
    if (left < length) {
      throw new Fault("invalid-argument", `a piece of the chunk is cut off at byte ${at}`);
    }
    at += lengthBytes;
    pieces.push(chunk.subarray(at, at + length));
    at += length;
  }
  return pieces;
}
