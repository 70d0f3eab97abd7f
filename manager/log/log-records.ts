/**
 * The records of a log file: sealed as they are written, checked as they are read. Says which one is damaged; which ones
 * there must be is for `LogFile` to know.
 */
import type { Fault } from "#proto/fault.ts";
import { damaged } from "./damage.ts";
import { type EntryKind, entryKinds, type PackedEntry } from "./entry-pack.ts";
import type { Statements } from "./log-database.ts";
import { decodeState, encodeState, type KeptSnapshot, type LogState } from "./log-state.ts";
import type { RecordSeal } from "./record-seal.ts";

/** How much one read handles, so that the thread is never away for long. */
const sliceBytes = 1024 * 1024;
const sliceRecords = 1000;

const statePlace = { kind: "state", index: 0, term: 0 } as const;

export interface ChunkPlace {
  /** The snapshot's number. */
  readonly snapshot: number;
  readonly chunk: number;
}

export class LogRecords {
  readonly #path: string;
  readonly #statements: Statements;
  #seal: RecordSeal;

  constructor(path: string, modules: { statements: Statements; seal: RecordSeal }) {
    this.#path = path;
    this.#statements = modules.statements;
    this.#seal = modules.seal;
  }

  readState(): LogState {
    const sealed = this.#statements.state.get()?.["sealed"];
    const state = sealed instanceof Uint8Array ? this.#seal.open(statePlace, sealed) : undefined;
    if (state === undefined) throw this.damaged("its state record does not match its seal");
    return decodeState(state);
  }

  writeState(state: LogState): void {
    this.#statements.setState.run(this.#seal.seal(statePlace, encodeState(state)));
  }

  /** The first and the last index. */
  entryRange(): { first: unknown; last: unknown } {
    const { first, last } = this.#statements.entryRange.get() ?? {};
    return { first, last };
  }

  /** Some of the entries that follow `after` without a gap. */
  readEntries(after: number): PackedEntry[] {
    const entries: PackedEntry[] = [];
    let sizeBytes = 0;
    let expected = after + 1;
    for (const row of this.#statements.entries.iterate(after)) {
      if (row["entry"] !== expected) break;
      const entry = this.#openEntry(row, expected);
      entries.push(entry);
      expected += 1;
      sizeBytes += entry.body.length;
      if (sizeBytes >= sliceBytes || entries.length === sliceRecords) break;
    }
    return entries;
  }

  addEntry(entry: PackedEntry): void {
    const { index, term, kind, body } = entry;
    this.#statements.addEntry.run(index, term, kind, this.#seal.seal(entry, body));
  }

  readChunk({ number, meta }: KeptSnapshot, chunk: number): Uint8Array {
    const what = `chunk ${chunk} of snapshot ${meta.index}`;
    return this.#openChunk({ snapshot: number, chunk }, what);
  }

  addChunk({ snapshot, chunk }: ChunkPlace, data: Uint8Array): void {
    const sealed = this.#seal.seal({ kind: "chunk", index: chunk, term: snapshot }, data);
    this.#statements.addChunk.run(snapshot, chunk, sealed);
  }

  chunkPlaces(): ChunkPlace[] {
    return this.#statements.chunkPlaces
      .all()
      .map((row) => ({ snapshot: Number(row["snapshot"]), chunk: Number(row["chunk"]) }));
  }

  /** Seals everything that is in the file anew; in a transaction of the caller's, which then calls `use`. */
  reseal(seal: RecordSeal, state: LogState): void {
    for (let after = state.firstIndex - 1; after < state.lastIndex; ) {
      const entries = this.readEntries(after);
      if (entries.length === 0) throw this.damaged(`entry ${after + 1} is missing`);
      for (const entry of entries) {
        this.#statements.resealEntry.run(seal.seal(entry, entry.body), entry.index);
      }
      after += entries.length;
    }
    for (const place of this.chunkPlaces()) {
      const { snapshot, chunk } = place;
      const data = this.#openChunk(place, `chunk ${chunk} of the file's snapshot ${snapshot}`);
      const sealed = seal.seal({ kind: "chunk", index: chunk, term: snapshot }, data);
      this.#statements.resealChunk.run(sealed, snapshot, chunk);
    }
    this.#statements.setState.run(seal.seal(statePlace, encodeState(state)));
  }

  use(seal: RecordSeal): void {
    this.#seal = seal;
  }

  damaged(what: string): Fault {
    return damaged(this.#path, what);
  }

  #openEntry(row: Record<string, unknown>, index: number): PackedEntry {
    const { term, kind, sealed } = row;
    if (typeof term === "number" && isEntryKind(kind) && sealed instanceof Uint8Array) {
      const body = this.#seal.open({ kind, index, term }, sealed);
      if (body !== undefined) return { index, term, kind, body };
    }
    throw this.damaged(`entry ${index} does not match its seal`);
  }

  #openChunk({ snapshot, chunk }: ChunkPlace, what: string): Uint8Array {
    const sealed = this.#statements.chunk.get(snapshot, chunk)?.["sealed"];
    if (sealed === undefined) throw this.damaged(`${what} is missing`);
    const place = { kind: "chunk", index: chunk, term: snapshot } as const;
    const data = sealed instanceof Uint8Array ? this.#seal.open(place, sealed) : undefined;
    if (data === undefined) throw this.damaged(`${what} does not match its seal`);
    return data;
  }
}

function isEntryKind(kind: unknown): kind is EntryKind {
  return entryKinds.some((known) => known === kind);
}
