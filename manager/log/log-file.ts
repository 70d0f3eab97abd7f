/**
 * One log on disk: a SQLite database with entries and at most one complete snapshot. Synchronous; lives in the log's worker
 * thread. Every record carries a checksum over its index and data, since SQLite itself checks structure, not content.
 *
 * Invariant: the entries after the snapshot are contiguous, and `append` returns only when they are durable. A snapshot
 * counts from the transaction that names its index in `state`; pieces of any other are left-overs of a crash. Entries that
 * the snapshot covers are dropped afterwards, in slices, and are ignored until then.
 */
import { closeSync, fsyncSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { Fault } from "#proto/fault.ts";
import type { LogRecord } from "./log-messages.ts";

/** How much one read or drop handles, so that the thread is never away for long. */
const sliceBytes = 1024 * 1024;
const sliceRecords = 1000;

const formatVersion = 1;

const schema = `
  CREATE TABLE IF NOT EXISTS entries (
    entry INTEGER PRIMARY KEY, data BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS pieces (
    snapshot INTEGER NOT NULL, piece INTEGER NOT NULL, data BLOB NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (snapshot, piece)) STRICT;
  CREATE TABLE IF NOT EXISTS state (
    one INTEGER PRIMARY KEY CHECK (one = 1), snapshot INTEGER NOT NULL, piece_count INTEGER NOT NULL) STRICT;
  INSERT OR IGNORE INTO state VALUES (1, 0, 0);
`;

interface Statements {
  readonly append: StatementSync;
  readonly entries: StatementSync;
  readonly dropEntries: StatementSync;
  readonly writePiece: StatementSync;
  readonly pieces: StatementSync;
  readonly dropPieces: StatementSync;
  readonly setSnapshot: StatementSync;
}

export class LogFile implements Disposable {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #statements: Statements;
  #snapshotIndex: bigint;
  #pieceCount: number;

  constructor(path: string, database: DatabaseSync) {
    this.#path = path;
    this.#database = database;
    this.#statements = prepare(database);
    const state = database.prepare("SELECT snapshot, piece_count FROM state").get();
    this.#snapshotIndex = BigInt(Number(state?.["snapshot"] ?? 0));
    this.#pieceCount = Number(state?.["piece_count"] ?? 0);
    this.#statements.dropPieces.run(this.#snapshotIndex);
  }

  static open(path: string): LogFile {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const database = new DatabaseSync(path);
    try {
      // Exclusive: the lock is held for the connection's life, so a second process is refused at once.
      database.exec("PRAGMA locking_mode = EXCLUSIVE");
      database.exec("PRAGMA journal_mode = WAL");
      database.exec("PRAGMA synchronous = FULL");
      checkStructure(path, database);
      checkFormat(path, database);
      database.exec(schema);
      // The file's name must survive a power loss as well as its content.
      syncFolder(dirname(path));
      return new LogFile(path, database);
    } catch (thrown) {
      database.close();
      throw thrown;
    }
  }

  get snapshotIndex(): bigint {
    return this.#snapshotIndex;
  }

  append(records: readonly LogRecord[]): undefined {
    this.#transaction(() => {
      for (const { index, data } of records) {
        this.#statements.append.run(index, data, checksum(index, data));
      }
    });
  }

  /** Some entries that follow `after` or, where that is later, the snapshot; empty at the end. */
  readEntries(after: bigint): LogRecord[] {
    const records: LogRecord[] = [];
    let expected = after > this.#snapshotIndex ? after : this.#snapshotIndex;
    let sizeBytes = 0;
    for (const row of this.#statements.entries.iterate(expected)) {
      const index = BigInt(Number(row["entry"]));
      expected += 1n;
      if (index !== expected) throw this.#damaged(`entry ${expected} is missing`);
      const data = this.#checked(row, index, `entry ${index}`);
      records.push({ index, data });
      sizeBytes += data.length;
      if (sizeBytes >= sliceBytes) break;
    }
    return records;
  }

  /** Some of the snapshot's pieces, beginning with number `from`; empty at the end. */
  readSnapshot(from: number): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    let sizeBytes = 0;
    for (const row of this.#statements.pieces.iterate(this.#snapshotIndex, from)) {
      const number = from + pieces.length;
      const what = `piece ${number} of snapshot ${this.#snapshotIndex}`;
      if (row["piece"] !== number) throw this.#damaged(`${what} is missing`);
      const data = this.#checked(row, BigInt(number), what);
      pieces.push(data);
      sizeBytes += data.length;
      if (sizeBytes >= sliceBytes) break;
    }
    if (pieces.length === 0 && from !== this.#pieceCount) {
      const missing = this.#pieceCount - from;
      throw this.#damaged(
        `the last ${missing} pieces of snapshot ${this.#snapshotIndex} are missing`,
      );
    }
    return pieces;
  }

  writeSnapshot(index: bigint, from: number, pieces: readonly Uint8Array[]): undefined {
    this.#transaction(() => {
      for (const [offset, data] of pieces.entries()) {
        const number = from + offset;
        this.#statements.writePiece.run(index, number, data, checksum(BigInt(number), data));
      }
    });
  }

  finishSnapshot(index: bigint, pieceCount: number): undefined {
    this.#transaction(() => this.#statements.setSnapshot.run(index, pieceCount));
    this.#snapshotIndex = index;
    this.#pieceCount = pieceCount;
    this.#statements.dropPieces.run(index);
  }

  /** Drops some of the entries that the snapshot covers; says whether there may be more. */
  dropEntries(): { more: boolean } {
    const { changes } = this.#statements.dropEntries.run(this.#snapshotIndex, sliceRecords);
    return { more: Number(changes) === sliceRecords };
  }

  [Symbol.dispose](): undefined {
    this.#database.close();
  }

  #transaction(act: () => void): void {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      act();
      this.#database.exec("COMMIT");
    } catch (thrown) {
      // A full disk makes SQLite roll back by itself in some places and not in others.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw thrown;
    }
  }

  #checked(row: Record<string, unknown>, number: bigint, what: string): Uint8Array {
    const data = row["data"];
    if (!(data instanceof Uint8Array) || row["checksum"] !== checksum(number, data)) {
      throw this.#damaged(`${what} does not match its checksum`);
    }
    return data;
  }

  #damaged(what: string): Fault {
    return damaged(this.#path, what);
  }
}

