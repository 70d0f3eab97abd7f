/**
 * Bytes by digest on disk: manifests, configs, and layers as they came, which other nodes and "image save" ask for.
 *
 * Invariant: what has its name is complete and was verified. Everything is written under a temporary name, verified
 * while it is written, and renamed. Small things are fsynced before the rename, so that a power cut cannot leave an empty
 * file with a good name. Layers are not: they are verified again by whoever reads them.
 */
import { createHash } from "node:crypto";
import { createReadStream, renameSync } from "node:fs";
import {
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { join } from "node:path";
import { Fault, errnoOf } from "#proto/fault.ts";
import { digestOf, hexOf, isDigest } from "#registry/digest.ts";
import type { Descriptor } from "#registry/manifest.ts";
import { Arrivals } from "./arrivals.ts";
import { arrivingBlob, type PackedBlob, wholeBlob } from "./packed-blob.ts";
import type { TemporaryFolder } from "./temporary-folder.ts";

/** A verified blob in a file of its own, gone when disposed. */
export interface SpooledBlob extends AsyncDisposable {
  readonly path: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

/** Hashed in one stretch of work on the event loop. */
const pieceBytes = 256 * 1024;

export class Content {
  /** What is being received. */
  readonly arrivals = new Arrivals();
  readonly #folder: string;
  readonly #temporary: TemporaryFolder;

  constructor(
    options: { readonly folder: string },
    modules: { readonly temporary: TemporaryFolder },
  ) {
    this.#folder = options.folder;
    this.#temporary = modules.temporary;
  }

  /**
   * Undefined where it is not here or is damaged: then it has to be fetched. Likewise where it has more bytes than
   * that: a manifest may call a layer its config, and whole layers are not for memory.
   */
  async read(digest: string, bytesMax: number): Promise<Buffer | undefined> {
    try {
      const path = this.path(digest);
      if ((await stat(path)).size > bytesMax) return undefined;
      const bytes = await readFile(path);
      return digestOf(bytes) === digest ? bytes : undefined;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  async write(blob: Pick<Descriptor, "digest" | "sizeBytes">, bytes: Buffer): Promise<void> {
    verify(blob, { digest: digestOf(bytes), sizeBytes: bytes.length });
    await mkdir(this.#folder, { recursive: true });
    await using file = this.#temporary.file();
    await writeDurably(file.path, bytes);
    await rename(file.path, this.path(blob.digest));
    await syncFolder(this.#folder);
  }

  /**
   * Writes and verifies the stream piece by piece; the disk sets the pace. The stream is started when there is a place
   * for it, so that none is left behind unread. Whoever reads the arrival meanwhile is told how it ends.
   */
  async receive(
    blob: Descriptor,
    start: () => Promise<AsyncIterable<Buffer>>,
    onBytes: (completedBytes: number) => void,
  ): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    await using file = this.#temporary.file();
    await using handle = await open(file.path, "wx", 0o600);
    const arrival = this.arrivals.begin(blob, file.path);
    try {
      const hash = createHash("sha256");
      let sizeBytes = 0;
      for await (const chunk of await start()) {
        sizeBytes += chunk.length;
        if (sizeBytes > blob.sizeBytes) throw sizeFault(blob, `at least ${sizeBytes}`);
        hash.update(chunk);
        await writeAll(handle, chunk);
        arrival.advance(sizeBytes);
        onBytes(sizeBytes);
      }
      verify(blob, { digest: `sha256:${hash.digest("hex")}`, sizeBytes });
      await rename(file.path, this.path(blob.digest));
      this.arrivals.end(blob.digest, arrival, "verified");
    } catch (error) {
      const fault = Fault.wrap(`This node could not get ${blob.digest}`, error);
      this.arrivals.end(blob.digest, arrival, fault);
      throw error;
    }
  }

  /** The blob in its packed form; a Fault "not-found" where it is not here. */
  async packed(digest: string): Promise<PackedBlob> {
    return await wholeBlob(this.path(digest));
  }

  /** The blob as soon as it begins to arrive. Rejects with the signal's reason. */
  async arriving(digest: string, signal: AbortSignal): Promise<PackedBlob> {
    return arrivingBlob(await this.arrivals.begun(digest, signal), this.path(digest));
  }

  /** Writes bytes of which nobody said what they are, and tells their digest. */
  async spool(chunks: AsyncIterable<Uint8Array>): Promise<SpooledBlob> {
    await using cleanup = new AsyncDisposableStack();
    const file = cleanup.use(this.#temporary.file());
    await using handle = await open(file.path, "wx", 0o600);
    const hash = createHash("sha256");
    let sizeBytes = 0;
    for await (const chunk of chunks) {
      sizeBytes += chunk.length;
      hash.update(chunk);
      await writeAll(handle, Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
    }
    cleanup.move();
    const digest = `sha256:${hash.digest("hex")}`;
    return { ...file, digest, sizeBytes };
  }

  /** Where the blob is, or would be. */
  path(digest: string): string {
    return join(this.#folder, hexOf(digest));
  }

  /** The verified file becomes a blob of its digest, and stays as well: both names are of one file. */
  async copy(spooled: SpooledBlob): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    await using file = this.#temporary.file();
    await link(spooled.path, file.path);
    await using handle = await open(file.path, "r");
    await handle.sync();
    await rename(file.path, this.path(spooled.digest));
    await syncFolder(this.#folder);
  }

  /** How large the blob is; undefined where it is not here. */
  async sizeOf(digest: string): Promise<number | undefined> {
    try {
      return (await stat(this.path(digest))).size;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  /** The blob, piece by piece; fails at its end if it is damaged. */
  async *stream(digest: string): AsyncGenerator<Buffer> {
    const hash = createHash("sha256");
    for await (const chunk of createReadStream(this.path(digest), { highWaterMark: pieceBytes })) {
      const piece = chunk as Buffer;
      hash.update(piece);
      yield piece;
    }
    const actual = `sha256:${hash.digest("hex")}`;
    if (actual === digest) return;
    throw new Fault(
      "data-loss",
      `the blob ${digest} is damaged on this host: pull its image again`,
    );
  }

  /** The digests of all blobs. */
  async list(): Promise<readonly string[]> {
    try {
      return (await readdir(this.#folder)).map((name) => `sha256:${name}`).filter(isDigest);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return [];
      throw error;
    }
  }

  /** Takes the blob away, unless it is needed at this moment. */
  async remove(digest: string, isNeeded: () => boolean = () => false): Promise<boolean> {
    await using gone = this.#temporary.file();
    if (isNeeded()) return false;
    try {
      // In the same turn as the question; freeing a large file's blocks takes longer than a rename.
      renameSync(this.path(digest), gone.path);
      return true;
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
      return false;
    }
  }
}

/** Replaces the file so that after a power cut it has the old content or the new, never a mixture. */
export async function replaceFile(path: string, bytes: Buffer): Promise<void> {
  const next = `${path}.new`;
  await rm(next, { force: true });
  await writeDurably(next, bytes);
  await rename(next, path);
  await syncFolder(join(path, ".."));
}

/** Makes a rename inside the folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  await using handle = await open(path, "r");
  await handle.sync();
}

async function writeDurably(path: string, bytes: Buffer): Promise<void> {
  await using handle = await open(path, "wx", 0o600);
  await writeAll(handle, bytes);
  await handle.sync();
}

/** One write may take less than it was given, for example just before the disk is full. */
async function writeAll(handle: FileHandle, bytes: Buffer): Promise<void> {
  for (let offset = 0; offset < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, offset);
    offset += bytesWritten;
  }
}

function verify(
  blob: Pick<Descriptor, "digest" | "sizeBytes">,
  actual: Pick<Descriptor, "digest" | "sizeBytes">,
): void {
  if (actual.sizeBytes !== blob.sizeBytes) throw sizeFault(blob, String(actual.sizeBytes));
  if (actual.digest !== blob.digest) {
    throw new Fault(
      "data-loss",
      `the blob ${blob.digest} arrived with the digest ${actual.digest}`,
    );
  }
}

function sizeFault(blob: Pick<Descriptor, "digest" | "sizeBytes">, actual: string): Fault {
  return new Fault(
    "data-loss",
    `the blob ${blob.digest} arrived with ${actual} bytes instead of ${blob.sizeBytes}`,
  );
}
