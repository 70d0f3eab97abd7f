/**
 * One log on disk: hard state, entries and snapshots of one server in one life of the log. Synchronous; lives in the
 * log's worker thread. Every record is sealed, and the state record says which others there must be.
 *
 * Invariant: the entries are contiguous and begin no later than behind the snapshot, and what a method wrote is durable
 * when it returns. A snapshot counts from the transaction that names it in the state; chunks of any other are left-overs.
 */
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { Fault } from "#proto/fault.ts";
import type { Random } from "#proto/ports.ts";
import type { Membership, SnapshotMeta } from "../raft/contract.ts";
import { parseChunk } from "./chunk.ts";
import {
  type KeyEncryption,
  newDataKey,
  removeKeyFile,
  syncFolder,
  unwrapDataKey,
  wrapDataKey,
} from "./data-key.ts";
import { type EntryPack, pack, packEntries, unpack } from "./entry-pack.ts";
import {
  createDatabase,
  openDatabase,
  prepareStatements,
  readDataKey,
  setDataKey,
  type Statements,
  transaction,
} from "./log-database.ts";
import type { Life, LogChunk, LogHead, LogPlace, PersistStep } from "./log-messages.ts";
import { LogRecords } from "./log-records.ts";
import { type KeptSnapshot, type LogState, newState } from "./log-state.ts";
import { RecordSeal } from "./record-seal.ts";

/** How much one drop handles, so that the thread is never away for long. */
const sliceRecords = 1000;
const sliceChunks = 8;

/** What is known of the file; changes with a transaction or not at all. */
interface Held {
  readonly state: LogState;
  /** The one before, which may still be on its way to another server. Not kept over a restart. */
  readonly previous: KeptSnapshot | undefined;
  /** Another server's, as far as it has come. Not kept over a restart: it is sent again. */
  readonly staged: KeptSnapshot | undefined;
}

interface DataKey {
  readonly kind: KeyEncryption["kind"];
  readonly plain: Uint8Array;
}

export class LogFile implements Disposable {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #statements: Statements;
  readonly #records: LogRecords;
  readonly #random: Random;
  readonly #writing = new Set<number>();
  #published: boolean;
  #dataKey: DataKey;
  #held: Held;
  #snapshotNumber: number;
  /** Until somebody says how many, none goes. */
  #keepOld = Infinity;

  constructor(
    {
      path,
      published,
      dataKey,
      state,
    }: { path: string; published: boolean; dataKey: DataKey; state: LogState },
    modules: {
      database: DatabaseSync;
      statements: Statements;
      records: LogRecords;
      random: Random;
    },
  ) {
    this.#path = path;
    this.#published = published;
    this.#database = modules.database;
    this.#statements = modules.statements;
    this.#records = modules.records;
    this.#random = modules.random;
    this.#dataKey = dataKey;
    this.#held = { state, previous: undefined, staged: undefined };
    this.#snapshotNumber = state.snapshot.number;
  }

  /** Makes the file under a name that nobody opens; it is worth nothing before `publish`. */
  static create(place: LogPlace & { life: Life; snapshot: SnapshotMeta }, random: Random): LogFile {
    const { path, keyEncryption, life, snapshot } = place;
    if (existsSync(path)) {
      const message = `the log "${path}" exists already: this host is a manager, or was one; remove the file to begin anew`;
      throw new Fault("already-exists", message);
    }
    removeUnpublished(path);
    const database = createDatabase(unpublished(path));
    try {
      const plain = newDataKey(random);
      const wrapped = wrapDataKey(path, plain, keyEncryption, random);
      const statements = prepareStatements(database);
      const seal = new RecordSeal(plain, { random });
      const records = new LogRecords(path, { statements, seal });
      const state = newState(life, snapshot);
      const dataKey = { kind: keyEncryption.kind, plain };
      const file = new LogFile(
        { path, published: false, dataKey, state },
        { database, statements, records, random },
      );
      transaction(database, () => {
        setDataKey(statements, wrapped);
        records.writeState(state);
      });
      return file;
    } catch (thrown) {
      database.close();
      throw thrown;
    }
  }

