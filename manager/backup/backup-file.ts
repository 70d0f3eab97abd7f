/**
 * A cluster's state as one file. It holds the key of the certificate authority and all secrets: whoever reads it can be
 * any node of the cluster.
 *
 *     magic     8 bytes, "SWARMBAK"
 *     version   u32: 1, or 2 where the pieces are sealed
 *     header    u32 length, then JSON: {"clusterId", "index", "takenAt"}, and where they are sealed "sealedKey"
 *     pieces    u32 length, 1 or more, then a piece of the store's snapshot; in the snapshot's order
 *     end       u32 0
 *     digest    32 bytes, SHA-256 of everything before it
 *
 * Numbers are big-endian. Nothing follows the digest.
 *
 * Where managers lock themselves, what lies on a disk must not open what their logs keep shut. Each piece is sealed then, as
 * what its place is, and one more, an empty one, as the end: none can be exchanged or left out. The key is the file's own, at
 * random, and the header has it sealed with the unlock key, base64.
 */
import { createHash } from "node:crypto";
import { Fault } from "#proto/fault.ts";
import { isId } from "#proto/ids.ts";
import type { Random } from "#proto/ports.ts";
import { keyBytes, seal, unseal } from "#proto/seal.ts";
import { parseUnlockKey } from "#proto/unlock-key.ts";

const magic = Buffer.from("SWARMBAK", "latin1");
const plainVersion = 1;
const sealedVersion = 2;
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

export interface Sealing {
  /** What the managers lock themselves with; empty: they do not, and nothing is sealed. */
  readonly unlockKey: string;
  readonly random: Random;
}

const keySealedAs = Buffer.from("swarm backup key");
const pieceSealedAs = (place: number) => Buffer.from(`swarm backup piece ${place}`);
const endSealedAs = (count: number) => Buffer.from(`swarm backup end ${count}`);

/** The file in parts of about a piece each. Pieces are drawn as the parts are. */
export function* encodeBackup(
  header: BackupHeader,
  pieces: Iterable<Uint8Array>,
  { unlockKey, random }: Sealing,
): Generator<Uint8Array> {
  if (unlockKey === "") return yield* encode(plainVersion, header, pieces);
  const key = Uint8Array.from(random.bytes(keyBytes));
  const wrapped = seal(parseUnlockKey(unlockKey), keySealedAs, key, random);
  const sealedKey = Buffer.from(wrapped).toString("base64");
  yield* encode(sealedVersion, { ...header, sealedKey }, sealEach(pieces, key, random));
}

function* sealEach(pieces: Iterable<Uint8Array>, key: Uint8Array, random: Random) {
  let count = 0;
  for (const piece of pieces) yield seal(key, pieceSealedAs(count++), piece, random);
  yield seal(key, endSealedAs(count), new Uint8Array(), random);
}

interface FileHeader extends BackupHeader {
  readonly sealedKey?: string;
}

function* encode(
  version: number,
  { takenAtMs, index, ...rest }: FileHeader,
  pieces: Iterable<Uint8Array>,
): Generator<Uint8Array> {
  const hash = createHash("sha256");
  const hashed = (part: Uint8Array) => {
    hash.update(part);
    return part;
  };
  const takenAt = new Date(takenAtMs).toISOString();
  const header = JSON.stringify({ ...rest, index: String(index), takenAt });
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

/**
 * Reads the whole file or none of it: every part must be there and as it was written. The unlock key is not looked at where
 * nothing is sealed.
 */
export function parseBackup(bytes: Uint8Array, unlockKey: string): Backup {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!file.subarray(0, magic.length).equals(magic)) {
    throw new Fault("invalid-argument", "it is not a cluster's backup");
  }
  if (file.length < prefaceBytes) throw truncated();
  const found = file.readUInt32BE(magic.length);
  if (found !== plainVersion && found !== sealedVersion) {
    const message = `it is of version ${found}, and this program reads versions ${plainVersion} and ${sealedVersion}: restore it with the program that made it`;
    throw new Fault("failed-precondition", message);
  }
  const { records, end } = splitRecords(file);
  checkDigest(file, end);
  const [first, ...pieces] = records;
  const { sealedKey, ...header } = parseHeader(first ?? Buffer.alloc(0));
  if (found === plainVersion) return { ...header, pieces };
  const key = openKey(Buffer.from(sealedKey ?? "", "base64"), unlockKey);
  return { ...header, pieces: openEach(pieces, key) };
}

function openKey(wrapped: Uint8Array, unlockKey: string): Uint8Array {
  if (unlockKey === "") {
    const message =
      "the managers of this cluster lock themselves: give their unlock key, with --unlock";
    throw new Fault("failed-precondition", message);
  }
  const key = unseal(parseUnlockKey(unlockKey), keySealedAs, wrapped);
  if (key?.length === keyBytes) return key;
  const message = "the unlock key is not the one that the cluster had when the backup was made";
  throw new Fault("failed-precondition", message);
}

function openEach(sealed: readonly Uint8Array[], key: Uint8Array): Uint8Array[] {
  const end = sealed.at(-1);
  const count = sealed.length - 1;
  if (end === undefined || unseal(key, endSealedAs(count), end) === undefined) throw truncated();
  return sealed.slice(0, count).map((piece, place) => {
    const opened = unseal(key, pieceSealedAs(place), piece);
    if (opened === undefined) throw damaged("a part of it is not what was sealed");
    return opened;
  });
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

function parseHeader(bytes: Buffer): FileHeader {
  try {
    const header: unknown = JSON.parse(bytes.toString("utf8"));
    const { clusterId, index, takenAt, sealedKey } = header as Record<string, unknown>;
    const takenAtMs = typeof takenAt === "string" ? Date.parse(takenAt) : Number.NaN;
    if (
      typeof clusterId === "string" &&
      isId(clusterId) &&
      typeof index === "string" &&
      /^\d{1,19}$/.test(index) &&
      !Number.isNaN(takenAtMs)
    ) {
      const known = { clusterId, index: BigInt(index), takenAtMs };
      return typeof sealedKey === "string" ? { ...known, sealedKey } : known;
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
