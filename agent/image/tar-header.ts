/**
 * The 512-byte blocks and extension records of tar archives (POSIX.1-2001 pax, and GNU's long names): reading what
 * others wrote, and writing our own. Pure.
 *
 * Names are byte strings (latin1), because tar names are bytes and need not be UTF-8.
 */
import { Fault } from "#proto/fault.ts";

export const blockBytes = 512;

export interface TarHeader {
  readonly name: string;
  /** The target of a link, as it stands in the header. */
  readonly linkName: string;
  /** One character; "0" for plain files of the oldest kind, too. */
  readonly type: string;
  readonly sizeBytes: number;
}

export interface TarEntry {
  readonly name: string;
  readonly type: "character-device" | "folder" | "hard-link";
  /** Of a hard link. */
  readonly linkName?: string;
  readonly mode: number;
  readonly records: PaxRecords;
}

export type PaxRecords = ReadonlyMap<string, string>;

/** Offset and length of the fields that are used here. */
const fields = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkName: [157, 100],
  magic: [257, 6],
  version: [263, 2],
  deviceMajor: [329, 8],
  deviceMinor: [337, 8],
  prefix: [345, 155],
} as const;

type Field = keyof typeof fields;

const typeOf = { "hard-link": "1", "character-device": "3", folder: "5" } as const;

/** Hard and symbolic. */
export const linkTypes = "12";

/** The name in headers whose real name stands before them. */
const placeholder = "entry";

const zeroBlock = Buffer.alloc(blockBytes);

export function isZeroBlock(block: Buffer): boolean {
  return zeroBlock.equals(block);
}

export function parseHeader(block: Buffer): TarHeader {
  if (checksumOf(block) !== parseNumber(block, "checksum")) {
    throw malformed("a header's checksum is wrong");
  }
  const type = field(block, "type");
  const prefix = isUstar(block) ? parseString(block, "prefix") : "";
  const name = parseString(block, "name");
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkName: parseString(block, "linkName"),
    type: type[0] === 0 ? "0" : type.toString("latin1"),
    sizeBytes: parseNumber(block, "size"),
  };
}

/**
 * The same header, with the size given and nothing to be read in its names: long names before it have them. The target
 * of a link stays filled in, because an empty one is no link to libarchive.
 */
export function withSize(block: Buffer, sizeBytes: number): Buffer {
  const copy = Buffer.from(block);
  field(copy, "name").fill(0);
  field(copy, "linkName").fill(0);
  // In GNU's format other fields are in the prefix's place.
  if (isUstar(copy)) field(copy, "prefix").fill(0);
  copy.write(placeholder, fields.name[0], "latin1");
  if (linkTypes.includes(field(copy, "type").toString("latin1"))) {
    copy.write(placeholder, fields.linkName[0], "latin1");
  }
  writeNumber(copy, "size", sizeBytes);
  return sealHeader(copy);
}

/** "LENGTH KEY=VALUE\n" each, where LENGTH counts the whole record. The last of several with one key holds. */
export function parsePax(bytes: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let start = 0; start < bytes.length; ) {
    // Padding with zeros after the last record occurs in the wild.
    if (bytes[start] === 0) break;
    const space = bytes.indexOf(0x20, start);
    const digits = bytes.toString("latin1", start, Math.max(space, start));
    const end = start + Number(digits);
    const equals = bytes.indexOf(0x3d, space);
    if (!/^[0-9]{1,7}$/.test(digits) || equals < 0 || equals >= end || bytes[end - 1] !== 0x0a) {
      throw malformed("an extended header is broken");
    }
    const key = bytes.toString("latin1", space + 1, equals);
    records.set(key, bytes.toString("latin1", equals + 1, end - 1));
    start = end;
  }
  return records;
}

/** An extended header with these records; nothing where there are none. */
export function encodePax(records: PaxRecords): Buffer[] {
  const text = [...records].map(([key, value]) => encodeRecord(key, value)).join("");
  return text === "" ? [] : encodeExtension("x", "pax", text);
}

/** A name of any length and any bytes for the next entry ("L"), or its link's target ("K"). GNU's way. */
export function encodeLongName(type: "L" | "K", name: string): Buffer[] {
  return encodeExtension(type, "././@LongLink", `${name}\0`);
}

