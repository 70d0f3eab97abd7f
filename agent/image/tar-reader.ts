/**
 * The entries of a tar archive that others wrote, as values: what the header says, what the extension records before it
 * override, and nothing that two readers could understand differently. The dialect is that of Go's archive/tar, because
 * that is what builds and unpacks images everywhere else.
 */
import { Fault } from "#proto/fault.ts";
import type { ByteReader } from "./byte-reader.ts";
import {
  blockBytes,
  isZeroBlock,
  malformed,
  type PaxRecords,
  paddingOf,
  parseHeader,
  parsePax,
  type TarHeader,
} from "./tar-header.ts";

export interface ReadEntry {
  /** Relative and clean; "" is the root. A byte string, as all names here. */
  readonly name: string;
  /** Of a hard link likewise a clean path, of a symbolic link the target as it is. */
  readonly linkName: string;
  readonly type: string;
  /** Of the content that follows in the archive. */
  readonly sizeBytes: number;
  /** The header as it was, and the blocks of an old sparse file's map behind it. */
  readonly header: Buffer;
  readonly sparseMap: readonly Buffer[];
  /** What else is to be said of it: times, owners beyond the header's, attributes. */
  readonly records: PaxRecords;
}

/** An extended header holds names and attributes; Go's archive/tar takes as much. */
const extensionBytesMax = 1024 * 1024;

/** What the kernel takes, with the root's own path before it. */
const pathBytesMax = 4096;
const nameBytesMax = 255;

const types = {
  oldSparse: "S",
  extended: "x",
  global: "g",
  longName: "L",
  longLink: "K",
};
const withoutContent = "123456";
const withContent = "07S";

/** The next entry; undefined at the end mark. */
export async function readEntry(reader: ByteReader): Promise<ReadEntry | undefined> {
  let records: PaxRecords = new Map();
  let longName: string | undefined;
  let longLink: string | undefined;
  while (true) {
    const block = await reader.exact(blockBytes);
    if (block === undefined || isZeroBlock(block)) return undefined;
    const header = parseHeader(block);
    if (header.type === types.extended) records = parsePax(await readExtension(reader, header));
    else if (header.type === types.longName) longName = await readName(reader, header);
    else if (header.type === types.longLink) longLink = await readName(reader, header);
    else if (header.type === types.global) await readExtension(reader, header);
    else return await completeEntry(reader, { block, header, records, longName, longLink });
  }
}

interface RawEntry {
  readonly block: Buffer;
  readonly header: TarHeader;
  readonly records: PaxRecords;
  readonly longName: string | undefined;
  readonly longLink: string | undefined;
}

async function completeEntry(reader: ByteReader, raw: RawEntry): Promise<ReadEntry> {
  const { block, header, records } = raw;
  const { type } = header;
  const name = raw.longName ?? records.get("GNU.sparse.name") ?? records.get("path") ?? header.name;
  const linkName = raw.longLink ?? records.get("linkpath") ?? header.linkName;
  if (!withContent.includes(type) && !withoutContent.includes(type)) {
    throw malformed(`"${printable(name)}" has the unknown type ${JSON.stringify(type)}`);
  }
  if (type === "2" && linkName.length >= pathBytesMax) {
    throw malformed(`"${printable(name)}" is a link to a name that is too long`);
  }
  // A reader in C would end there.
  if (linkName.includes("\0")) throw malformed(`"${printable(name)}" is a link with a zero byte`);
  const sizeBytes = withoutContent.includes(type) ? 0 : sizeOf(header, records);
  if (sizeBytes > 0 && name.endsWith("/"))
    throw malformed(`folder "${printable(name)}" has content`);
  // Of pax's sparse formats the oldest, 0.0, repeats its keys; GNU tar and bsdtar have long written 1.0.
  if (records.has("GNU.sparse.offset")) {
    throw malformed(
      `"${printable(name)}" is a sparse file in pax format 0.0, which is not supported`,
    );
  }
  return {
    name: cleanPath(name),
    linkName: type === "1" ? cleanPath(linkName) : linkName,
    type,
    sizeBytes,
    header: block,
    sparseMap: type === types.oldSparse ? await readSparseMap(reader, block) : [],
    records: new Map([...records].filter(([key]) => isTaken(key, type))),
  };
}

function sizeOf(header: TarHeader, records: PaxRecords): number {
  const text = records.get("size");
  if (text === undefined) return header.sizeBytes;
  const sizeBytes = Number(text);
  if (/^[0-9]+$/.test(text) && Number.isSafeInteger(sizeBytes)) return sizeBytes;
  throw malformed(`an extended header has the size ${JSON.stringify(text.slice(0, 40))}`);
}

const takenKeys = /^(?:mtime|uid|gid|GNU\.sparse\.(?:major|minor|realsize|size|numblocks|map))$/;

/**
 * Names and sizes are in the entry; of the rest what image tools know. Of attributes: the capabilities of programs, the
 * kernel's ACLs, and users' own where Linux has them, which is on files and folders. Those in "trusted" would speak to
 * overlayfs itself, those of security modules are about the host on which the image was made.
 */
function isTaken(key: string, type: string): boolean {
  if (takenKeys.test(key)) return true;
  if (/^SCHILY\.xattr\.(?:security\.capability$|system\.posix_acl_)/.test(key)) return type !== "2";
  return key.startsWith("SCHILY.xattr.user.") && /[0157S]/.test(type);
}

/** The rest of an old GNU sparse file's map: each block tells at offset 504 (482 in the header) whether one follows. */
async function readSparseMap(reader: ByteReader, header: Buffer): Promise<Buffer[]> {
  const blocks: Buffer[] = [];
  let more = header[482] !== 0;
  while (more) {
    const block = await reader.exact(blockBytes);
    if (block === undefined) throw malformed("it ends within an entry");
    blocks.push(block);
    if (blocks.length * blockBytes > extensionBytesMax)
      throw malformed("a sparse file's map is too long");
    more = block[504] !== 0;
  }
  return blocks;
}

async function readExtension(reader: ByteReader, header: TarHeader): Promise<Buffer> {
  if (header.sizeBytes > extensionBytesMax) throw malformed("an extended header is too long");
  const bytes = await reader.exact(header.sizeBytes + paddingOf(header.sizeBytes));
  if (bytes === undefined) throw malformed("it ends within an entry");
  return bytes.subarray(0, header.sizeBytes);
}

async function readName(reader: ByteReader, header: TarHeader): Promise<string> {
  const bytes = await readExtension(reader, header);
  const end = bytes.indexOf(0);
  return bytes.toString("latin1", 0, end < 0 ? bytes.length : end);
}

/** The path relative to the layer's root, without "." and empty parts; "" is the root itself. */
function cleanPath(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..") || name.includes("\0")) {
    throw new Fault(
      "failed-precondition",
      `the layer has an entry outside its root: "${printable(name)}"`,
    );
  }
  const path = parts.join("/");
  if (path.length >= pathBytesMax || parts.some((part) => part.length > nameBytesMax)) {
    throw malformed(`"${printable(name)}" is too long for a file's name`);
  }
  return path;
}

export function printable(name: string): string {
  return Buffer.from(name, "latin1").toString().slice(0, 200);
}
