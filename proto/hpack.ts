/**
 * Header blocks of HTTP/2 (RFC 7541) for a client that keeps no dynamic table: it announces a table of 0 bytes before its
 * first request, so that no block refers to one. What it sends is written out plainly; what it reads may be compressed.
 */
import { Fault } from "./fault.ts";

/** Appendix A, from index 1 on; a name alone has an empty value. */
const staticTable: readonly (readonly [name: string, value: string])[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  ...["200", "204", "206", "304", "400", "404", "500"].map((value) => [":status", value] as const),
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ...(
    "accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control " +
    "content-disposition content-encoding content-language content-length content-location content-range content-type cookie " +
    "date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified " +
    "link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after server set-cookie " +
    "strict-transport-security transfer-encoding user-agent vary via www-authenticate"
  )
    .split(" ")
    .map((name) => [name, ""] as const),
];

/**
 * Appendix B: how many bits each byte's code has. The codes follow: they count upwards, from the shortest length to the
 * longest, and within one length from the lowest byte to the highest.
 */
const codeLengths: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5,
  6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6,
  7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
  23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22,
  22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
  23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27,
  27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25,
  24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const bitsMax = 30;

interface CodeGroup {
  /** The first code of this length, and the bytes of the codes from it on. */
  readonly first: number;
  readonly bytes: number[];
}

/** By length. */
const codeGroups: readonly CodeGroup[] = groupCodes();

function groupCodes(): readonly CodeGroup[] {
  const bytesOf: number[][] = Array.from({ length: bitsMax + 1 }, () => []);
  for (const [byte, bits] of codeLengths.entries()) bytesOf[bits]?.push(byte);
  let next = 0;
  return bytesOf.map((bytes) => {
    const first = next;
    next = (first + bytes.length) * 2;
    return { first, bytes };
  });
}

const literalWithNewName = 0x00;

/** A block that leaves nothing behind in the other side's table. Names are lower case; all is ASCII. */
export function encodeHeaders(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of fields) {
    parts.push(Buffer.of(literalWithNewName), encodeText(name), encodeText(value));
  }
  return Buffer.concat(parts);
}

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([encodeInteger(bytes.length, 7), bytes]);
}

/** With its first bits in the low `prefixBits` of the first byte, whose others are 0 (§5.1). */
function encodeInteger(value: number, prefixBits: number): Buffer {
  const full = 2 ** prefixBits - 1;
  if (value < full) return Buffer.of(value);
  const bytes = [full];
  let rest = value - full;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** The fields of one whole block; of a name that comes twice the last one. Throws where the block is none. */
export function decodeHeaders(block: Buffer): ReadonlyMap<string, string> {
  const reader = new BlockReader(block);
  const fields = new Map<string, string>();
  while (!reader.atEnd) {
    const kind = reader.peek();
    if (kind >= 0x80) {
      const [name, value] = indexed(reader.integer(7));
      fields.set(name, value);
    } else if (kind >= 0x20 && kind < 0x40) {
      // The size of a table that is not kept.
      if (reader.integer(5) !== 0) throw malformed("it enlarges the table");
    } else {
      const index = reader.integer(kind >= 0x40 ? 6 : 4);
      const name = index === 0 ? reader.text() : indexed(index)[0];
      fields.set(name, reader.text());
    }
  }
  return fields;
}

function indexed(index: number): readonly [name: string, value: string] {
  const entry = staticTable[index - 1];
  if (entry === undefined) throw malformed(`it refers to entry ${index} of the table`);
  return entry;
}

class BlockReader {
  readonly #block: Buffer;
  #at = 0;

  constructor(block: Buffer) {
    this.#block = block;
  }

  get atEnd(): boolean {
    return this.#at >= this.#block.length;
  }

  peek(): number {
    const byte = this.#block[this.#at];
    if (byte === undefined) throw malformed("it ends too early");
    return byte;
  }

  integer(prefixBits: number): number {
    const full = 2 ** prefixBits - 1;
    let value = this.#byte() & full;
    if (value < full) return value;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (value > 2 ** 31) throw malformed("it has too large a number");
      if (byte < 0x80) return value;
    }
  }

  text(): string {
    const isCompressed = this.peek() >= 0x80;
    const length = this.integer(7);
    const end = this.#at + length;
    if (end > this.#block.length) throw malformed("it ends too early");
    const bytes = this.#block.subarray(this.#at, end);
    this.#at = end;
    return isCompressed ? expand(bytes) : bytes.toString("latin1");
  }

  #byte(): number {
    const byte = this.peek();
    this.#at += 1;
    return byte;
  }
}

/** What is left at the end is less than a byte of ones. */
function expand(bytes: Buffer): string {
  const text: number[] = [];
  let code = 0;
  let bits = 0;
  for (const byte of bytes) {
    for (let shift = 7; shift >= 0; shift -= 1) {
      code = code * 2 + ((byte >> shift) & 1);
      bits += 1;
      const group = codeGroups[bits];
      if (group === undefined) throw malformed("it has no such code");
      const found = group.bytes[code - group.first];
      if (found === undefined) continue;
      text.push(found);
      code = 0;
      bits = 0;
    }
  }
  if (bits > 7 || code !== 2 ** bits - 1) throw malformed("a text ends within a code");
  return Buffer.from(text).toString("latin1");
}

function malformed(why: string): Fault {
  return new Fault("internal", `a header of HTTP/2 cannot be read: ${why}`);
}
