/** How full the disk is, and where unpacking has to stop so that the host keeps some of it. */
import { statfs } from "node:fs/promises";
import { Fault } from "#proto/fault.ts";

export interface DiskSpace {
  readonly totalBytes: number;
  /** For us, not for root's last reserve. */
  readonly freeBytes: number;
  readonly totalFiles: number;
  readonly freeFiles: number;
}

/** Injected, so that tests can have any disk. */
export type DiskProbe = (path: string) => Promise<DiskSpace>;

export const systemDiskProbe: DiskProbe = async (path) => {
  const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(path);
  // As df counts: what is used of what users can have.
  return {
    totalBytes: (blocks - bfree + bavail) * bsize,
    freeBytes: bavail * bsize,
    totalFiles: files,
    freeFiles: ffree,
  };
};

/** What unpacking leaves free: a twentieth of the disk, of a large one a gigabyte. */
const reservedShare = 0.05;
const reservedBytesMax = 1024 ** 3;

/** File systems that make inodes as they need them say that they have none. */
const reservedFilesShare = 0.02;

/** How much is unpacked between two looks at the disk. */
const lookBytes = 16 * 1024 * 1024;

export interface RoomOptions {
  readonly path: string;
  /** Of one layer unpacked. */
  readonly layerBytesMax: number;
  readonly probe: DiskProbe;
}

/** Passes the archive on for as long as there is room for it. */
export async function* withinRoom(
  chunks: AsyncIterable<Buffer>,
  { path, layerBytesMax, probe }: RoomOptions,
): AsyncGenerator<Buffer> {
  let totalBytes = 0;
  let lookAtBytes = 0;
  for await (const chunk of chunks) {
    totalBytes += chunk.length;
    if (totalBytes > layerBytesMax) {
      throw new Fault(
        "resource-exhausted",
        `the layer unpacks to more than ${layerBytesMax} bytes: start swarmd with a larger --image-layer-max to take it`,
      );
    }
    if (totalBytes >= lookAtBytes) {
      refuseFull(await probe(path));
      lookAtBytes = totalBytes + lookBytes;
    }
    yield chunk;
  }
}

function refuseFull(space: DiskSpace): void {
  const reservedBytes = Math.min(space.totalBytes * reservedShare, reservedBytesMax);
  const isFull = space.freeBytes < reservedBytes;
  const isOutOfFiles = space.freeFiles < space.totalFiles * reservedFilesShare;
  if (!isFull && !isOutOfFiles) return;
  // As the kernel says it, for disk-full.ts to put the place to it.
  throw new Fault("resource-exhausted", "No space left on device");
}
