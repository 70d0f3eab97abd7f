/**
 * Unpacked layers: one folder each, ready as an overlayfs lowerdir, named after the digest of the layer's uncompressed
 * tar stream (diffID). A layer's folder does not depend on the layers below it, so images share it whatever it lies on.
 *
 * Invariant: a folder under its final name is complete, was verified, and is on the disk. It is unpacked elsewhere,
 * flushed with syncfs and renamed; a kill or a power cut leaves the folder or nothing. One syncfs per layer, when an
 * image is pulled, is a fair price: after a power cut a container would otherwise start with empty programs.
 */
import { createHash, type Hash } from "node:crypto";
import { createReadStream, type ReadStream } from "node:fs";
import { access, mkdir, open, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Readable, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress, ZstdDecompress } from "node:zlib";
import { Fault, errnoOf } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import { shortIdOf } from "#registry/digest.ts";
import type { Exec } from "../exec.ts";
import { syncFolder } from "./content.ts";
import { isDiskFull } from "./disk-full.ts";
import { emptyWhiteouts, filterLayer, type Whiteouts } from "./tar-filter.ts";
import { malformed } from "./tar-header.ts";
import type { TemporaryFolder } from "./temporary-folder.ts";
import { planWhiteouts } from "./whiteouts.ts";

export interface LayerModules {
  readonly clock: Clock;
  readonly exec: Exec;
  readonly temporary: TemporaryFolder;
}

/**
 * A piece of a layer on its way: hashing it and going over the small files in it is one stretch of work on the event
 * loop, so it has to be small; about a millisecond.
 */
const pieceBytes = 64 * 1024;

/** A layer of many gigabytes on a slow disk. */
const unpackTimeoutMs = 30 * 60_000;
const syncTimeoutMs = 5 * 60_000;

/** What is kept of bsdtar's complaints. */
const complaintBytesMax = 4096;

/**
 * -p: modes, owners, attributes and ACLs as they are. File flags are not set, because an immutable file could not be
 * removed again. Without -P, bsdtar refuses "..", absolute names and writing through links.
 */
const unpackArguments = ["-x", "-p", "--numeric-owner", "--no-fflags", "-f", "-"];

/** How the end of a pipe's reader shows at its writer. */
const brokenPipeCodes: ReadonlySet<string> = new Set([
  "EPIPE",
  "ECONNRESET",
  "ERR_STREAM_PREMATURE_CLOSE",
  "ERR_STREAM_DESTROYED",
]);

type ChildProcess = ReturnType<Exec["start"]>;

/** In the C locale bsdtar refuses names that are not ASCII. */
const locale = { LC_ALL: "C.UTF-8" };

export class Layers {
  readonly #folder: string;
  readonly #modules: LayerModules;

  static async open(folder: string, modules: LayerModules): Promise<Layers> {
    await mkdir(folder, { recursive: true, mode: 0o711 });
    return new Layers(folder, modules);
  }

  constructor(folder: string, modules: LayerModules) {
    this.#folder = folder;
    this.#modules = modules;
  }

  /** Where the layer is, or will be. */
  path(diffId: string): string {
    return join(this.#folder, shortIdOf(diffId));
  }

  async has(diffId: string): Promise<boolean> {
    try {
      await access(this.path(diffId));
      return true;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return false;
      throw error;
    }
  }

  /** Unpacks the layer in the file. Whoever unpacks the same one meanwhile: the first is kept. */
  async unpack(diffId: string, packedPath: string, signal: AbortSignal): Promise<void> {
    await using folder = await this.#modules.temporary.folder();
    const whiteouts = emptyWhiteouts();
    const actual = await this.#extract(folder.path, openLayer(packedPath, whiteouts), signal);
    if (actual !== diffId) {
      throw new Fault("data-loss", `the layer ${diffId} unpacked to the digest ${actual}`);
    }
    const marks = await planWhiteouts(folder.path, whiteouts);
    if (marks !== undefined) {
      await this.#extract(
        folder.path,
        { chunks: Readable.from([marks]), digest: () => "" },
        signal,
      );
    }
    await this.#publish(folder.path, diffId);
  }

