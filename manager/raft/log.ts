/**
 * The log as the core holds it: the entries behind a base whose index and term are still known, the newest snapshot's
 * description, the memberships found in both, and how far the entries are durable. Knows nothing of roles and commits.
 *
 * Invariants: the entries follow the base without a gap; their terms never fall; base.index ≤ snapshot.index;
 * stable ≤ last index; `#memberships` grows by index, its first one holds at the base of everything kept.
 */
import { type PlacedMembership, placeMembership } from "./membership.ts";
import type { Durable, Entry, SnapshotMeta } from "./contract.ts";

/** What an entry costs beyond its data, so that empty ones are not free. */
const entryOverheadBytes = 32;

export function entryBytes(entry: Entry): number {
  switch (entry.kind) {
    case "data":
      return entryOverheadBytes + entry.data.byteLength;
    case "membership": {
      const { members, removed } = entry.membership;
      const contexts = members.reduce((sum, { context }) => sum + context.length, 0);
      return entryOverheadBytes * (1 + members.length) + contexts + 8 * removed.length;
    }
    case "term-start":
      return entryOverheadBytes;
  }
}

interface Write {
  readonly number: number;
  /** The last entry that is durable with it; falls when later entries take the place of these. */
  readonly last: number;
}

export class LogTail {
  #base: { readonly index: number; readonly term: number };
  #entries: Entry[];
  #snapshot: SnapshotMeta;
  #memberships: PlacedMembership[];
  #stable: number;
  #writes: Write[] = [];

  constructor(durable: Durable) {
    const { snapshot } = durable;
    this.#snapshot = snapshot;
    this.#memberships = [placeMembership(snapshot.index, snapshot.membership)];
    const { base, entries } = foundOnDisk(durable);
    this.#base = base;
    this.#entries = entries;
    this.#stable = this.lastIndex;
    this.#noteMemberships(entries);
  }

  /** The entry before the first that is kept. Its term is known. */
  get base(): { readonly index: number; readonly term: number } {
    return this.#base;
  }

  get lastIndex(): number {
    return this.#base.index + this.#entries.length;
  }

  get lastTerm(): number {
    return this.#entries.at(-1)?.term ?? this.#base.term;
  }

  get snapshot(): SnapshotMeta {
    return this.#snapshot;
  }

  /** Durable here up to this entry. */
  get stable(): number {
    return this.#stable;
  }

  /** The latest, committed or not. */
  get membership(): PlacedMembership {
    return this.membershipAt(Number.POSITIVE_INFINITY);
  }

  membershipAt(index: number): PlacedMembership {
    const [first] = this.#memberships;
    const found = this.#memberships.findLast((placed) => placed.index <= index) ?? first;
    return found ?? placeMembership(0, { members: [], removed: [] });
  }

  /** Undefined: outside of what is kept. */
  termAt(index: number): number | undefined {
    if (index === this.#base.index) return this.#base.term;
    if (index === this.#snapshot.index) return this.#snapshot.term;
    return this.#entries[index - this.#base.index - 1]?.term;
  }

  /** From the first to the last, both included. */
  slice(first: number, last: number): readonly Entry[] {
    return this.#entries.slice(first - this.#base.index - 1, last - this.#base.index);
  }

  /** The entries from the first on that fit into so many bytes; at least one if there is one. */
  sliceBytes(first: number, bytesMax: number): { entries: readonly Entry[]; bytes: number } {
    const from = first - this.#base.index - 1;
    let to = from;
    let bytes = 0;
    for (let entry = this.#entries[to]; entry !== undefined; entry = this.#entries[to]) {
      const size = entryBytes(entry);
      if (to > from && bytes + size > bytesMax) break;
      bytes += size;
      to += 1;
    }
    return { entries: this.#entries.slice(from, to), bytes };
  }

  /** The last entry at or before `index` whose term is at most `term` (§3.5); the base's index where none is known. */
  lastAtOrBelow(index: number, term: number): number {
    let low = this.#base.index;
    let high = Math.min(index, this.lastIndex);
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.termAt(middle) ?? 0) <= term) low = middle;
      else high = middle - 1;
    }
    return Math.min(low, index);
  }

