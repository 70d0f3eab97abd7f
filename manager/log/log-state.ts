/**
 * The one record that says what else a log file holds. It is written in the same transaction as whatever it speaks of,
 * so that a record that is missing, left over or of another time is found when the file is opened.
 */
import type { HardState, SnapshotMeta } from "../raft/contract.ts";
import type { Life } from "./log-messages.ts";

export interface KeptSnapshot {
  /** Names it in this file; each is given once. */
  readonly number: number;
  readonly meta: SnapshotMeta;
  readonly chunkCount: number;
}

export interface LogState extends Life {
  readonly hardState: HardState;
  readonly snapshot: KeptSnapshot;
  /** Snapshots of before that are kept, the newest first; absent where there never was one. */
  readonly older?: readonly KeptSnapshot[];
  readonly firstIndex: number;
  /** One before the first in an empty log. */
  readonly lastIndex: number;
}

export function newState(life: Life, snapshot: SnapshotMeta): LogState {
  return {
    group: life.group,
    serverId: life.serverId,
    // Whoever takes over a state has seen the term that it comes from.
    hardState: { term: snapshot.term, votedFor: undefined },
    snapshot: { number: 0, meta: snapshot, chunkCount: 0 },
    firstIndex: snapshot.index + 1,
    lastIndex: snapshot.index,
  };
}

export function encodeState(state: LogState): Uint8Array {
  return Buffer.from(JSON.stringify(state));
}

/** Takes what was sealed by `encodeState`, and nothing else. */
export function decodeState(bytes: Uint8Array): LogState {
  const state = JSON.parse(Buffer.from(bytes).toString()) as LogState;
  const { term, votedFor } = state.hardState;
  // JSON has no undefined.
  return { ...state, hardState: { term, votedFor } };
}
