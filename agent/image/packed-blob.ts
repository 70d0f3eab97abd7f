/** A blob in its packed form, whole or still arriving, as a layer is unpacked from it. */
import { type FileHandle, open, stat } from "node:fs/promises";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Arrival } from "./arrivals.ts";

export interface PackedBlob {
  readonly sizeBytes: number;
  open(): Promise<FileHandle>;
  /** Up to where it can be read now: beyond `offset`, or its size. Waits for more where that is still to come. */
  readable(offset: number, signal: AbortSignal): Promise<number>;
}

export async function wholeBlob(path: string): Promise<PackedBlob> {
  const { size: sizeBytes } = await stat(path);
  return { sizeBytes, open: () => open(path, "r"), readable: async () => sizeBytes };
}

/** `path` is where it is when it has arrived. */
export function arrivingBlob(arrival: Arrival, path: string): PackedBlob {
  return {
    sizeBytes: arrival.sizeBytes,
    open: async () => {
      try {
        return await open(arrival.path, "r");
      } catch (error) {
        if (errnoOf(error) === "ENOENT") return await open(path, "r");
        throw error;
      }
    },
    readable: (offset, signal) => arrival.readable(offset, signal),
  };
}

/** The bytes from the offset on, in pieces of this size at most. */
export async function* readBlob(
  blob: PackedBlob,
  handle: FileHandle,
  options: { readonly offset: number; readonly pieceBytes: number; readonly signal: AbortSignal },
): AsyncGenerator<Buffer> {
  const { pieceBytes, signal } = options;
  let { offset } = options;
  while (offset < blob.sizeBytes) {
    const end = await blob.readable(offset, signal);
    while (offset < end) {
      const piece = Buffer.allocUnsafe(Math.min(pieceBytes, end - offset));
      const { bytesRead } = await handle.read(piece, 0, piece.length, offset);
      if (bytesRead === 0) throw new Fault("data-loss", "a packed layer ends before its end");
      offset += bytesRead;
      yield piece.subarray(0, bytesRead);
    }
  }
}
