/**
 * Answers of other nameservers: checked against what was asked, kept as they came, and given to askers with their own ID and
 * question, times to live counted down, addresses shuffled, and no longer than they can take. What OPT says is between us
 * and that nameserver: it is taken out, and what comes behind it.
 */
import {
  flag,
  headerBytes,
  optBytes,
  type Query,
  recordType,
  responseCode,
  writeOptions,
} from "./message.ts";
import type { Shuffler } from "./shuffler.ts";
import { compressedNameEnd } from "./wire-name.ts";

export interface Answer {
  readonly bytes: Buffer;
  readonly code: number;
  readonly truncated: boolean;
  readonly answerCount: number;
  readonly authorityCount: number;
  /** All of them, in the order of the sections. */
  readonly records: readonly AnswerRecord[];
  /** Those that hold addresses of one name, if they are several: they are worth the same in any order. */
  readonly addresses: readonly AnswerRecord[];
}

interface AnswerRecord {
  readonly offset: number;
  readonly type: number;
  readonly ttlOffset: number;
  readonly ttlSeconds: number;
  readonly end: number;
}

/** From a record's TTL to its data. */
const ttlToData = 6;

const lifetimeSecondsMax = 3_600;
/** What is not there may come soon; RFC 2308 would allow hours. */
const negativeSecondsMax = 300;
/** RFC 2181 section 8: what is longer was meant as none. */
const ttlSecondsMax = 0x7fff_ffff;

/** Undefined: no answer to this question. `question` is as it was sent. */
export function parseAnswer(bytes: Buffer, question: Buffer): Answer | undefined {
  const start = headerBytes + question.length;
  if (bytes.length < start || bytes.readUInt16BE(4) !== 1) return undefined;
  const flags = bytes.readUInt16BE(2);
  if ((flags & flag.response) === 0) return undefined;
  if (!sameQuestion(bytes.subarray(headerBytes, start), question)) return undefined;
  const answerCount = bytes.readUInt16BE(6);
  const authorityCount = bytes.readUInt16BE(8);
  const count = answerCount + authorityCount + bytes.readUInt16BE(10);
  const records = readRecords(bytes, {
    start,
    count,
    additionalFrom: answerCount + authorityCount,
  });
  if (records === undefined) return undefined;
  return {
    // A copy: what was received may be a small part of a large buffer.
    bytes: Buffer.from(bytes.subarray(0, records.at(-1)?.end ?? start)),
    code: flags & flag.code,
    truncated: (flags & flag.truncated) !== 0,
    answerCount,
    authorityCount,
    records,
    addresses: addressesOf(bytes, records.slice(0, answerCount)),
  };
}

/** How long an answer may be kept, in seconds; 0: not at all. */
export function lifetimeOf({ bytes, code, truncated, records, answerCount, ...rest }: Answer) {
  if (truncated || (code !== responseCode.noError && code !== responseCode.noSuchName)) return 0;
  const ttls = records.slice(0, answerCount).map(({ ttlSeconds }) => ttlSeconds);
  const authorities = records.slice(answerCount, answerCount + rest.authorityCount);
  const origin = authorities.find(({ type }) => type === recordType.soa);
  // The last field of its data says how long names may be known not to be (RFC 2308 section 4).
  if (origin !== undefined && origin.end >= origin.ttlOffset + ttlToData + 4) {
    ttls.push(origin.ttlSeconds, bytes.readUInt32BE(origin.end - 4), negativeSecondsMax);
  }
  if (ttls.length === 0 || ttls.some((ttl) => ttl > ttlSecondsMax)) return 0;
  return Math.min(...ttls, lifetimeSecondsMax);
}

export interface Tailoring {
  /** Since the answer came. */
  readonly ageSeconds: number;
  readonly bytesMax: number;
  readonly shuffler: Shuffler;
}

