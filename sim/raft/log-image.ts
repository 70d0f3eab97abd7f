/** A log with the snapshot before it, as on a disk or in a server's memory. */
import type { Entry, SnapshotMeta } from "#manager/raft/contract.ts";

export class LogImage {
  #snapshot: SnapshotMeta;
  /** Without gaps. May begin before the end of the snapshot. */
  #entries: Entry[];

  constructor(snapshot: SnapshotMeta, entries: readonly Entry[]) {
    this.#snapshot = snapshot;
    this.#entries = [...entries];
  }

  get snapshot(): SnapshotMeta {
    return this.#snapshot;
  }

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  get lastIndex(): number {
    return Math.max(this.#snapshot.index, this.#entries.at(-1)?.index ?? 0);
  }

  /** They take the place of everything from the first one's index on. */
  write(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    const begin = this.#entries[0]?.index ?? first.index;
    this.#entries.length = Math.max(0, Math.min(this.#entries.length, first.index - begin));
    for (const entry of entries) this.#entries.push(entry);
  }

  /** A snapshot from elsewhere takes the place of everything. */
  install(snapshot: SnapshotMeta): void {
    this.#snapshot = snapshot;
    this.#entries = [];
  }

  /** A snapshot of this log itself: the entries stay until they are dropped. */
  cover(snapshot: SnapshotMeta): void {
    if (snapshot.index > this.#snapshot.index) this.#snapshot = snapshot;
  }

  drop(upTo: number): void {
    const begin = this.#entries[0]?.index;
    if (begin !== undefined) this.#entries.splice(0, Math.max(0, upTo - begin + 1));
  }

  entry(index: number): Entry | undefined {
    const begin = this.#entries[0]?.index;
    return begin === undefined ? undefined : this.#entries[index - begin];
  }

  termAt(index: number): number | undefined {
    if (index === this.#snapshot.index) return this.#snapshot.term;
    return this.entry(index)?.term;
  }

  /** What a snapshot covers was committed: it is the same everywhere. */
  holds(index: number, term: number): boolean {
    return index <= this.#snapshot.index || this.entry(index)?.term === term;
  }
}
