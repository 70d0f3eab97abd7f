/**
 * What a server does for clients: writes go through the leader's log, reads ask the leader for an index and wait until it
 * is applied here. A server that does not lead passes both on to the one that it takes for the leader.
 */
import type {
  Entry,
  MembershipChange,
  Output,
  Proposal,
  ServerId,
} from "#manager/raft/contract.ts";
import type { Applier } from "./applier.ts";
import { encodeCommand, type NumberedCommand, type Seen } from "./key-value.ts";
import type { Server } from "./server.ts";
import { Violation } from "./violation.ts";
import type { World } from "./world.ts";

/** Nobody is told when the outcome is not known. */
export type Outcome =
  | { readonly kind: "done"; readonly seen: Seen }
  /** It did not happen, and never will. */
  | { readonly kind: "refused" };

type Reply<T> = (answer: T) => void;

interface Waiting {
  readonly term: number;
  readonly reply: Reply<Outcome>;
}

interface PendingRead {
  readonly reply: Reply<number | undefined>;
  readonly askedAtMs: number;
  /** What was committed when it was asked: the answer must not be older. */
  readonly committedIndex: number;
}

export class Requests {
  readonly #world: World;
  readonly #server: Server;
  readonly #applier: Applier;
  #batch: Proposal[] = [];
  readonly #proposed = new Map<number, Reply<Outcome>>();
  /** By index. */
  readonly #waiting = new Map<number, Waiting[]>();
  readonly #reads = new Map<number, PendingRead>();
  readonly #changes = new Map<number, Reply<boolean>>();

  constructor(world: World, server: Server, applier: Applier) {
    this.#world = world;
    this.#server = server;
    this.#applier = applier;
  }

  /** When the oldest read that waits for the core was asked. */
  get oldestReadMs(): number {
    const [oldest] = this.#reads.values();
    return oldest?.askedAtMs ?? Number.POSITIVE_INFINITY;
  }

  write(command: NumberedCommand, reply: Reply<Outcome>): void {
    const { marks } = this.#world;
    if (this.#server.isLeader) {
      this.#propose(command, (outcome) => {
        if (outcome.kind === "done") marks.add("writes at the leader");
        reply(outcome);
      });
      return;
    }
    this.#askLeader<Outcome>(
      (leader, answer) => leader.#propose(command, answer),
      (outcome) => {
        if (outcome?.kind === "done") marks.add("writes through another");
        reply(outcome ?? { kind: "refused" });
      },
    );
  }

  read(key: number, reply: Reply<Outcome>): void {
    const { marks, defect } = this.#world;
    if (defect === "reads without a barrier") {
      reply({ kind: "done", seen: this.#applier.machine.get(key) });
      return;
    }
    const onIndex = (index: number | undefined): void => {
      if (index === undefined) {
        marks.add("reads refused");
        reply({ kind: "refused" });
        return;
      }
      this.#applier.when(index, () =>
        reply({ kind: "done", seen: this.#applier.machine.get(key) }),
      );
    };
    if (this.#server.isLeader) {
      this.#readIndex((index) => {
        if (index !== undefined) marks.add("reads at the leader");
        onIndex(index);
      });
      return;
    }
    this.#askLeader<number | undefined>(
      (leader, answer) => leader.#readIndex(answer),
      (index) => {
        if (index !== undefined) marks.add("reads through another");
        onIndex(index);
      },
    );
  }

  change(change: MembershipChange, reply: Reply<boolean>): void {
    const request = this.#world.nextRequest();
    this.#changes.set(request, reply);
    this.#server.step({ kind: "change", request, change });
  }

  onOutput(output: Output): void {
    for (const { request, term, index } of output.accepted) this.#onAccepted(request, term, index);
    for (const { request } of output.refused) this.#onRefused(request);
    for (const { request, index } of output.reads) this.#onRead(request, index);
  }

  onApplied(entry: Entry, seen: Seen | undefined): void {
    const waiting = this.#waiting.get(entry.index);
    if (waiting === undefined) return;
    this.#waiting.delete(entry.index);
    for (const { term, reply } of waiting) {
      if (term === entry.term) reply({ kind: "done", seen: seen ?? 0 });
      else {
        this.#world.marks.add("writes lost to another leader");
        reply({ kind: "refused" });
      }
    }
  }

  // ------------------------------------------------------------------ to the core

  /** Those that come at nearly the same time go in one step. */
  #propose(command: NumberedCommand, reply: Reply<Outcome>): void {
    const { agenda, random } = this.#world;
    const request = this.#world.nextRequest();
    this.#proposed.set(request, reply);
    this.#batch.push({ request, data: encodeCommand(command) });
    if (this.#batch.length > 1) return;
    agenda.after(random.between(0, 2), () => {
      if (this.#server.requests !== this) return;
      const proposals = this.#batch;
      this.#batch = [];
      this.#server.step({ kind: "propose", proposals });
    });
  }

  #readIndex(reply: Reply<number | undefined>): void {
    const { agenda, checks } = this.#world;
    const request = this.#world.nextRequest();
    this.#reads.set(request, {
      reply,
      askedAtMs: agenda.nowMs,
      committedIndex: checks.committedIndex,
    });
    this.#server.step({ kind: "read", request });
  }

  #onAccepted(request: number, term: number, index: number): void {
    const change = this.#changes.get(request);
    this.#changes.delete(request);
    change?.(true);
    const reply = this.#proposed.get(request);
    if (reply === undefined) return;
    this.#proposed.delete(request);
    if (this.#world.defect === "answers what is only accepted") {
      reply({ kind: "done", seen: 0 });
      return;
    }
    this.#waiting.set(index, [...(this.#waiting.get(index) ?? []), { term, reply }]);
  }

  #onRefused(request: number): void {
    const { marks } = this.#world;
    const change = this.#changes.get(request);
    if (change !== undefined) marks.add("changes refused");
    this.#changes.delete(request);
    change?.(false);
    const reply = this.#proposed.get(request);
    if (reply !== undefined) marks.add("writes refused");
    this.#proposed.delete(request);
    reply?.({ kind: "refused" });
    const read = this.#reads.get(request);
    this.#reads.delete(request);
    read?.reply(undefined);
  }

  #onRead(request: number, index: number): void {
    const read = this.#reads.get(request);
    if (read === undefined) {
      throw new Violation("contract", `read ${request} is answered and was not asked`);
    }
    this.#reads.delete(request);
    if (index < read.committedIndex) {
      throw new Violation(
        "read index",
        `server ${this.#server.id} lets read ${request} see ${index}, and ${read.committedIndex} was committed when it was asked`,
      );
    }
    read.reply(index);
  }

  // ------------------------------------------------------------------ to the leader

  #askLeader<T>(
    ask: (leader: Requests, answer: Reply<T>) => void,
    reply: Reply<T | undefined>,
  ): void {
    const to = this.#server.life?.standing.leader;
    if (to === undefined) {
      reply(undefined);
      return;
    }
    this.#post({ from: this.#server.id, to }, (leader) => {
      const back = (answer: T): void =>
        this.#post({ from: to, to: this.#server.id }, (asker) => {
          // Who restarted meanwhile does not know of it any more.
          if (asker === this) reply(answer);
        });
      ask(leader, back);
    });
  }

  #post(
    way: { readonly from: ServerId; readonly to: ServerId },
    run: (requests: Requests) => void,
  ): void {
    const { network, servers } = this.#world;
    network.send({
      ...way,
      once: true,
      deliver: () => {
        const server = servers.get(way.to);
        server?.receive(() => {
          if (server.requests !== undefined) run(server.requests);
        });
      },
    });
  }
}