/** The answer for one asker. */
export function tailorAnswer(answer: Answer, query: Query, tailoring: Tailoring): Buffer {
  const { question, edns } = query;
  const optionsBytes = edns === undefined ? 0 : optBytes;
  const room = tailoring.bytesMax - optionsBytes;
  const records = answer.records.filter(({ end }) => end <= room);
  const length = records.at(-1)?.end ?? headerBytes + question.length;
  const bytes = Buffer.allocUnsafe(length + optionsBytes);
  answer.bytes.copy(bytes, 0, 0, length);
  const { answerCount, authorityCount } = answer;
  // What is additional may be left out without a word.
  const cut = records.length < answerCount + authorityCount;
  bytes.writeUInt16BE(query.id, 0);
  bytes.writeUInt16BE(flagsOf(answer, query, cut), 2);
  const answers = Math.min(records.length, answerCount);
  const authorities = Math.min(records.length - answers, authorityCount);
  bytes.writeUInt16BE(answers, 6);
  bytes.writeUInt16BE(authorities, 8);
  bytes.writeUInt16BE(records.length - answers - authorities + (edns === undefined ? 0 : 1), 10);
  bytes.set(question, headerBytes);
  for (const { ttlOffset, ttlSeconds } of records) {
    bytes.writeUInt32BE(Math.max(0, ttlSeconds - tailoring.ageSeconds), ttlOffset);
  }
  if (!cut) shuffleAddresses(bytes, answer, tailoring.shuffler);
  if (edns !== undefined) writeOptions(bytes, length, edns.dnssecOk);
  return bytes;
}

/** Each has its data in the place of another: names that point into the message go on pointing to the same. */
function shuffleAddresses(bytes: Buffer, answer: Answer, shuffler: Shuffler): void {
  const { addresses } = answer;
  const sources = [...addresses];
  shuffler.shuffle(sources, sources.length);
  for (const [index, source] of sources.entries()) {
    const place = addresses[index];
    if (place === undefined) break;
    answer.bytes.copy(bytes, place.ttlOffset + ttlToData, source.ttlOffset + ttlToData, source.end);
  }
}

function flagsOf(answer: Answer, query: Query, cut: boolean): number {
  const own = flag.authoritative | flag.recursionDesired | flag.checkingDisabled;
  return (
    (answer.bytes.readUInt16BE(2) & ~own) |
    flag.recursionAvailable |
    (query.recursionDesired ? flag.recursionDesired : 0) |
    (query.checkingDisabled ? flag.checkingDisabled : 0) |
    (cut ? flag.truncated : 0)
  );
}

function sameQuestion(one: Buffer, other: Buffer): boolean {
  return one.toString("latin1").toLowerCase() === other.toString("latin1").toLowerCase();
}

function readRecords(
  bytes: Buffer,
  { start, count, additionalFrom }: { start: number; count: number; additionalFrom: number },
): readonly AnswerRecord[] | undefined {
  const records: AnswerRecord[] = [];
  for (let offset = start; records.length < count; ) {
    const record = readRecord(bytes, offset);
    if (record === undefined) return undefined;
    if (record.type === recordType.opt) {
      // In its TTL are upper bits of the code: one that needs them is none that every asker knows.
      const plain = records.length >= additionalFrom && record.ttlSeconds >>> 24 === 0;
      return plain ? records : undefined;
    }
    records.push(record);
    offset = record.end;
  }
  return records;
}

function readRecord(bytes: Buffer, offset: number): AnswerRecord | undefined {
  const nameEnd = compressedNameEnd(bytes, offset);
  if (nameEnd === undefined || nameEnd + 10 > bytes.length) return undefined;
  const end = nameEnd + 10 + bytes.readUInt16BE(nameEnd + 8);
  if (end > bytes.length) return undefined;
  const type = bytes.readUInt16BE(nameEnd);
  const ttlSeconds = bytes.readUInt32BE(nameEnd + 4);
  return { offset, type, ttlOffset: nameEnd + 4, ttlSeconds, end };
}

/** What lies between the start of a record and its TTL is its owner, its type and its class. */
function addressesOf(bytes: Buffer, answers: readonly AnswerRecord[]): readonly AnswerRecord[] {
  const heads = (record: AnswerRecord) => bytes.subarray(record.offset, record.ttlOffset);
  const first = answers.find(({ type }) => type === recordType.a || type === recordType.aaaa);
  if (first === undefined) return [];
  const size = first.end - first.ttlOffset;
  const same = answers.filter(
    (record) => record.end - record.ttlOffset === size && heads(record).equals(heads(first)),
  );
  return same.length > 1 ? same : [];
}