  /** Takes the entries in the place of everything from the first one's index on; they are durable with this write. */
  append(entries: readonly Entry[], number: number): void {
    const [first] = entries;
    if (first === undefined) return;
    if (first.index <= this.lastIndex) this.#truncate(first.index);
    for (const entry of entries) this.#entries.push(entry);
    this.#noteMemberships(entries);
    this.#noteWrite(number);
  }

  /** Begins anew behind a snapshot. What is durable up to `committed` stays a true word until the write is done. */
  install(meta: SnapshotMeta, committed: number, number: number): void {
    this.#snapshot = meta;
    this.#base = { index: meta.index, term: meta.term };
    this.#entries = [];
    this.#memberships = [placeMembership(meta.index, meta.membership)];
    this.#stable = Math.min(this.#stable, committed);
    this.#writes = [];
    this.#noteWrite(number);
  }

  persisted(number: number): void {
    let done = 0;
    for (const write of this.#writes) {
      if (write.number > number) break;
      this.#stable = Math.max(this.#stable, write.last);
      done += 1;
    }
    this.#writes.splice(0, done);
  }

  /** The write with which the entry is durable; 0 if it is. */
  writeOf(index: number): number {
    if (index <= this.#stable) return 0;
    return this.#writes.find(({ last }) => last >= index)?.number ?? 0;
  }

  /** A snapshot up to the index is there: lets go of what it covers, but for some entries for slow followers. */
  compact(index: number, trailing: { readonly entries: number; readonly bytes: number }): void {
    const term = this.termAt(index);
    if (index <= this.#snapshot.index || term === undefined) return;
    this.#snapshot = { index, term, membership: this.membershipAt(index).membership };
    let base = index;
    let bytes = 0;
    for (let kept = 0; kept < trailing.entries && base > this.#base.index; kept += 1) {
      const entry = this.#entries[base - this.#base.index - 1];
      bytes += entry === undefined ? 0 : entryBytes(entry);
      if (bytes > trailing.bytes) break;
      base -= 1;
    }
    const baseTerm = this.termAt(base) ?? term;
    this.#entries = this.#entries.slice(base - this.#base.index);
    this.#base = { index: base, term: baseTerm };
    this.#memberships = this.#memberships.slice(
      this.#memberships.findLastIndex((placed) => placed.index <= index),
    );
  }

  #truncate(from: number): void {
    this.#entries.length = from - this.#base.index - 1;
    while (this.membership.index >= from && this.#memberships.length > 1) this.#memberships.pop();
    this.#stable = Math.min(this.#stable, from - 1);
    this.#writes = this.#writes.map(({ number, last }) => ({
      number,
      last: Math.min(last, from - 1),
    }));
  }

  #noteMemberships(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.kind !== "membership" || entry.index <= this.#snapshot.index) continue;
      this.#memberships.push(placeMembership(entry.index, entry.membership));
    }
  }

  #noteWrite(number: number): void {
    const last = this.#writes.at(-1);
    if (last?.number === number) this.#writes.pop();
    this.#writes.push({ number, last: this.lastIndex });
  }
}

/**
 * What of a disk's entries goes with its snapshot. Where they begin before the snapshot's end, nobody knows the term before
 * the first, so the first becomes the base. Where they end before it, or disagree with it, they are from before it.
 */
function foundOnDisk({ snapshot, entries }: Durable): {
  base: { index: number; term: number };
  entries: Entry[];
} {
  const base = { index: snapshot.index, term: snapshot.term };
  const [first] = entries;
  if (first === undefined) return { base, entries: [] };
  const gap = entries.find(({ index }, at) => index !== first.index + at);
  if (gap !== undefined || first.index > snapshot.index + 1) {
    throw new Error(`Cannot use a log with entries missing before entry ${(gap ?? first).index}`);
  }
  if (first.index === snapshot.index + 1) return { base, entries: [...entries] };
  const covered = entries[snapshot.index - first.index];
  if (covered?.index !== snapshot.index || covered.term !== snapshot.term) {
    return { base, entries: [] };
  }
  return { base: { index: first.index, term: first.term }, entries: entries.slice(1) };
}
