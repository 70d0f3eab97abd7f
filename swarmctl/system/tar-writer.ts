/** A tar of plain files (POSIX ustar), packed with gzip as it grows, that is there whole or not at all. */
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { createGzip, type Gzip } from "node:zlib";
import { once } from "node:events";
import { Fault } from "#proto/fault.ts";

const blockBytes = 512;
const nameBytesMax = 100;
const prefixBytesMax = 155;

export class TarWriter implements AsyncDisposable {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #gzip: Gzip;
  readonly #written: Promise<void>;
  readonly #seconds: number;

  constructor(path: string, file: FileHandle, nowMs: number) {
    this.#path = path;
    this.#file = file;
    this.#seconds = Math.floor(nowMs / 1000);
    this.#gzip = createGzip();
    this.#written = this.#pour();
    // Whoever ends or disposes of it is told.
    this.#written.catch(() => undefined);
  }

  /** Readable by its owner alone. */
  static async open(path: string, nowMs: number): Promise<TarWriter> {
    try {
      return new TarWriter(path, await open(draftOf(path), "w", 0o600), nowMs);
    } catch (thrown) {
      throw Fault.wrap(`Cannot write "${path}"`, thrown);
    }
  }

  async add(name: string, data: Uint8Array): Promise<void> {
    const padding = Buffer.alloc((blockBytes - (data.length % blockBytes)) % blockBytes);
    for (const piece of [header(name, data.length, this.#seconds), data, padding]) {
      if (!this.#gzip.write(piece)) await Promise.race([once(this.#gzip, "drain"), this.#written]);
    }
  }

  async end(): Promise<void> {
    try {
      this.#gzip.end(Buffer.alloc(2 * blockBytes));
      await this.#written;
      await rename(draftOf(this.#path), this.#path);
    } catch (thrown) {
      throw Fault.wrap(`Cannot write "${this.#path}"`, thrown);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#gzip.destroy();
    await this.#written.catch(() => undefined);
    await this.#file.close();
    await rm(draftOf(this.#path), { force: true });
  }

  async #pour(): Promise<void> {
    for await (const piece of this.#gzip as AsyncIterable<Buffer>)
      await this.#file.writeFile(piece);
  }
}

function draftOf(path: string): string {
  return `${path}.partial`;
}

function header(path: string, sizeBytes: number, seconds: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  const [prefix, name] = split(path);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`;
  block.write(name, 0);
  block.write(octal(0o644, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(sizeBytes, 11), 124);
  block.write(octal(seconds, 11), 136);
  // The checksum counts itself as spaces.
  block.write(" ".repeat(8), 148);
  block.write("0ustar\u000000root", 156);
  block.write("root", 297);
  block.write(prefix, 345);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

function split(path: string): readonly [prefix: string, name: string] {
  if (Buffer.byteLength(path) <= nameBytesMax) return ["", path];
  const at = path.lastIndexOf("/");
  const [prefix, name] = [path.slice(0, Math.max(at, 0)), path.slice(at + 1)];
  if (Buffer.byteLength(prefix) <= prefixBytesMax && Buffer.byteLength(name) <= nameBytesMax) {
    return [prefix, name];
  }
  throw new Fault("invalid-argument", `the name "${path}" is too long for an archive`);
}
