/**
 * What a leader knows of one other server, and how it sends to it:
 *
 *   probe      where the logs agree is a guess: one append at a time, until an answer or the next round
 *   replicate  they agree up to `matchIndex`: appends go out ahead of the answers, within a window (§10.2.1)
 *   snapshot   what it needs is not in the log any more: chunks, one at a time (§5.1)
 *
 * Invariants: matchIndex < nextIndex; matchIndex never falls.
 */
import type { ServerId, SnapshotMeta } from "./contract.ts";

/** What is on its way without an answer, by messages and bytes. */
export class Inflight {
  readonly #sent: { readonly lastIndex: number; readonly bytes: number }[] = [];
  #bytes = 0;

  add(lastIndex: number, bytes: number): void {
    this.#sent.push({ lastIndex, bytes });
    this.#bytes += bytes;
  }

  /** Everything up to the index has arrived. */
  free(index: number): void {
    let first = this.#sent[0];
    while (first !== undefined && first.lastIndex <= index) {
      this.#sent.shift();
      this.#bytes -= first.bytes;
      first = this.#sent[0];
    }
  }

  isFull(messagesMax: number, bytesMax: number): boolean {
    return this.#sent.length >= messagesMax || this.#bytes >= bytesMax;
  }
}

type Flow =
  | { readonly kind: "probe"; waiting: boolean }
  | { readonly kind: "replicate"; readonly inflight: Inflight }
  | {
      readonly kind: "snapshot";
      readonly meta: SnapshotMeta;
      chunk: number;
      /** Undefined: the chunk is to be sent. */
      sentMs: number | undefined;
    };

export class Progress {
  readonly id: ServerId;
  matchIndex = 0;
  nextIndex: number;
  /** The commit index that was last sent. */
  sentCommit = 0;
  lastContactMs: number;
  /** The last round that came back (§6.4). */
  ackedRound = 0;
  /** Smoothed round trip. */
  rttMs: number | undefined;
  flow: Flow = { kind: "probe", waiting: false };
  /** Of a removed server: it still gets the log up to the entry that removes it, so that it learns of it, but not for ever. */
  leaving: { readonly index: number; readonly untilMs: number } | undefined;

  constructor(id: ServerId, nextIndex: number, nowMs: number) {
    this.id = id;
    this.nextIndex = nextIndex;
    this.lastContactMs = nowMs;
  }

  becomeProbe(nextIndex: number): void {
    this.nextIndex = Math.max(nextIndex, this.matchIndex + 1);
    this.flow = { kind: "probe", waiting: false };
  }

  becomeReplicate(): void {
    this.nextIndex = this.matchIndex + 1;
    this.flow = { kind: "replicate", inflight: new Inflight() };
  }

  becomeSnapshot(meta: SnapshotMeta): void {
    this.flow = { kind: "snapshot", meta, chunk: 0, sentMs: undefined };
  }

  /** The server has everything up to here, durably. */
  acked(index: number): void {
    this.matchIndex = Math.max(this.matchIndex, index);
    this.nextIndex = Math.max(this.nextIndex, this.matchIndex + 1);
    if (this.flow.kind === "replicate") this.flow.inflight.free(index);
  }

  /** Smooths like TCP: an eighth of what is new (RFC 6298). */
  measured(sampleMs: number): void {
    this.rttMs = this.rttMs === undefined ? sampleMs : this.rttMs + (sampleMs - this.rttMs) / 8;
  }
}
