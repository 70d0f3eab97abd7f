/**
 * Goes over a layer's tar stream on its way to bsdtar: takes out what means something to image layers and nothing to
 * tar (whiteouts), refuses what no layer may contain, and passes the rest on. It keeps one header and one piece of
 * content in memory, never more.
 *
 * Invariant: bsdtar sees an archive in one plain dialect that reads the same to it and to this filter, so nothing can be
 * hidden from the filter by being ambiguous. The dialect is what Go's archive/tar makes of the input, because that is
 * what builds and unpacks images everywhere else.
 */
import { Fault } from "#proto/fault.ts";
import { ByteReader } from "./byte-reader.ts";
import {
  blockBytes,
  encodeEntry,
  encodeLongName,
  encodePax,
  isZeroBlock,
  linkTypes,
  malformed,
  type PaxRecords,
  paddingOf,
  parseHeader,
  parsePax,
  type TarHeader,
  withSize,
} from "./tar-header.ts";

/** What was taken out of a layer. Names are byte strings (latin1), relative and clean. */
export interface Whiteouts {
  /** Paths that the layer removes from the layers below it. */
  readonly removed: Set<string>;
  /** Folders of which the layer hides everything in the layers below it. */
  readonly opaque: Set<string>;
}

export function emptyWhiteouts(): Whiteouts {
  return { removed: new Set(), opaque: new Set() };
}

/** An extended header holds names and attributes; Go's archive/tar takes as much. */
const extensionBytesMax = 1024 * 1024;

/** Output is collected up to this: one write per small file would be many system calls. */
const outputBytes = 64 * 1024;

const whiteoutPrefix = ".wh.";
const opaqueMarker = ".wh..wh..opq";

/** Files of aufs's own; only the opaque marker among them means something here. */
const aufsPrefix = ".wh..wh.";

const types = {
  file: "0",
  oldSparse: "S",
  extended: "x",
  global: "g",
  longName: "L",
  longLink: "K",
};
const withoutContent = "123456";
const withContent = "07S";

export async function* filterLayer(
  source: AsyncIterable<Buffer>,
  whiteouts: Whiteouts,
): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  for await (const chunk of filterEntries(new ByteReader(source), whiteouts)) {
    pending.push(chunk);
    pendingBytes += chunk.length;
    if (pendingBytes < outputBytes) continue;
    yield Buffer.concat(pending, pendingBytes);
    pending = [];
    pendingBytes = 0;
  }
  yield Buffer.concat(pending, pendingBytes);
}

async function* filterEntries(reader: ByteReader, whiteouts: Whiteouts): AsyncGenerator<Buffer> {
  // bsdtar guesses formats by an archive's first bytes, which are the first entry's name: it shall not be a foreign one.
  yield* encodeEntry({ name: "./", type: "folder", mode: 0o755, records: new Map() });
  while (true) {
    const entry = await readEntry(reader);
    if (entry === undefined) break;
    const contentBytes = entry.sizeBytes + paddingOf(entry.sizeBytes);
    if (takeWhiteout(entry.name, whiteouts)) {
      await reader.skip(contentBytes);
    } else {
      yield* entry.blocks;
      yield* reader.pieces(contentBytes);
    }
  }
  yield Buffer.alloc(2 * blockBytes);
  // What follows the end mark is part of the layer's digest, not of its tree.
  await reader.drain();
}

interface Entry {
  readonly name: string;
  readonly sizeBytes: number;
  /** The entry's headers in the one dialect. */
  readonly blocks: readonly Buffer[];
}

async function readEntry(reader: ByteReader): Promise<Entry | undefined> {
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

async function completeEntry(reader: ByteReader, raw: RawEntry): Promise<Entry> {
  const { block, header } = raw;
  const records = new Map(raw.records);
  const name = raw.longName ?? records.get("GNU.sparse.name") ?? records.get("path") ?? header.name;
  const linkName = raw.longLink ?? records.get("linkpath") ?? header.linkName;
  const clean = cleanPath(name);
  if (header.type === "1") cleanPath(linkName);
  if (!withContent.includes(header.type) && !withoutContent.includes(header.type)) {
    throw malformed(`"${printable(name)}" has the unknown type ${JSON.stringify(header.type)}`);
  }
  const sizeBytes = withoutContent.includes(header.type) ? 0 : sizeOf(header, records);
  if (sizeBytes > 0 && name.endsWith("/"))
    throw malformed(`folder "${printable(name)}" has content`);
  for (const key of ["path", "linkpath", "size", "GNU.sparse.name"]) records.delete(key);
  for (const key of records.keys()) if (isRefusedAttribute(key)) records.delete(key);
  // Of pax's sparse formats the oldest, 0.0, repeats its keys; GNU tar and bsdtar have long written 1.0.
  if (records.has("GNU.sparse.offset")) {
    throw malformed(
      `"${printable(name)}" is a sparse file in pax format 0.0, which is not supported`,
    );
  }
  const blocks = [
    ...encodeLongName("L", name),
    ...(linkTypes.includes(header.type) ? encodeLongName("K", linkName) : []),
    ...encodePax(records),
    withSize(block, sizeBytes),
    ...(header.type === types.oldSparse ? await readSparseMap(reader, block) : []),
  ];
  return { name: clean, sizeBytes, blocks };
}

function sizeOf(header: TarHeader, records: PaxRecords): number {
  const text = records.get("size");
  if (text === undefined) return header.sizeBytes;
  const sizeBytes = Number(text);
  if (/^[0-9]+$/.test(text) && Number.isSafeInteger(sizeBytes)) return sizeBytes;
  throw malformed(`an extended header has the size ${JSON.stringify(text.slice(0, 40))}`);
}

/**
 * Attributes in the kernel's "trusted" namespace would speak to overlayfs itself. A layer has no say there. bsdtar also
 * has a spelling of its own for every attribute, which no image tool reads.
 */
function isRefusedAttribute(key: string): boolean {
  return key.startsWith("SCHILY.xattr.trusted.") || key.startsWith("LIBARCHIVE.");
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
  if (!parts.includes("..") && !name.includes("\0")) return parts.join("/");
  throw new Fault(
    "failed-precondition",
    `the layer has an entry outside its root: "${printable(name)}"`,
  );
}

/** Notes what the entry means if it is a whiteout, and tells whether it is. */
function takeWhiteout(path: string, whiteouts: Whiteouts): boolean {
  const slash = path.lastIndexOf("/");
  const folder = path.slice(0, Math.max(slash, 0));
  const name = path.slice(slash + 1);
  if (!name.startsWith(whiteoutPrefix)) return false;
  if (name === opaqueMarker) whiteouts.opaque.add(folder);
  if (name.startsWith(aufsPrefix)) return true;
  const removed = name.slice(whiteoutPrefix.length);
  if (removed === "" || removed === "." || removed === "..") {
    throw malformed(`"${printable(path)}" removes nothing`);
  }
  whiteouts.removed.add(folder === "" ? removed : `${folder}/${removed}`);
  return true;
}

function printable(name: string): string {
  return Buffer.from(name, "latin1").toString().slice(0, 200);
}
