/**
 * Looks at a tar that comes from a container before anything of it is written here: what would lie outside of the folder
 * into which it is unpacked, or is no file, folder or link, is refused. The bytes pass through as they are.
 *
 * It reads what busybox writes, which swarmd runs in the container, and refuses all else: what is read here in another way
 * than by the tar that unpacks it could hide an entry.
 */
import { Fault } from "#proto/fault.ts";

const blockBytes = 512;

/** Long names and their like are in entries of their own, before the one that they are about. */
const extensionBytesMax = 1024 * 1024;

const posixMagic = Buffer.from("ustar\0");

const typeLongName = "L";
const typeLongLink = "K";
const typeHardLink = "1";
const typesOfFiles = ["0", "\0", "7"];
/** Hard and symbolic links, folders. */
const typesWithoutData = [typeHardLink, "2", "5"];

interface Entry {
  readonly type: string;
  readonly name: string;
  readonly linkName: string;
  readonly sizeBytes: number;
}

export class TarNames {
  /** Of a header, or of an extension, that is not whole yet. */
  #held = Buffer.alloc(0);
  /** Of data that nobody looks at. */
  #skipBytes = 0;
  #extension: Entry | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;

  /** Throws the Fault that refuses what is in `piece`; what was before it has been found good. */
  push(piece: Uint8Array): void {
    let rest: Buffer = Buffer.concat([this.#held, piece]);
    for (;;) {
      const skipped = Math.min(this.#skipBytes, rest.length);
      this.#skipBytes -= skipped;
      rest = rest.subarray(skipped);
      const wanted = this.#extension === undefined ? blockBytes : padded(this.#extension.sizeBytes);
      if (this.#skipBytes > 0 || rest.length < wanted) break;
      const block = rest.subarray(0, wanted);
      rest = rest.subarray(wanted);
      if (this.#extension !== undefined) this.#onExtension(this.#extension, block);
      else if (block.some((byte) => byte !== 0)) this.#onHeader(parseHeader(block));
    }
    this.#held = Buffer.from(rest);
  }

  #onHeader(entry: Entry): void {
    if ([typeLongName, typeLongLink].includes(entry.type)) {
      if (entry.sizeBytes > extensionBytesMax) throw refused("a name is too long");
      this.#extension = entry;
      return;
    }
    const name = this.#longName ?? entry.name;
    const linkName = this.#longLink ?? entry.linkName;
    this.#longName = undefined;
    this.#longLink = undefined;
    const isFile = typesOfFiles.includes(entry.type);
    if (!isFile && !typesWithoutData.includes(entry.type)) {
      throw refused(`"${name}" is no file, folder or link`);
    }
    // tar looks for the next header at once after some of them.
    if (!isFile && entry.sizeBytes > 0) throw refused(`"${name}" has data, and is no file`);
    if (leadsOut(name)) throw refused(`"${name}" lies outside of the folder`);
    if (entry.type === typeHardLink && leadsOut(linkName)) {
      throw refused(`"${name}" leads to "${linkName}", outside of the folder`);
    }
    this.#skipBytes = padded(entry.sizeBytes);
  }

  #onExtension({ type, sizeBytes }: Entry, data: Buffer): void {
    this.#extension = undefined;
    const text = data.subarray(0, sizeBytes).toString();
    if (type === typeLongName) this.#longName = text.replace(/\0.*$/s, "");
    else this.#longLink = text.replace(/\0.*$/s, "");
  }
}

function parseHeader(block: Buffer): Entry {
  const field = (from: number, length: number) =>
    block
      .subarray(from, from + length)
      .toString()
      .replace(/\0.*$/s, "");
  const size = field(124, 12).trim();
  // GNU's own has a blank after it, and other things in that place.
  const isPosix = block.subarray(257, 263).equals(posixMagic);
  const prefix = isPosix ? field(345, 155) : "";
  const name = prefix === "" ? field(0, 100) : `${prefix}/${field(0, 100)}`;
  const type = String.fromCharCode(block[156] ?? 0);
  return { type, name, linkName: field(157, 100), sizeBytes: sizeOf(block, size) };
}

/** Octal, or, above 8 GiB, binary (GNU). */
function sizeOf(block: Buffer, text: string): number {
  if (block[124] === 0x80) return Number(block.readBigUInt64BE(128) & 0x7fff_ffff_ffff_ffffn);
  if (/^[0-7]*$/.test(text)) return Number.parseInt(text || "0", 8);
  throw refused("it is no tar");
}

function leadsOut(name: string): boolean {
  return name.startsWith("/") || name.split("/").includes("..");
}

function padded(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes;
}

function refused(why: string): Fault {
  return new Fault("data-loss", `What the container sends is refused: ${why}`);
}
