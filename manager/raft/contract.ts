/**
 * The words of the core. Everything is plain data: what goes in, what comes out, what is kept. Index and term are integers
 * below 2^53.
 *
 * "§" names a section of Diego Ongaro's dissertation, "Consensus: Bridging Theory and Practice" (Stanford, 2014).
 */

/** Chosen at random when a server is added, 1 … 2^53 − 1; never given to another, nor to the same one again. */
export type ServerId = number;

export interface Member {
  readonly id: ServerId;
  /** A learner receives the log and does not count (§4.2.1). */
  readonly voter: boolean;
  /** Carried for the driver: where the server is reached and whose it is. The core does not look at it. */
  readonly context: string;
}

/** Who takes part, from the log entry on that holds it, committed or not (§4.1). */
export interface Membership {
  readonly members: readonly Member[];
  /** Every ID that was ever removed. */
  readonly removed: readonly ServerId[];
}

interface EntryPlace {
  readonly term: number;
  readonly index: number;
}

export type EntryBody =
  /** A leader's first of its term: what is before it may be counted once this is committed (§3.6.2, §6.4). */
  | { readonly kind: "term-start" }
  | { readonly kind: "data"; readonly data: Uint8Array }
  | { readonly kind: "membership"; readonly membership: Membership };

export type Entry = EntryPlace & EntryBody;

export interface HardState {
  readonly term: number;
  readonly votedFor: ServerId | undefined;
}

export interface SnapshotMeta {
  /** The last entry that the snapshot covers; 0 and 0 at the beginning of a log. */
  readonly index: number;
  readonly term: number;
  readonly membership: Membership;
}

/** What a server finds on its disk when it starts. The entries follow the snapshot's, without a gap. May begin earlier. */
export interface Durable {
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta;
  readonly entries: readonly Entry[];
}

// ---------------------------------------------------------------- between servers

export type MessageBody =
  | {
      readonly kind: "vote";
      /** Asks whether a vote would be given; changes nothing (§9.6). */
      readonly pre: boolean;
      readonly lastIndex: number;
      readonly lastTerm: number;
      /** The leader asked for this election: nobody protects it (§3.10, §4.2.3). */
      readonly transfer: boolean;
    }
  | { readonly kind: "vote-reply"; readonly pre: boolean; readonly granted: boolean }
  | {
      readonly kind: "append";
      readonly prevIndex: number;
      readonly prevTerm: number;
      readonly entries: readonly Entry[];
      readonly commit: number;
      /** Counts the leader's rounds of contact; comes back in the reply (§6.4). */
      readonly round: number;
      /** The election timeout that the leader wants all to use, from the round trips that it measures. */
      readonly electionMs: number;
    }
  | {
      readonly kind: "append-reply";
      readonly success: boolean;
      /** Success: the last index that is durable there and agrees. Else: at most here may the logs agree. */
      readonly index: number;
      /** Not success: the term of the entry at `index` there (§3.5). */
      readonly hintTerm: number;
      readonly round: number;
    }
  | {
      readonly kind: "snapshot-chunk";
      readonly meta: SnapshotMeta;
      /** From 0. */
      readonly chunk: number;
      /** Empty as it leaves the core: the driver fills in `data` and `last` from the snapshot that `meta` names. */
      readonly data: Uint8Array;
      readonly last: boolean;
      readonly round: number;
    }
  | {
      readonly kind: "snapshot-reply";
      readonly index: number;
      readonly nextChunk: number;
      readonly installed: boolean;
      readonly round: number;
    }
  /** Stand for election now (§3.10). */
  | { readonly kind: "timeout-now" };

export type Message = {
  readonly from: ServerId;
  readonly to: ServerId;
  readonly term: number;
} & MessageBody;

// ---------------------------------------------------------------- in

export type MembershipChange =
  | { readonly kind: "add-learner"; readonly id: ServerId; readonly context: string }
  | { readonly kind: "promote"; readonly id: ServerId }
  | { readonly kind: "remove"; readonly id: ServerId };