  /** Opens a file and checks every record of it but the entries', which are checked as they are read. */
  static open({ path, keyEncryption }: LogPlace, random: Random): LogFile {
    const database = openDatabase(path);
    try {
      const statements = prepareStatements(database);
      const wrapped = readDataKey(path, statements);
      const plain = unwrapDataKey(path, wrapped, keyEncryption);
      const seal = new RecordSeal(plain, { random });
      const records = new LogRecords(path, { statements, seal });
      const state = records.readState();
      const dataKey = { kind: wrapped.kind, plain };
      const file = new LogFile(
        { path, published: true, dataKey, state },
        { database, statements, records, random },
      );
      file.#check();
      // Left over where a restart came between the new wrapping and this.
      if (dataKey.kind !== "file") removeKeyFile(path);
      return file;
    } catch (thrown) {
      database.close();
      throw thrown;
    }
  }

  get head(): LogHead {
    const { group, serverId, hardState, snapshot, firstIndex, lastIndex } = this.#held.state;
    return { group, serverId, hardState, snapshot: snapshot.meta, firstIndex, lastIndex };
  }

  /** Closes the new file and gives it its name. */
  publish(): undefined {
    // The last connection leaves no WAL behind: the one file is everything.
    this.#database.close();
    renameSync(unpublished(this.#path), this.#path);
    syncFolder(dirname(this.#path));
    this.#published = true;
  }

  persist(steps: readonly PersistStep[]): undefined {
    this.#change((held) => steps.reduce((next, step) => this.#perform(next, step), held));
  }

  /** Some entries that follow `after`. */
  readEntries(after: number): EntryPack {
    const entries = this.#records.readEntries(after);
    if (entries.length === 0 && after < this.#held.state.lastIndex) {
      throw this.#records.damaged(`entry ${after + 1} is missing`);
    }
    return pack(entries);
  }

  beginSnapshot(): number {
    this.#snapshotNumber += 1;
    this.#writing.add(this.#snapshotNumber);
    return this.#snapshotNumber;
  }

  writeChunk(snapshot: number, chunk: number, data: Uint8Array): undefined {
    transaction(this.#database, () => this.#records.addChunk({ snapshot, chunk }, data));
  }

  /** Makes it the newest, unless one that covers more came from another server meanwhile. */
  finishSnapshot(number: number, meta: SnapshotMeta): undefined {
    this.#writing.delete(number);
    const chunks = this.#records.chunkPlaces().filter(({ snapshot }) => snapshot === number);
    this.#change((held) => {
      if (meta.index < held.state.snapshot.meta.index) return held;
      return this.#withSnapshot(held, { number, meta, chunkCount: chunks.length });
    });
  }

  /** Those that are too many go; their chunks with the next `dropChunks`. */
  keepSnapshots(count: number): undefined {
    this.#keepOld = count;
    if ((this.#held.state.older?.length ?? 0) <= count) return;
    this.#change((held) => ({
      ...held,
      state: { ...held.state, older: held.state.older?.slice(0, count) ?? [] },
    }));
  }

  abandonSnapshot(number: number): undefined {
    this.#writing.delete(number);
  }

  /** Drops some of the chunks that belong to nothing; says whether there may be more. */
  dropChunks(): { more: boolean } {
    const { state, previous, staged } = this.#held;
    const used = new Set([
      state.snapshot.number,
      ...(state.older ?? []).map(({ number }) => number),
      previous?.number,
      staged?.number,
      ...this.#writing,
    ]);
    const unused = this.#records
      .chunkPlaces()
      .filter(({ snapshot }) => !used.has(snapshot))
      .slice(0, sliceChunks);
    transaction(this.#database, () => {
      for (const { snapshot, chunk } of unused) this.#statements.dropChunk.run(snapshot, chunk);
    });
    return { more: unused.length === sliceChunks };
  }

  readChunk(index: number, chunk: number): LogChunk | undefined {
    const { state, previous } = this.#held;
    const kept = [state.snapshot, previous, ...(state.older ?? [])].find(
      (kept) => kept?.meta.index === index,
    );
    if (kept === undefined || chunk >= kept.chunkCount) return undefined;
    return { data: this.#records.readChunk(kept, chunk), last: chunk === kept.chunkCount - 1 };
  }

  /** Drops some of the entries up to this one; says whether there are more. */
  dropEntries(upTo: number): { more: boolean } {
    const { firstIndex, lastIndex, snapshot } = this.#held.state;
    if (upTo > snapshot.meta.index) {
      throw new Fault(
        "internal",
        `entry ${upTo} is not covered by snapshot ${snapshot.meta.index}`,
      );
    }
    const last = Math.min(upTo, lastIndex, firstIndex + sliceRecords - 1);
    if (last < firstIndex) return { more: false };
    this.#change((held) => {
      this.#statements.dropEntriesTo.run(last);
      return { ...held, state: { ...held.state, firstIndex: last + 1 } };
    });
    return { more: last < Math.min(upTo, lastIndex) };
  }

