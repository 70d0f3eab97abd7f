/**
 * What one server is made of, and the output of the step under way. The other files are functions over it; only roles.ts
 * sets `role`.
 *
 * Invariants: the term never falls; within a term the vote does not change once given; commit never falls; the log is never
 * truncated at or before commit; no message leaves before what it rests on is durable.
 */
import { LogTail } from "./log.ts";
import type { PlacedMembership } from "./membership.ts";
import { Outbox } from "./outbox.ts";
import type { Progress } from "./progress.ts";
import type { Durable, Entry, MessageBody, Options, ServerId, SnapshotMeta } from "./contract.ts";

interface Follower {
  readonly kind: "follower";
  leader: ServerId | undefined;
  /** When the leader was last heard. */
  heardMs: number;
}

interface Candidate {
  /** "pre-candidate" only asks whether it would win (§9.6). */
  readonly kind: "pre-candidate" | "candidate";
  readonly votes: Map<ServerId, boolean>;
  /** The write with which the own vote is durable and counts. */
  readonly voteWrite: number;
}

interface ReadRound {
  readonly round: number;
  /** Committed when the round began. */
  readonly index: number;
  readonly requests: readonly number[];
}

interface Transfer {
  readonly to: ServerId;
  readonly untilMs: number;
  /** This server cannot do its work: whoever comes, it leads no more. */
  readonly resting: boolean;
  /** When "timeout-now" was last sent. */
  sentMs: number | undefined;
}

export interface Leader {
  readonly kind: "leader";
  /** Every other server of the latest membership, and those that are leaving. */
  readonly progress: Map<ServerId, Progress>;
  /** Of its "term-start": once it is committed, everything before is known to be. */
  readonly startIndex: number;
  round: number;
  /** The last rounds' beginnings, for measuring round trips. */
  roundsSent: { readonly round: number; readonly ms: number }[];
  heartbeatAtMs: number;
  /** Reads for which no round has begun. */
  readsWaiting: number[];
  readRounds: ReadRound[];
  transfer: Transfer | undefined;
  uncommittedBytes: number;
}

/** A snapshot that arrives. Chunks are one leader's in one term: another may cut the same state differently. */
export interface Incoming {
  readonly from: ServerId;
  readonly term: number;
  readonly meta: SnapshotMeta;
  nextChunk: number;
  /** The write of the last chunk. */
  write: number;
}

export class Core {
  readonly options: Options;
  readonly id: ServerId;
  readonly log: LogTail;
  readonly out = new Outbox();
  term: number;
  votedFor: ServerId | undefined;
  commit: number;
  role: Follower | Candidate | Leader;
  nowMs: number;
  /** When a server that does not lead stands. */
  deadlineMs: number;
  /** It neither leads nor stands before. */
  restUntilMs = Number.NEGATIVE_INFINITY;
  /** What the leader measured last. */
  electionMs: number;
  incoming: Incoming | undefined;

  constructor(options: Options, durable: Durable, nowMs: number) {
    this.options = options;
    this.id = options.id;
    this.log = new LogTail(durable);
    this.term = Math.max(durable.hardState.term, this.log.lastTerm);
    this.votedFor = this.term === durable.hardState.term ? durable.hardState.votedFor : undefined;
    this.commit = this.log.snapshot.index;
    this.role = { kind: "follower", leader: undefined, heardMs: nowMs };
    this.nowMs = nowMs;
    this.electionMs = options.electionMsMin;
    this.deadlineMs = this.aloneVoting ? nowMs : nowMs + this.randomTimeout();
  }

  /** No other server has a vote: there is nobody to ask or to wait for. */
  get aloneVoting(): boolean {
    const { voters } = this.log.membership;
    return voters.length === 1 && voters[0] === this.id;
  }

  get leader(): ServerId | undefined {
    if (this.role.kind === "leader") return this.id;
    return this.role.kind === "follower" ? this.role.leader : undefined;
  }

  get committedMembership(): PlacedMembership {
    return this.log.membershipAt(this.commit);
  }

  /** One to two election timeouts (§3.4). */
  randomTimeout(): number {
    return this.electionMs + this.options.random(Math.ceil(this.electionMs)) + 1;
  }

  /** `write`: what it says rests on this write. Whatever is said rests on the term. */
  send(to: ServerId, body: MessageBody, write = 0): void {
    this.out.send({ from: this.id, to, term: this.term, ...body }, write);
  }

  setTermAndVote(term: number, votedFor: ServerId | undefined): void {
    if (term === this.term && votedFor === this.votedFor) return;
    this.term = term;
    this.votedFor = votedFor;
    this.out.hardState({ term, votedFor });
  }

  /** Commits up to the index, as far as the log goes; returns what that adds. */
  commitTo(index: number): readonly Entry[] {
    const last = Math.min(index, this.log.lastIndex);
    if (last <= this.commit) return [];
    const entries = this.log.slice(this.commit + 1, last);
    this.commit = last;
    this.out.apply(entries);
    return entries;
  }
}