  async #publish(path: string, diffId: string): Promise<void> {
    await this.#modules.exec.run("sync", ["-f", path], { timeoutMs: syncTimeoutMs });
    try {
      await rename(path, this.path(diffId));
    } catch (error) {
      const errno = errnoOf(error);
      if (errno !== "ENOTEMPTY" && errno !== "EEXIST") throw error;
    }
    await syncFolder(this.#folder);
  }

  /** Feeds the archive to bsdtar and returns the digest of what it was made from. */
  async #extract(folder: string, archive: Archive, signal: AbortSignal): Promise<string> {
    const child = this.#modules.exec.start("bsdtar", [...unpackArguments, "-C", folder], {
      stdio: ["pipe", "ignore", "pipe"],
      signal,
      killSignal: "SIGKILL",
      env: { ...process.env, ...locale },
    });
    // Not spawn's own timeout: Node forgets to clear it when the program cannot be started.
    using _deadline = this.#modules.clock.timer(unpackTimeoutMs, () => child.kill("SIGKILL"));
    const [fed, ended] = await Promise.allSettled([feed(child, archive), endOf(child)]);
    signal.throwIfAborted();
    // bsdtar that stops early breaks the pipe: then its own words are the cause. Otherwise the archive is.
    if (fed.status === "rejected" && !isBrokenPipe(fed.reason)) throw fed.reason;
    if (ended.status === "rejected") throw ended.reason;
    if (fed.status === "rejected") throw fed.reason;
    return archive.digest();
  }
}

interface Archive {
  readonly chunks: AsyncIterable<Buffer>;
  /** Of what was read; complete when the chunks are at their end. */
  readonly digest: () => string;
}

function openLayer(packedPath: string, whiteouts: Whiteouts): Archive {
  const hash = createHash("sha256");
  return {
    chunks: filterLayer(hashed(decompress(packedPath), hash), whiteouts),
    digest: () => `sha256:${hash.digest("hex")}`,
  };
}

async function* hashed(chunks: AsyncIterable<Buffer>, hash: Hash): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}

/** The layer's tar stream. The first bytes tell the compression; media types are often wrong about it. */
async function* decompress(path: string): AsyncGenerator<Buffer> {
  const { size } = await stat(path);
  // Node's zstd decoder ends after one frame, but layers may have several; for the others this is one round.
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

async function feed(child: ChildProcess, archive: Archive): Promise<void> {
  if (child.stdin === null) throw new Fault("internal", "bsdtar has no input");
  await pipeline(archive.chunks, child.stdin);
}

function isBrokenPipe(thrown: unknown): boolean {
  return brokenPipeCodes.has(errnoOf(thrown) ?? "");
}

/** Resolves when bsdtar ended well. */
function endOf(child: ChildProcess): Promise<void> {
  let complaint = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(0, complaintBytesMax);
  });
  return new Promise((resolve, reject) => {
    let failure: Fault | undefined;
    child.on("error", (error) => {
      const advice = errnoOf(error) === "ENOENT" ? "install libarchive-tools" : error.message;
      failure = new Fault("failed-precondition", `cannot run "bsdtar": ${advice}`, {
        cause: error,
      });
    });
    // Also after an error or an abort: until now it may still have written.
    child.on("close", (status, killedBy) => {
      if (failure === undefined && status === 0) resolve();
      else reject(failure ?? unpackFault(complaint.trim() || `ended by ${killedBy ?? status}`));
    });
  });
}

function unpackFault(complaint: string): Fault {
  const code = isDiskFull(complaint) ? "resource-exhausted" : "failed-precondition";
  return new Fault(code, `cannot unpack the layer: ${complaint.split("\n", 3).join("; ")}`);
}
