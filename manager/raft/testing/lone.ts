/** One server, and a test that plays all the others. */
import { Raft } from "../raft.ts";
import type {
  Event,
  Member,
  Message,
  MessageBody,
  Options,
  Output,
  ServerId,
} from "../contract.ts";
import { entriesOf, testOptions, voters } from "./group.ts";

export interface LoneOptions {
  readonly members?: readonly Member[];
  readonly removed?: readonly ServerId[];
  readonly terms?: readonly number[];
  readonly term?: number;
  readonly votedFor?: ServerId;
  readonly options?: Partial<Options>;
}

/** Server 1 of 1, 2 and 3, unless told otherwise. */
export class Lone {
  nowMs = 0;
  readonly raft: Raft;
  #lastWrite = 0;

  constructor(lone: LoneOptions = {}) {
    const { members = voters(1, 2, 3), removed = [], terms = [] } = lone;
    const { term = terms.at(-1) ?? 0, votedFor } = lone;
    const options: Options = { ...testOptions, id: 1, random: () => 0, ...lone.options };
    const snapshot = { index: 0, term: 0, membership: { members, removed } };
    const hardState = { term, votedFor };
    this.raft = new Raft(options, { hardState, snapshot, entries: entriesOf(terms) }, 0);
  }

  step(event: Event): Output {
    const output = this.raft.step(event, this.nowMs);
    this.#lastWrite = output.persist?.number ?? this.#lastWrite;
    return output;
  }

  /** What another server says. */
  hear(from: ServerId, term: number, body: MessageBody): Output {
    return this.step({ kind: "message", message: { from, to: 1, term, ...body } });
  }

  /** The same, and then its disk is done: all that it says to both. */
  ask(from: ServerId, term: number, body: MessageBody): readonly Message[] {
    const { send } = this.hear(from, term, body);
    return [...send, ...this.persisted().send];
  }

  persisted(): Output {
    return this.step({ kind: "persisted", number: this.#lastWrite });
  }

  pass(ms: number): Output {
    this.nowMs += ms;
    return this.step({ kind: "wake" });
  }

  /** Its election timeout passes and all the others vote for it. Returns what it says first as the leader. */
  lead(): Output {
    this.pass(1000);
    const voters = this.raft.membership.members.filter(({ id, voter }) => voter && id !== 1);
    const { term } = this.raft.standing;
    for (const { id } of voters) {
      this.hear(id, term + 1, { kind: "vote-reply", pre: true, granted: true });
    }
    let output = this.persisted();
    for (const { id } of voters) {
      const heard = this.hear(id, term + 1, { kind: "vote-reply", pre: false, granted: true });
      if (heard.standing !== undefined) output = heard;
    }
    return output;
  }

  propose(...words: readonly string[]): Output {
    const proposals = words.map((word, request) => ({
      request,
      data: new TextEncoder().encode(word),
    }));
    return this.step({ kind: "propose", proposals });
  }

  /** A server has everything up to the index. */
  acked(from: ServerId, index: number, round = 0): Output {
    const { term } = this.raft.standing;
    return this.hear(from, term, {
      kind: "append-reply",
      success: true,
      index,
      hintTerm: 0,
      round,
    });
  }
}