/** An entry without content: its name is unlimited, and the records override the header. */
export function encodeEntry(entry: TarEntry): Buffer[] {
  const { linkName } = entry;
  const header = encodeHeader(
    { name: placeholder, type: typeOf[entry.type], sizeBytes: 0 },
    entry.mode,
  );
  if (linkName !== undefined) header.write(placeholder, fields.linkName[0], "latin1");
  return [
    ...encodeLongName("L", entry.name),
    ...(linkName === undefined ? [] : encodeLongName("K", linkName)),
    ...encodePax(entry.records),
    sealHeader(header),
  ];
}

/** The header of a plain file whose name has at most 100 characters. */
export function encodeFileHeader(name: string, sizeBytes: number): Buffer {
  return encodeHeader({ name, type: "0", sizeBytes }, 0o644);
}

/** How many bytes fill up the last block of the content. */
export function paddingOf(sizeBytes: number): number {
  return (blockBytes - (sizeBytes % blockBytes)) % blockBytes;
}

export function malformed(why: string): Fault {
  return new Fault("failed-precondition", `the layer is not a usable tar archive: ${why}`);
}

function encodeExtension(type: string, name: string, text: string): Buffer[] {
  const body = Buffer.from(text, "latin1");
  const header = encodeHeader({ name, type, sizeBytes: body.length }, 0o644);
  return [header, body, Buffer.alloc(paddingOf(body.length))];
}

function encodeHeader(header: Omit<TarHeader, "linkName">, mode: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  block.write(header.name, fields.name[0], "latin1");
  for (const name of ["uid", "gid", "mtime", "deviceMajor", "deviceMinor"] as const) {
    writeNumber(block, name, 0);
  }
  writeNumber(block, "mode", mode);
  writeNumber(block, "size", header.sizeBytes);
  block.write(header.type, fields.type[0], "latin1");
  block.write("ustar\0", fields.magic[0], "latin1");
  block.write("00", fields.version[0], "latin1");
  return sealHeader(block);
}

/** The record's length includes its own digits, so one more digit may make one more digit necessary. */
function encodeRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const guess = rest.length + String(rest.length).length;
  return `${rest.length + String(guess).length}${rest}`;
}

/** Writes the checksum, which is the last thing to do to a header. */
export function sealHeader(block: Buffer): Buffer {
  const digits = checksumOf(block).toString(8).padStart(6, "0");
  block.write(`${digits}\0 `, fields.checksum[0], "latin1");
  return block;
}

/** The sum of all bytes, with the checksum's own field taken as spaces. */
function checksumOf(block: Buffer): number {
  const [start, length] = fields.checksum;
  const end = start + length;
  let sum = 0x20 * length;
  // Plain loops over bytes: this runs for every file of every layer, on the event loop.
  for (let index = 0; index < start; index += 1) sum += block[index] ?? 0;
  for (let index = end; index < blockBytes; index += 1) sum += block[index] ?? 0;
  return sum;
}

function isUstar(block: Buffer): boolean {
  return field(block, "magic").toString("latin1") === "ustar\0";
}

function field(block: Buffer, name: Field): Buffer {
  const [start, length] = fields[name];
  return block.subarray(start, start + length);
}

function parseString(block: Buffer, name: Field): string {
  const bytes = field(block, name);
  const end = bytes.indexOf(0);
  return bytes.toString("latin1", 0, end < 0 ? bytes.length : end);
}

/** Octal digits, or for what has no room in them GNU's base 256, marked by the highest bit. */
function parseNumber(block: Buffer, name: Field): number {
  const bytes = field(block, name);
  const marked = ((bytes[0] ?? 0) & 0x80) !== 0;
  const number = marked ? parseBase256(bytes) : parseOctal(bytes);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  throw malformed(`a header's ${name} is not a number`);
}

function parseBase256(bytes: Buffer): number {
  let number = (bytes[0] ?? 0) & 0x7f;
  for (const byte of bytes.subarray(1)) number = number * 256 + byte;
  return number;
}

function parseOctal(bytes: Buffer): number {
  const text = bytes.toString("latin1").replace(/^[ \0]+|[ \0].*$/gs, "");
  if (text === "") return 0;
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
}

function writeNumber(block: Buffer, name: Field, value: number): void {
  const [start, length] = fields[name];
  const digits = value.toString(8).padStart(length - 1, "0");
  if (digits.length < length) {
    block.write(`${digits}\0`, start, "latin1");
    return;
  }
  const hex = value.toString(16).padStart(length * 2, "0");
  block.write(hex, start, "hex");
  block[start] = (block[start] ?? 0) | 0x80;
}
