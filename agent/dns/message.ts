/**
 * DNS messages, the few forms of them that a nameserver for containers needs (RFC 1035, 6891): queries are read, replies are
 * written from records that are encoded once and used for many. What no query is, is answered with a bare header, which is
 * never longer than what came, or not at all.
 */
import { encodeName, nameEnd } from "./wire-name.ts";

/** The codes of RFC 1035 section 4.1.1 that we send. */
export const responseCode = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
} as const;

export type ResponseCode = (typeof responseCode)[keyof typeof responseCode];

export const recordType = {
  a: 1,
  soa: 6,
  ptr: 12,
  aaaa: 28,
  srv: 33,
  opt: 41,
  ixfr: 251,
  axfr: 252,
  any: 255,
} as const;

export interface Query {
  readonly kind: "query";
  readonly id: number;
  /** In lower case, as wire-name.ts has it. */
  readonly name: string;
  readonly type: number;
  /** As asked: the answer repeats it with its capitals. */
  readonly question: Buffer;
  readonly recursionDesired: boolean;
  readonly checkingDisabled: boolean;
  readonly edns: { readonly dnssecOk: boolean } | undefined;
  /** What the asker can take in one datagram. */
  readonly datagramBytesMax: number;
}

export type Received =
  | Query
  | { readonly kind: "error"; readonly reply: Buffer }
  /** Too short for a header, or an answer: to reply could start a loop. */
  | { readonly kind: "ignored" };

/** Records are in wire form; those of `answers` may be in any order. */
export interface Reply {
  readonly code: ResponseCode;
  readonly answers: readonly Buffer[];
  /** What may be left out. */
  readonly additionals?: readonly Buffer[];
}

export const headerBytes = 12;

/** RFC 1035 without EDNS; with it no more than passes every path in one piece. */
const datagramBytesDefault = 512;
export const datagramBytesMax = 1232;
export const streamBytesMax = 65_535;

export const flag = {
  response: 0x8000,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
  checkingDisabled: 0x0010,
  code: 0x000f,
} as const;
const opcodeMask = 0x7800;

export const classInternet = 1;
const dnssecOkFlag = 0x8000;
export const optBytes = 11;

const ignored: Received = { kind: "ignored" };

export function parseMessage(bytes: Buffer): Received {
  if (bytes.length < headerBytes) return ignored;
  const flags = bytes.readUInt16BE(2);
  if ((flags & flag.response) !== 0) return ignored;
  if ((flags & opcodeMask) !== 0) return failure(bytes, responseCode.notImplemented);
  // One question, no answers: what several questions would mean was never said.
  const end = nameEnd(bytes, headerBytes);
  const counts = bytes.readUInt32BE(4) === 0x0001_0000 && bytes.readUInt16BE(8) === 0;
  if (!counts || end === undefined || end + 4 > bytes.length) {
    return failure(bytes, responseCode.formatError);
  }
  const type = bytes.readUInt16BE(end);
  const options = readOptions(bytes, end + 4);
  if (options === "malformed") return failure(bytes, responseCode.formatError);
  if (options !== undefined && options.version !== 0) return badVersion(bytes);
  if (bytes.readUInt16BE(end + 2) !== classInternet) return failure(bytes, responseCode.refused);
  // Transfers of whole zones, and a record that stands in additional sections alone.
  if (type === recordType.axfr || type === recordType.ixfr || type === recordType.opt) {
    return failure(bytes, responseCode.refused);
  }
  return {
    kind: "query",
    id: bytes.readUInt16BE(0),
    name: bytes.toString("latin1", headerBytes, end).toLowerCase(),
    type,
    question: bytes.subarray(headerBytes, end + 4),
    recursionDesired: (flags & flag.recursionDesired) !== 0,
    checkingDisabled: (flags & flag.checkingDisabled) !== 0,
    edns: options && { dnssecOk: options.dnssecOk },
    datagramBytesMax: Math.min(
      Math.max(options?.size ?? datagramBytesDefault, datagramBytesDefault),
      datagramBytesMax,
    ),
  };
}

interface Options {
  readonly size: number;
  readonly version: number;
  readonly dnssecOk: boolean;
}

/** The OPT record of a query, which is the only additional record that means anything here. */
function readOptions(bytes: Buffer, offset: number): Options | "malformed" | undefined {
  let options: Options | undefined;
  let at = offset;
  for (let left = bytes.readUInt16BE(10); left > 0; left -= 1) {
    const end = nameEnd(bytes, at);
    if (end === undefined || end + 10 > bytes.length) return "malformed";
    const next = end + 10 + bytes.readUInt16BE(end + 8);
    if (next > bytes.length) return "malformed";
    if (bytes.readUInt16BE(end) === recordType.opt) {
      if (options !== undefined || end !== at + 1) return "malformed";
      options = {
        size: bytes.readUInt16BE(end + 2),
        version: bytes.readUInt8(end + 5),
        dnssecOk: (bytes.readUInt16BE(end + 6) & dnssecOkFlag) !== 0,
      };
    }
    at = next;
  }
  return options;
}

