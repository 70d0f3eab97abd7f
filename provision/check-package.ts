/** Reads a package of this machine from end to end, so that one that is damaged is found before any host has it. */
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { Fault } from "#proto/fault.ts";
import type { PackageFile } from "./package-file.ts";

const blockBytes = 512;
/** Of the small files that say what the package is. */
const noteBytesMax = 1024;

/** Throws a Fault where the file cannot be read, is damaged, or holds something else than its name says. */
export async function checkPackage({ path, version, arch }: PackageFile): Promise<void> {
  try {
    const reader = new TarReader(["version", "arch"]);
    await pipeline(
      createReadStream(path),
      createGunzip(),
      async (pieces: AsyncIterable<Buffer>) => {
        for await (const piece of pieces) reader.read(piece);
      },
    );
    const { version: inside, arch: insideArch } = reader.notes;
    if (inside === undefined || insideArch === undefined) {
      throw new Fault("data-loss", "it is not a package of swarm");
    }
    if (inside === version && insideArch === arch) return;
    throw new Fault(
      "data-loss",
      `it holds ${inside} for ${insideArch}, which its name does not say`,
    );
  } catch (thrown) {
    throw Fault.wrap(
      `Cannot use the package "${path}"`,
      isDamage(thrown) ? damaged(thrown) : thrown,
    );
  }
}

function isDamage(thrown: unknown): boolean {
  return thrown instanceof Error && "code" in thrown && String(thrown.code).startsWith("Z_");
}

function damaged(thrown: unknown): Fault {
  return new Fault("data-loss", "it is damaged: copy it again", { cause: thrown });
}

/** Takes the named files, one folder below the top, out of a tar that comes in pieces. */
class TarReader {
  readonly notes: Record<string, string | undefined> = {};
  readonly #wanted: readonly string[];
  #rest: Buffer = Buffer.alloc(0);
  /** Bytes until the next header. */
  #skip = 0;

  constructor(wanted: readonly string[]) {
    this.#wanted = wanted;
  }

  read(piece: Buffer): void {
    const skipped = Math.min(this.#skip, piece.length);
    this.#skip -= skipped;
    if (skipped === piece.length) return;
    this.#rest = Buffer.concat([this.#rest, piece.subarray(skipped)]);
    while (this.#rest.length >= blockBytes && this.#readEntry());
  }

  /** False: more of it has to come. */
  #readEntry(): boolean {
    const header = this.#rest.subarray(0, blockBytes);
    const name = textOf(header, 0, 100).split("/").slice(1).join("/");
    const size = Number.parseInt(textOf(header, 124, 12) || "0", 8);
    if (!Number.isSafeInteger(size) || size < 0) throw new Fault("data-loss", "it is no tar file");
    const padded = Math.ceil(size / blockBytes) * blockBytes;
    const isNote = this.#wanted.includes(name) && size <= noteBytesMax;
    if (isNote && this.#rest.length < blockBytes + padded) return false;
    if (isNote)
      this.notes[name] = this.#rest.toString("utf8", blockBytes, blockBytes + size).trim();
    const have = Math.min(this.#rest.length, blockBytes + padded);
    this.#skip = blockBytes + padded - have;
    this.#rest = this.#rest.subarray(have);
    return true;
  }
}

/** Fields of a header end with a zero byte or a space, or are full. */
function textOf(header: Buffer, start: number, length: number): string {
  return (
    header
      .toString("latin1", start, start + length)
      .split("\0", 1)[0]
      ?.trim() ?? ""
  );
}