/** `request` is the caller's name for what it wants: it comes back in `Output`. */
export type Event =
  /** The moment `Output.wakeAtMs` has come. Too early or too late does no harm. */
  | { readonly kind: "wake" }
  | { readonly kind: "message"; readonly message: Message }
  | { readonly kind: "propose"; readonly proposals: readonly Proposal[] }
  | { readonly kind: "read"; readonly request: number }
  | { readonly kind: "change"; readonly request: number; readonly change: MembershipChange }
  /** Hand leadership to this server, or to the one that has most of the log. */
  | { readonly kind: "transfer"; readonly to: ServerId | undefined }
  /** Lead no more, whoever comes next: this server cannot do its work. */
  | { readonly kind: "step-down" }
  /** Everything of the outputs up to and with this `Persist.number` is durable. */
  | { readonly kind: "persisted"; readonly number: number }
  /** A snapshot of the state up to `index` is durable; the entries that it covers may go. */
  | { readonly kind: "snapshotted"; readonly index: number }
  /** The snapshot that was being sent to `to` is not there any more: begin with the newest. */
  | { readonly kind: "snapshot-gone"; readonly to: ServerId }
  /** The connection to a server broke, which a server that has ended does at once and a cut network does not. */
  | { readonly kind: "disconnected"; readonly server: ServerId };

export interface Proposal {
  readonly request: number;
  readonly data: Uint8Array;
}

// ---------------------------------------------------------------- out

/** To be made durable in this order. Of several of these, later ones never overtake earlier ones. */
export interface Persist {
  /** Grows by one with each. */
  readonly number: number;
  /** A piece of a snapshot that another server sends. */
  readonly chunk:
    | { readonly meta: SnapshotMeta; readonly chunk: number; readonly data: Uint8Array }
    | undefined;
  /** All its chunks are here: it takes the place of the whole log and, before anything of `apply`, of the state. */
  readonly install: SnapshotMeta | undefined;
  readonly hardState: HardState | undefined;
  /** Take the place of everything from the first one's index on. */
  readonly entries: readonly Entry[];
}

export type Refusal =
  | "not-leader"
  | "busy"
  | "full"
  | "unknown-server"
  | "removed-server"
  | "quorum";

export type Role = "follower" | "candidate" | "leader";

export interface Standing {
  readonly role: Role;
  readonly term: number;
  readonly leader: ServerId | undefined;
}

/**
 * What a step asks of the driver. `persist` and `send` may go on side by side: whatever must be durable before it is said
 * is held back by the core until the driver says "persisted". `apply` is durable on a majority, not necessarily here.
 */
export interface Output {
  readonly persist: Persist | undefined;
  readonly send: readonly Message[];
  /** Committed, in index order, each exactly once since this server's start or the last installed snapshot. */
  readonly apply: readonly Entry[];
  /** Proposals and changes that are in the leader's log now. They hold once `apply` has an entry of this term and index. */
  readonly accepted: readonly {
    readonly request: number;
    readonly term: number;
    readonly index: number;
  }[];
  readonly refused: readonly { readonly request: number; readonly why: Refusal }[];
  /** Reads that may be answered once everything up to `index` is applied. */
  readonly reads: readonly { readonly request: number; readonly index: number }[];
  /** Set when it changed. */
  readonly standing: Standing | undefined;
  /** On the clock of `step`'s `nowMs`: when to step "wake" at the latest. */
  readonly wakeAtMs: number;
}

export interface Options {
  readonly id: ServerId;
  /** An integer from 0 to `limit` − 1. */
  readonly random: (limit: number) => number;
  readonly heartbeatMs: number;
  /** Bounds of the election timeout; a server waits from one to two of it before it stands. */
  readonly electionMsMin: number;
  readonly electionMsMax: number;
  /** How many bytes of entries one message carries, unless a single entry is larger. */
  readonly appendBytesMax: number;
  /** What may be on its way to one server without an answer. */
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** What a leader may hold uncommitted before it refuses proposals as "full". */
  readonly uncommittedBytesMax: number;
  /** Entries kept behind a snapshot for followers that are slow, by count and bytes. */
  readonly trailingEntries: number;
  readonly trailingBytes: number;
}