  /**
   * Wraps the data key anew. From a key file to an unlock key the data key itself is new and every record is sealed
   * again, since the old one lay beside the file for whoever copied it.
   */
  rekey(keyEncryption: KeyEncryption): undefined {
    const before = this.#dataKey.kind;
    const { kind } = keyEncryption;
    if (kind === "file" && before === "file") return;
    const locking = kind !== "file" && before === "file";
    const plain = locking ? newDataKey(this.#random) : this.#dataKey.plain;
    const seal = locking ? new RecordSeal(plain, { random: this.#random }) : undefined;
    // The key file is on the disk before the record that needs it, and is removed after the one that does not.
    const wrapped = wrapDataKey(this.#path, plain, keyEncryption, this.#random);
    transaction(this.#database, () => {
      setDataKey(this.#statements, wrapped);
      if (seal !== undefined) this.#records.reseal(seal, this.#held.state);
    });
    if (seal !== undefined) this.#records.use(seal);
    this.#dataKey = { kind, plain };
    if (kind !== "file") removeKeyFile(this.#path);
    // Else the records of before would stay in the WAL until it is written over.
    this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  /** Keeps every entry: whichever of them was acknowledged, nobody else can say any more. */
  renew({ group, serverId }: Life, membership: Membership): undefined {
    this.#change((held) => {
      const { hardState, lastIndex } = held.state;
      // Terms begin with 1.
      const term = Math.max(hardState.term, 1);
      const entry = { kind: "membership", index: lastIndex + 1, term, membership } as const;
      const next = this.#append(held, packEntries([entry]));
      const state = { ...next.state, group, serverId, hardState: { term, votedFor: undefined } };
      return { ...next, state };
    });
  }

  [Symbol.dispose](): undefined {
    this.#database.close();
    if (this.#published) return;
    removeUnpublished(this.#path);
    removeKeyFile(this.#path);
  }

  #check(): void {
    const { state } = this.#held;
    for (let chunk = 0; chunk < state.snapshot.chunkCount; chunk++) {
      this.#records.readChunk(state.snapshot, chunk);
    }
    this.#checkEntryRange(state);
    // The entries up to the snapshot were committed and applied before they were on this disk, and then never were: what
    // is here ends before, or is what they would have taken the place of.
    if (!this.#goWithSnapshot(state)) this.#change(withoutEntries(this.#statements));
    while (this.dropChunks().more);
  }

  #checkEntryRange({ firstIndex, lastIndex, snapshot }: LogState): void {
    const { first, last } = this.#records.entryRange();
    const found = typeof first === "number" ? `${first}…${String(last)}` : "none";
    const expected = firstIndex <= lastIndex ? `${firstIndex}…${lastIndex}` : "none";
    if (found !== expected) {
      throw this.#records.damaged(`of the entries ${expected} it has ${found}`);
    }
    if (firstIndex > snapshot.meta.index + 1) {
      throw this.#records.damaged(`entry ${snapshot.meta.index + 1} is missing`);
    }
  }

  #goWithSnapshot({ firstIndex, lastIndex, snapshot: { meta } }: LogState): boolean {
    if (firstIndex > meta.index) return true;
    if (lastIndex < meta.index) return false;
    return this.#records.readEntries(meta.index - 1)[0]?.term === meta.term;
  }

  /** Makes `act`'s writes durable together with the state that it returns. */
  #change(act: (held: Held) => Held): void {
    const held = this.#held;
    this.#held = transaction(this.#database, () => {
      const next = act(held);
      if (next.state !== held.state) this.#records.writeState(next.state);
      return next;
    });
  }

  #perform(held: Held, { chunk, install, hardState, entries }: PersistStep): Held {
    let next = held;
    if (chunk !== undefined) next = this.#stage(next, chunk);
    if (install !== undefined) next = this.#install(next, install);
    if (hardState !== undefined) next = { ...next, state: { ...next.state, hardState } };
    if (entries !== undefined) next = this.#append(next, entries);
    return next;
  }

  #stage(held: Held, { meta, chunk, data }: NonNullable<PersistStep["chunk"]>): Held {
    parseChunk(data);
    let staged = held.staged;
    if (chunk === 0) {
      this.#snapshotNumber += 1;
      staged = { number: this.#snapshotNumber, meta, chunkCount: 0 };
    }
    if (staged === undefined || !sameSnapshot(staged.meta, meta) || staged.chunkCount !== chunk) {
      throw new Fault("internal", `chunk ${chunk} of snapshot ${meta.index} comes out of its turn`);
    }
    this.#records.addChunk({ snapshot: staged.number, chunk }, data);
    return { ...held, staged: { ...staged, chunkCount: chunk + 1 } };
  }

  #install(held: Held, meta: SnapshotMeta): Held {
    const { staged } = held;
    if (staged === undefined || !sameSnapshot(staged.meta, meta)) {
      throw new Fault("internal", `snapshot ${meta.index} is installed before it is there`);
    }
    const next = this.#withSnapshot(held, { ...staged, meta });
    return withoutEntries(this.#statements)({ ...next, staged: undefined });
  }

  #withSnapshot(held: Held, snapshot: KeptSnapshot): Held {
    const { snapshot: previous, older = [] } = held.state;
    // A log begins with a snapshot of nothing.
    const before = previous.chunkCount === 0 ? older : [previous, ...older];
    const kept = before.slice(0, this.#keepOld === Infinity ? older.length : this.#keepOld);
    return { ...held, previous, state: { ...held.state, snapshot, older: kept } };
  }

  #append(held: Held, entries: EntryPack): Held {
    const { firstIndex, lastIndex } = held.state;
    let last: number | undefined;
    for (const entry of unpack(entries)) {
      const { index } = entry;
      const fits =
        last === undefined ? index >= firstIndex && index <= lastIndex + 1 : index === last + 1;
      if (!fits) {
        const range = `${firstIndex}…${last ?? lastIndex}`;
        throw new Fault("internal", `entry ${index} does not follow the entries ${range}`);
      }
      if (last === undefined) this.#statements.dropEntriesFrom.run(index);
      this.#records.addEntry(entry);
      last = index;
    }
    return { ...held, state: { ...held.state, lastIndex: last ?? lastIndex } };
  }
}

function withoutEntries(statements: Statements) {
  return (held: Held): Held => {
    statements.dropAllEntries.run();
    const { index } = held.state.snapshot.meta;
    return { ...held, state: { ...held.state, firstIndex: index + 1, lastIndex: index } };
  };
}

function sameSnapshot(one: SnapshotMeta, other: SnapshotMeta): boolean {
  return one.index === other.index && one.term === other.term;
}

function unpublished(path: string): string {
  return `${path}.new`;
}

function removeUnpublished(path: string): void {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(unpublished(path) + suffix, { force: true });
}
