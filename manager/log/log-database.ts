/**
 * The SQLite database of a log: its tables, how it is opened, and transactions. WAL and synchronous=FULL: what is
 * committed is on the disk, and a torn last write is repaired by SQLite, which drops the transaction that it cut short.
 */
import { chmodSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { Fault } from "#proto/fault.ts";
import { damaged } from "./damage.ts";
import type { WrappedKey } from "./data-key.ts";

const formatVersion = 2;

const schema = `
  CREATE TABLE data_key (
    one INTEGER PRIMARY KEY CHECK (one = 1), kind TEXT NOT NULL, wrapped BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT;
  CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), sealed BLOB NOT NULL) STRICT;
  CREATE TABLE entries (
    entry INTEGER PRIMARY KEY, term INTEGER NOT NULL, kind TEXT NOT NULL, sealed BLOB NOT NULL) STRICT;
  CREATE TABLE chunks (
    snapshot INTEGER NOT NULL, chunk INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (snapshot, chunk)) STRICT;
  PRAGMA user_version = ${formatVersion};
`;

export type Statements = ReturnType<typeof prepareStatements>;

export function createDatabase(path: string): DatabaseSync {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return withDatabase(path, (database) => {
    database.exec(schema);
    chmodSync(path, 0o600);
  });
}

export function openDatabase(path: string): DatabaseSync {
  // SQLite would make the file.
  if (statSync(path, { throwIfNoEntry: false }) === undefined) {
    throw new Fault("not-found", `there is no log "${path}"`);
  }
  return withDatabase(path, (database) => {
    checkFormat(path, database);
    const said = database.prepare("PRAGMA quick_check(1)").get()?.["quick_check"];
    if (said !== "ok") throw damaged(path, String(said));
  });
}

function withDatabase(path: string, use: (database: DatabaseSync) => void): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    // Exclusive: the lock is held for the connection's life, so a second process is refused at once.
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = FULL");
    use(database);
    return database;
  } catch (thrown) {
    database.close();
    throw thrown;
  }
}

function checkFormat(path: string, database: DatabaseSync): void {
  const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
  if (version === formatVersion) return;
  const message = `the log "${path}" has format ${version}, this program reads ${formatVersion}: use the version of the program that wrote it`;
  throw new Fault("failed-precondition", message);
}

export function prepareStatements(database: DatabaseSync) {
  const prepare = (sql: string): StatementSync => database.prepare(sql);
  return {
    dataKey: prepare("SELECT kind, wrapped, checksum FROM data_key"),
    setDataKey: prepare("INSERT OR REPLACE INTO data_key VALUES (1, ?, ?, ?)"),
    state: prepare("SELECT sealed FROM state"),
    setState: prepare("INSERT OR REPLACE INTO state VALUES (1, ?)"),
    addEntry: prepare("INSERT INTO entries VALUES (?, ?, ?, ?)"),
    entries: prepare(
      "SELECT entry, term, kind, sealed FROM entries WHERE entry > ? ORDER BY entry",
    ),
    entryRange: prepare("SELECT min(entry) AS first, max(entry) AS last FROM entries"),
    resealEntry: prepare("UPDATE entries SET sealed = ? WHERE entry = ?"),
    dropEntriesFrom: prepare("DELETE FROM entries WHERE entry >= ?"),
    dropEntriesTo: prepare("DELETE FROM entries WHERE entry <= ?"),
    dropAllEntries: prepare("DELETE FROM entries"),
    addChunk: prepare("INSERT INTO chunks VALUES (?, ?, ?)"),
    chunk: prepare("SELECT sealed FROM chunks WHERE snapshot = ? AND chunk = ?"),
    chunkPlaces: prepare("SELECT snapshot, chunk FROM chunks"),
    resealChunk: prepare("UPDATE chunks SET sealed = ? WHERE snapshot = ? AND chunk = ?"),
    dropChunk: prepare("DELETE FROM chunks WHERE snapshot = ? AND chunk = ?"),
  };
}

export function setDataKey(statements: Statements, { kind, wrapped }: WrappedKey): void {
  statements.setDataKey.run(kind, wrapped, crc32(wrapped, crc32(kind)));
}

/** The checksum tells a damaged key from one that is locked with another. */
export function readDataKey(path: string, statements: Statements): WrappedKey {
  const { kind, wrapped, checksum } = statements.dataKey.get() ?? {};
  const known = kind === "file" || kind === "unlock-key";
  if (!known || !(wrapped instanceof Uint8Array) || checksum !== crc32(wrapped, crc32(kind))) {
    throw damaged(path, "its data key does not match its checksum");
  }
  return { kind, wrapped };
}

/** All that `act` writes, or nothing of it. */
export function transaction<T>(database: DatabaseSync, act: () => T): T {
  database.exec("BEGIN IMMEDIATE");
  try {
    const result = act();
    database.exec("COMMIT");
    return result;
  } catch (thrown) {
    // A full disk makes SQLite roll back by itself in some places and not in others.
    if (database.isTransaction) database.exec("ROLLBACK");
    throw thrown;
  }
}