/** As many of the records as fit; when some answers do not, the asker is told to come again over TCP. */
export function encodeReply(query: Query, reply: Reply, bytesMax: number): Buffer {
  const { question, edns } = query;
  const fixed = headerBytes + question.length + (edns === undefined ? 0 : optBytes);
  const answers = fittingCount(reply.answers, bytesMax - fixed);
  const answersBytes = sizeOf(reply.answers, answers);
  const whole = answers === reply.answers.length;
  const extra = whole ? (reply.additionals ?? []) : [];
  const additionals = fittingCount(extra, bytesMax - fixed - answersBytes);
  const bytes = Buffer.allocUnsafe(fixed + answersBytes + sizeOf(extra, additionals));
  writeHeader(bytes, query, flagsOf(query, reply.code) | (whole ? 0 : flag.truncated));
  bytes.writeUInt32BE(0x0001_0000 | answers, 4);
  bytes.writeUInt32BE(additionals + (edns === undefined ? 0 : 1), 8);
  bytes.set(question, headerBytes);
  let at = writeRecords(bytes, headerBytes + question.length, reply.answers, answers);
  at = writeRecords(bytes, at, extra, additionals);
  if (edns !== undefined) writeOptions(bytes, at, edns.dnssecOk);
  return bytes;
}

function flagsOf(query: Query, code: ResponseCode): number {
  const authoritative = code === responseCode.noError || code === responseCode.noSuchName;
  return (
    flag.response |
    flag.recursionAvailable |
    (authoritative ? flag.authoritative : 0) |
    (query.recursionDesired ? flag.recursionDesired : 0) |
    (query.checkingDisabled ? flag.checkingDisabled : 0) |
    code
  );
}

function writeHeader(bytes: Buffer, { id }: Query, flags: number): void {
  bytes.writeUInt16BE(id, 0);
  bytes.writeUInt16BE(flags, 2);
}

function fittingCount(records: readonly Buffer[], room: number): number {
  let left = room;
  let count = 0;
  for (const { length } of records) {
    left -= length;
    if (left < 0) break;
    count += 1;
  }
  return count;
}

function sizeOf(records: readonly Buffer[], count: number): number {
  let size = 0;
  for (let index = 0; index < count; index += 1) size += records[index]?.length ?? 0;
  return size;
}

function writeRecords(
  bytes: Buffer,
  offset: number,
  records: readonly Buffer[],
  count: number,
): number {
  let at = offset;
  for (let index = 0; index < count; index += 1) {
    const record = records[index];
    if (record === undefined) break;
    bytes.set(record, at);
    at += record.length;
  }
  return at;
}

/** Ours: what we take in a datagram, and the asker's wish for DNSSEC records repeated. */
export function writeOptions(bytes: Buffer, at: number, dnssecOk: boolean): void {
  bytes.writeUInt8(0, at);
  bytes.writeUInt16BE(recordType.opt, at + 1);
  bytes.writeUInt16BE(datagramBytesMax, at + 3);
  bytes.writeUInt16BE(0, at + 5);
  bytes.writeUInt16BE(dnssecOk ? dnssecOkFlag : 0, at + 7);
  bytes.writeUInt16BE(0, at + 9);
}

/** The name of the question, which stands behind the header (RFC 1035 section 4.1.4). */
const questionName = Buffer.from([0xc0, headerBytes]);

export interface RecordParts {
  /** By default the name that was asked. */
  readonly owner?: Buffer;
  readonly type: number;
  readonly ttlSeconds: number;
  readonly data: Buffer;
}

export function encodeRecord({ owner, type, ttlSeconds, data }: RecordParts): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(classInternet, 2);
  fixed.writeUInt32BE(ttlSeconds, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([owner ?? questionName, fixed, data]);
}

/** Undefined: the target is no name. Its weight is the same for all. */
export function encodeService(port: number, target: string): Buffer | undefined {
  const name = encodeName(target);
  if (name === undefined) return undefined;
  const fixed = Buffer.alloc(6);
  fixed.writeUInt16BE(port, 4);
  return Buffer.concat([fixed, name]);
}

/** The header alone: a question that cannot be understood cannot be repeated. */
function failure(bytes: Buffer, code: ResponseCode): Received {
  const reply = Buffer.alloc(headerBytes);
  reply.writeUInt16BE(bytes.readUInt16BE(0), 0);
  const kept = bytes.readUInt16BE(2) & (opcodeMask | flag.recursionDesired);
  reply.writeUInt16BE(flag.response | kept | flag.recursionAvailable | code, 2);
  return { kind: "error", reply };
}

/** BADVERS, whose upper bits are in the OPT record: the asker comes again with a version that we say, 0. */
function badVersion(bytes: Buffer): Received {
  const received = failure(bytes, responseCode.noError);
  if (received.kind !== "error") return received;
  const reply = Buffer.concat([received.reply, Buffer.alloc(optBytes)]);
  writeOptions(reply, headerBytes, false);
  reply.writeUInt8(1, headerBytes + 5);
  reply.writeUInt16BE(1, 10);
  return { kind: "error", reply };
}
