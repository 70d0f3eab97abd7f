/**
 * Brings proposals to the leader: here, into the core; elsewhere, by the forwarder. On the leader also takes what other
 * managers forward.
 *
 * One batch is on its way to a majority; all that comes meanwhile goes into the next. A batch costs the managers some ten
 * messages and three syncs, however many writes are in it: the busier they are, the larger the batches become.
 *
 * A forwarded batch is taken once in its term: batches carry growing numbers, so that one which is sent again because its
 * answer was lost, or which the network has held back, is known.
 */
import { setImmediate as turn } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import type { ServerId } from "../raft/contract.ts";
import { type ProposalId, unseal } from "./envelope.ts";
import { batchBytesMax, batchEntriesMax, dataBytesMax, proposalsMax } from "./limits.ts";
import type { Proposal, Proposals } from "./proposals.ts";
import type { Answer, RaftNode } from "./raft-node.ts";
import { notLeading } from "./refusals.ts";

/** When a core that was busy is asked again, where nothing else happens. */
const busyMs = 20;

export interface ProposerModules {
  readonly node: RaftNode;
  readonly proposals: Proposals;
  readonly clock: Clock;
  /** Begins to bring to the leader what waits, where another server leads. */
  readonly forward: () => void;
}

/** What another server forwards at once. */
export interface Batch {
  readonly term: number;
  /** Grows with each that the server has made since it started. */
  readonly batch: number;
  readonly entries: readonly Uint8Array[];
}

/** Another server's, for the term in which this one led when it came. */
interface Foreign {
  readonly term: number;
  readonly data: Uint8Array;
}

export class Proposer implements Disposable {
  readonly #modules: ProposerModules;
  #foreign: Foreign[] = [];
  /** By server and its start: the last batch that was taken in `#takenTerm`. */
  readonly #taken = new Map<string, number>();
  #takenTerm = 0;
  /** Whether a round comes at the end of this turn of the event loop. */
  #turn = false;
  /** The last entry of the batch that is on its way. */
  #flight: { readonly term: number; readonly index: number } | undefined;
  #closed = false;
  #busy: Disposable | undefined;

  constructor(modules: ProposerModules) {
    this.#modules = modules;
  }

  /** Something waits. A core that was busy is left in peace until `eased`. */
  wake(): void {
    if (this.#busy !== undefined || this.#turn || this.#flying()) return;
    this.#turn = true;
    void turn().then(() => {
      this.#turn = false;
      if (!this.#closed) this.#round();
    });
  }

  /**
   * Who leads has changed, or applying has gone on: what waits may be taken now. At once, so that the next batch carries
   * the news of the commit with it; but not within the step that brought it.
   */
  eased(): void {
    this.#busy?.[Symbol.dispose]();
    this.#busy = undefined;
    if (this.#foreign.length === 0 && !this.#modules.proposals.anyWaiting) return;
    queueMicrotask(() => {
      if (!this.#closed && this.#busy === undefined) this.#round();
    });
  }

  /** Takes all of another server's batch, or throws and takes none. */
  take(server: ServerId, { term, batch, entries }: Batch): void {
    const { standing } = this.#modules.node.core;
    if (standing.role !== "leader" || standing.term !== term) throw notLeading(undefined);
    const ids = entries.map((entry) => idOf(entry, server));
    const start = `${server}/${ids[0]?.nonce}`;
    if (this.#takenTerm !== term) this.#taken.clear();
    this.#takenTerm = term;
    if (batch <= (this.#taken.get(start) ?? 0)) return;
    if (this.#foreign.length + entries.length > proposalsMax) {
      throw new Fault("resource-exhausted", "too many writes wait for the leader's log already");
    }
    this.#taken.set(start, batch);
    for (const data of entries) this.#foreign.push({ term, data });
    this.wake();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#busy?.[Symbol.dispose]();
  }

  #flying(): boolean {
    const { standing, commitIndex } = this.#modules.node.core;
    if (this.#flight === undefined || standing.role !== "leader") return false;
    return standing.term === this.#flight.term && commitIndex < this.#flight.index;
  }

  #round(): void {
    if (this.#flying()) return;
    const { node, proposals, clock, forward } = this.#modules;
    const { role, term } = node.core.standing;
    this.#foreign = this.#foreign.filter((foreign) => role === "leader" && foreign.term === term);
    if (role !== "leader") {
      if (proposals.anyWaiting) forward();
      return;
    }
    const foreign = this.#takeForeign();
    const own = proposals.take(term);
    if (foreign.length + own.length === 0) return;
    const refused = new Set<Foreign | Proposal>();
    const wishes = [...foreign, ...own].map((wish) => ({
      data: wish.data,
      answer: (answer: Answer) => {
        if (answer.kind === "accepted") this.#flight = answer;
        else refused.add(wish);
      },
    }));
    // Answers before it returns.
    node.propose(wishes);
    // Full, handing over, or no leader any more: its time comes.
    if (refused.size > 0) this.#busy = clock.timer(busyMs, () => this.eased());
    this.#foreign.unshift(...foreign.filter((wish) => refused.has(wish)));
    proposals.putBack(own.filter((wish) => refused.has(wish)));
    if (this.#foreign.length > 0 || proposals.anyWaiting) this.wake();
  }

  #takeForeign(): Foreign[] {
    let bytes = 0;
    let count = 0;
    for (const { data } of this.#foreign) {
      if (count === batchEntriesMax) break;
      bytes += data.length;
      if (count > 0 && bytes > batchBytesMax) break;
      count += 1;
    }
    return this.#foreign.splice(0, count);
  }
}

function idOf(entry: Uint8Array, server: ServerId): ProposalId {
  const { id, data } = unseal(entry);
  if (id.server !== server) {
    throw new Fault("invalid-argument", "the write says that another server wants it");
  }
  if (data.length > dataBytesMax) {
    throw new Fault("invalid-argument", "the write is larger than the log takes at once");
  }
  return id;
}
