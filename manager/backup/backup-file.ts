/**
 * A cluster's state as one file. It holds the key of the certificate authority and all secrets: whoever reads it can be
 * any node of the cluster.
 *
 *     magic     8 bytes, "SWARMBAK"
 *     version   u32
 *     header    u32 length, then JSON: {"clusterId", "index", "takenAt"}
 *     pieces    u32 length, 1 or more, then a piece of the store's snapshot; in the snapshot's order
 *     end       u32 0
 *     digest    32 bytes, SHA-256 of everything before it
 *
 * Numbers are big-endian. Nothing follows the digest.
 */
import { createHash } from "node:crypto";
import { Fault } from "#proto/fault.ts";
import { isId } from "#proto/ids.ts";

const magic = Buffer.from("SWARMBAK", "latin1");
const version = 1;
const lengthBytes = 4;
const digestBytes = 32;
const prefaceBytes = magic.length + lengthBytes;

interface BackupHeader {
  readonly clusterId: string;
  /** The last log entry that the state holds. */
  readonly index: bigint;
  readonly takenAtMs: number;
}

export interface Backup extends BackupHeader {
  /** As `Store.restore` takes them. */
  readonly pieces: readonly Uint8Array[];
}

/** The file in parts of about a piece each. Pieces are drawn as the parts are. */
export function* encodeBackup(
  { clusterId, index, takenAtMs }: BackupHeader,
  pieces: Iterable<Uint8Array>,
): Generator<Uint8Array> {
  const hash = createHash("sha256");
  const hashed = (part: Uint8Array) => {
    hash.update(part);
    return part;
  };
  const takenAt = new Date(takenAtMs).toISOString();
  const header = JSON.stringify({ clusterId, index: String(index), takenAt });
  yield hashed(Buffer.concat([magic, lengthOf(version), prefixed(Buffer.from(header))]));
  for (const piece of pieces) yield hashed(prefixed(piece));
  yield hashed(lengthOf(0));
  yield hash.digest();
}

function prefixed(bytes: Uint8Array): Buffer {
  return Buffer.concat([lengthOf(bytes.length), bytes]);
}

function lengthOf(length: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes);
  bytes.writeUInt32BE(length);
  return bytes;
}

/** Reads the whole file or none of it: every part must be there and as it was written. */
export function parseBackup(bytes: Uint8Array): Backup {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!file.subarray(0, magic.length).equals(magic)) {
    throw new Fault("invalid-argument", "it is not a cluster's backup");
  }
  if (file.length < prefaceBytes) throw truncated();
  const found = file.readUInt32BE(magic.length);
  if (found !== version) {
    const message = `it is of version ${found}, and this program reads version ${version}: restore it with the program that made it`;
    throw new Fault("failed-precondition", message);
  }
  const { records, end } = splitRecords(file);
  checkDigest(file, end);
  const [header, ...pieces] = records;
  return { ...parseHeader(header ?? Buffer.alloc(0)), pieces };
}

function splitRecords(file: Buffer): { records: Buffer[]; end: number } {
  const records: Buffer[] = [];
  for (let at = prefaceBytes; ; ) {
    if (at + lengthBytes > file.length) throw truncated();
    const length = file.readUInt32BE(at);
    at += lengthBytes;
    if (length === 0) return { records, end: at };
    if (at + length > file.length) throw truncated();
    records.push(file.subarray(at, at + length));
    at += length;
  }
}

function checkDigest(file: Buffer, end: number): void {
  if (file.length < end + digestBytes) throw truncated();
  if (file.length > end + digestBytes) throw damaged("something follows its end");
  const digest = createHash("sha256").update(file.subarray(0, end)).digest();
  if (!digest.equals(file.subarray(end))) throw damaged("its checksum is another");
}

function parseHeader(bytes: Buffer): BackupHeader {
  try {
    const header: unknown = JSON.parse(bytes.toString("utf8"));
    const { clusterId, index, takenAt } = header as Record<string, unknown>;
    const takenAtMs = typeof takenAt === "string" ? Date.parse(takenAt) : Number.NaN;
    if (
      typeof clusterId === "string" &&
      isId(clusterId) &&
      typeof index === "string" &&
      /^\d{1,19}$/.test(index) &&
      !Number.isNaN(takenAtMs)
    ) {
      return { clusterId, index: BigInt(index), takenAtMs };
    }
  } catch {
    // Said below.
  }
  throw damaged("its header makes no sense");
}

function truncated(): Fault {
  return damaged("its end is missing");
}

/** Damage that a length suffers looks like any other, so one word has to do. */
function damaged(how: string): Fault {
  return new Fault("data-loss", `the backup is damaged: ${how}; copy it anew, or take another`);
}