function prepare(database: DatabaseSync): Statements {
  return {
    append: database.prepare("INSERT INTO entries VALUES (?, ?, ?)"),
    entries: database.prepare(
      "SELECT entry, data, checksum FROM entries WHERE entry > ? ORDER BY entry",
    ),
    dropEntries: database.prepare(
      "DELETE FROM entries WHERE entry IN (SELECT entry FROM entries WHERE entry <= ? ORDER BY entry LIMIT ?)",
    ),
    writePiece: database.prepare("INSERT INTO pieces VALUES (?, ?, ?, ?)"),
    pieces: database.prepare(
      "SELECT piece, data, checksum FROM pieces WHERE snapshot = ? AND piece >= ? ORDER BY piece",
    ),
    dropPieces: database.prepare("DELETE FROM pieces WHERE snapshot <> ?"),
    setSnapshot: database.prepare("UPDATE state SET snapshot = ?, piece_count = ?"),
  };
}

/** CRC-32 over the number as 8 bytes and the data: a record that moved is as damaged as one that changed. */
function checksum(number: bigint, data: Uint8Array): number {
  const head = new Uint8Array(8);
  new DataView(head.buffer).setBigUint64(0, number);
  return crc32(data, crc32(head));
}

function checkStructure(path: string, database: DatabaseSync): void {
  const said = database.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
  if (said !== "ok") throw damaged(path, String(said));
}

function checkFormat(path: string, database: DatabaseSync): void {
  const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
  if (version > formatVersion) {
    const message = `the log "${path}" has format ${version}, this program reads up to ${formatVersion}: use a newer one`;
    throw new Fault("failed-precondition", message);
  }
  if (version < formatVersion) database.exec(`PRAGMA user_version = ${formatVersion}`);
}

function damaged(path: string, what: string): Fault {
  const message = `the log "${path}" is damaged: ${what}; restore the file from a backup, or remove it and join the cluster anew`;
  return new Fault("data-loss", message);
}

function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
