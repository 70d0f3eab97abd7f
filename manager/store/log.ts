/**
 * What the store asks of its log. A log orders entries, makes them durable and hands each to `apply` exactly once, in
 * index order, before the proposal resolves. One manager's SQLite file is such a log; a Raft group is another.
 */
import type { Fault } from "#proto/fault.ts";

export interface LogEntry {
  /** Grows with every entry; the version of what the entry writes. */
  readonly index: bigint;
  readonly data: Uint8Array;
}

/** Why an entry, though in the log, changed nothing; the same on every manager. Undefined: it was applied. */
export type Rejection = Fault | undefined;

/** What a log drives. */
export interface StateMachine {
  apply(entry: LogEntry): Rejection;
  /**
   * The whole state as it is at the call, in pieces that `restore` takes back in the same order. The pieces may be drawn
   * later, while entries are applied: they do not change.
   */
  snapshot(): Iterable<Uint8Array>;
  /**
   * Puts the state that the entry `index` left behind in place of the present one, where a manager comes up or has missed
   * so much that others send it the whole. The present state stays until all pieces are read, and for good where one of
   * them cannot be; nothing may be applied meanwhile. Whoever watches is told the difference, as of one commit.
   */
  restore(index: bigint, pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void>;
}

export interface Log {
  /**
   * Resolves when the entry is durable on a majority and applied here, with what applying it said. "unavailable": it was
   * not written and will not be. "deadline-exceeded": nobody can say whether it was or will be.
   */
  propose(data: Uint8Array): Promise<Rejection>;
  /** Resolves when everything that was acknowledged anywhere before the call is applied here. */
  barrier(): Promise<void>;
}
