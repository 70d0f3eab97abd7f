/**
 * The promises that hold of every server's core after every event. Knows more than any server: all logs, all disks, and
 * the one sequence of entries that is committed, which grows when a leader first says so.
 */
import { deepStrictEqual } from "node:assert";
import type {
  Entry,
  Event,
  Membership,
  Message,
  Output,
  Persist,
  ServerId,
  SnapshotMeta,
} from "#manager/raft/contract.ts";
import type { Core } from "./core.ts";
import type { Disk } from "./disk.ts";
import { decodeCommand } from "./key-value.ts";
import type { LogImage } from "./log-image.ts";
import type { Marks } from "../marks.ts";
import type { MarkName } from "./marks.ts";
import {
  checkMembershipAppend,
  latestMembership,
  sayMembershipMarks,
} from "./membership-checks.ts";
import type { Life } from "./life.ts";
import { checkSaid } from "./said-checks.ts";
import { Violation } from "./violation.ts";

interface Committed {
  readonly entry: Entry;
  /** The term of the leader that first counted it as committed. */
  readonly inTerm: number;
  /** The latest membership up to here. */
  readonly membership: Membership;
}

export class Checks {
  /** Of all servers that ever were. */
  readonly disks = new Map<ServerId, Disk>();
  readonly #marks: Marks<MarkName>;
  readonly #initial: Membership;
  readonly #leaders = new Map<number, Life>();
  /** By index and term: the entry, and the term of the one before it. */
  readonly #written = new Map<string, { readonly entry: Entry; readonly previousTerm: number }>();
  readonly #committed: Committed[] = [];
  /** The commands that are committed, by their numbers: where each is. */
  readonly #operations = new Map<number, number>();
  /** Terms in which somebody stands because the leader asked for it. */
  readonly #transferTerms = new Set<number>();
  readonly #states: string[] = [];
  #lives: Life[] = [];

  constructor(initial: Membership, marks: Marks<MarkName>) {
    this.#initial = initial;
    this.#marks = marks;
  }

  get committedIndex(): number {
    return this.#committed.length;
  }

  /** The latest that is committed. */
  get membership(): Membership {
    return this.#committed.at(-1)?.membership ?? this.#initial;
  }

  isKept(operation: number): boolean {
    return this.#operations.has(operation);
  }

  #committedAt(index: number): Entry | undefined {
    return this.#committed[index - 1]?.entry;
  }

  #membershipAt(index: number): Membership {
    return this.#committed[index - 1]?.membership ?? this.#initial;
  }

  begin(id: ServerId, core: Core, disk: Disk, log: LogImage): Life {
    const life: Life = {
      id,
      core,
      disk,
      log,
      wasLeader: false,
      standing: core.standing,
      hardState: disk.hardState,
      commitIndex: log.snapshot.index,
      deliveredIndex: log.snapshot.index,
      persistNumber: 0,
      contactMs: new Map(),
      attentiveSinceMs: 0,
    };
    if (core.standing.role === "leader") {
      throw new Violation("one leader per term", `server ${id} leads as it starts`);
    }
    this.#lives.push(life);
    return life;
  }

  end(life: Life): void {
    this.#lives = this.#lives.filter((other) => other !== life);
  }

  afterStep(life: Life, event: Event, output: Output): void {
    const { standing } = life.core;
    if (output.persist !== undefined) this.#checkPersist(life, output.persist);
    if (standing.role === "leader" && (!life.wasLeader || standing.term !== life.standing.term)) {
      this.#checkElected(life);
    }
    this.#checkStanding(life, output);
    this.#checkLog(life, output);
    this.#checkCommit(life);
    this.#checkApply(life, output);
    this.#checkAccepted(life, event, output);
    for (const message of output.send) this.#checkMessage(life, message);
    life.wasLeader = standing.role === "leader";
  }

  // ------------------------------------------------------------------ standing

  #checkStanding(life: Life, output: Output): void {
    const { standing } = life.core;
    const before = life.standing;
    const changed =
      standing.role !== before.role ||
      standing.term !== before.term ||
      standing.leader !== before.leader;
    if (changed !== (output.standing !== undefined)) {
      throw new Violation("contract", `server ${life.id} changes its standing and does not say so`);
    }
    if (standing.term < before.term) {
      throw new Violation("contract", `server ${life.id} goes back to term ${standing.term}`);
    }
    life.standing = standing;
  }

  #checkElected(life: Life): void {
    const { id, core } = life;
    const { term } = core.standing;
    const other = this.#leaders.get(term);
    if (other !== undefined) {
      throw new Violation("one leader per term", `${other.id} and ${id} lead in term ${term}`);
    }
    this.#marks.add("elections");
    if (this.#leaders.size > 0) this.#marks.add("leaders replaced");
    if (this.#transferTerms.has(term)) this.#marks.add("leaders by transfer");
    this.#leaders.set(term, life);
    this.#checkMajority(
      life,
      "elected by a majority",
      `server ${id} leads in term ${term}`,
      (disk) => {
        const { hardState } = disk;
        return hardState.term > term || (hardState.term === term && hardState.votedFor === id);
      },
    );
    const last = this.#committed.findLastIndex(({ inTerm }) => inTerm < term);
    const entry = this.#committed[last]?.entry;
    if (entry !== undefined) this.#checkComplete(life, entry);
  }

  #checkComplete(life: Life, entry: Entry): void {
    if (life.log.holds(entry.index, entry.term)) return;
    const { term } = life.core.standing;
    throw new Violation(
      "leader completeness",
      `server ${life.id} leads in term ${term} without the committed entry ${entry.index}:${entry.term}`,
    );
  }

  /** Of the voters of the membership that the server goes by. */
  #checkMajority(
    life: Life,
    check: "elected by a majority" | "committed by a majority",
    what: string,
    isFor: (disk: Disk) => boolean,
  ): void {
    const voters = life.core.membership.members.filter(({ voter }) => voter);
    const ids = voters.map(({ id }) => id);
    const forIt = ids.filter((id) => {
      const disk = this.disks.get(id);
      return disk !== undefined && isFor(disk);
    });
    if (2 * forIt.length > ids.length) return;
    throw new Violation(
      check,
      `${what} by ${forIt.join(", ") || "nobody"} of the voters ${ids.join(", ")}`,
    );
  }

  // ------------------------------------------------------------------ the log

  #checkPersist(life: Life, persist: Persist): void {
    const { id, log } = life;
    if (persist.number <= life.persistNumber) {
      throw new Violation("contract", `server ${id} numbers a write ${persist.number} again`);
    }
    life.persistNumber = persist.number;
    if (persist.hardState !== undefined) this.#checkHardState(life, persist.hardState);
    if (persist.install !== undefined) this.#checkInstall(life, persist.install);
    const [first] = persist.entries;
    if (first === undefined) return;
    this.#checkNotUndone(life, persist.entries);
    const { standing } = life.core;
    const leads =
      life.wasLeader && standing.role === "leader" && standing.term === life.standing.term;
    if (leads && first.index <= log.lastIndex) {
      throw new Violation("log matching", `leader ${id} overwrites its own entry ${first.index}`);
    }
    if (first.index <= log.lastIndex) this.#marks.add("conflicts overwritten");
    log.write(persist.entries);
    for (const entry of persist.entries) this.#checkWritten(life, entry);
  }

  /** The core goes by the log that it asked to be written. */
  #checkLog({ core, log, id }: Life, { persist }: Output): void {
    if (core.lastIndex !== log.lastIndex) {
      throw new Violation(
        "contract",
        `server ${id} takes ${core.lastIndex} for its last entry, and has ${log.lastIndex}`,
      );
    }
    // Only these can change it.
    const { install, entries = [] } = persist ?? {};
    if (install === undefined && !entries.some(({ kind }) => kind !== "data")) return;
    const { membership } = latestMembership(log, log.lastIndex);
    if (membership === core.membership) return;
    this.same(core.membership, membership, `membership of server ${id}`);
  }

  #checkHardState(life: Life, hardState: Life["hardState"]): void {
    const before = life.hardState;
    const again =
      hardState.term === before.term &&
      before.votedFor !== undefined &&
      hardState.votedFor !== before.votedFor;
    if (hardState.term < before.term || again) {
      throw new Violation(
        "one vote per term",
        `server ${life.id} voted for ${before.votedFor} in term ${before.term}, and now for ${hardState.votedFor} in ${hardState.term}`,
      );
    }
    life.hardState = hardState;
  }

  #checkInstall(life: Life, meta: SnapshotMeta): void {
    if (meta.index <= life.deliveredIndex) {
      throw new Violation(
        "committed is not undone",
        `server ${life.id} installs snapshot ${meta.index} and has applied ${life.deliveredIndex}`,
      );
    }
    if (this.#committedAt(meta.index)?.term !== meta.term) {
      throw new Violation("applied in one order", `snapshot ${meta.index} was not committed`);
    }
    const expected = this.#membershipAt(meta.index);
    this.same(meta.membership, expected, `membership of snapshot ${meta.index}`);
    life.log.install(meta);
    life.deliveredIndex = meta.index;
    life.commitIndex = Math.max(life.commitIndex, meta.index);
    this.#marks.add("snapshots installed");
  }

  #checkWritten(life: Life, entry: Entry): void {
    const { log, id } = life;
    const previousTerm = log.termAt(entry.index - 1);
    if (previousTerm === undefined || previousTerm > entry.term) {
      throw new Violation(
        "log matching",
        `server ${id} writes ${entry.index}:${entry.term} after an entry of term ${previousTerm}`,
      );
    }
    const key = `${entry.index}:${entry.term}`;
    const known = this.#written.get(key);
    if (known === undefined) {
      this.#written.set(key, { entry, previousTerm });
      if (entry.kind === "membership") checkMembershipAppend(life, entry);
      return;
    }
    if (known.previousTerm !== previousTerm) {
      throw new Violation(
        "log matching",
        `${key} follows an entry of term ${previousTerm} at server ${id}, and of ${known.previousTerm} elsewhere`,
      );
    }
    if (known.entry !== entry) this.same(known.entry, entry, `entry ${key}`);
  }

  #checkNotUndone(life: Life, entries: readonly Entry[]): void {
    const begin = entries[0]?.index ?? 0;
    const end = Math.min(life.log.lastIndex, this.committedIndex);
    for (let index = begin; index <= end; index += 1) {
      const term = this.#committedAt(index)?.term;
      if (life.log.entry(index)?.term !== term || entries[index - begin]?.term === term) continue;
      throw new Violation(
        "committed is not undone",
        `server ${life.id} gives up its entry ${index}:${term}, which is committed`,
      );
    }
    for (let index = begin; index <= life.log.lastIndex; index += 1) {
      const given = life.log.entry(index);
      if (given?.kind === "membership" && entries[index - begin]?.term !== given.term) {
        this.#marks.add("changes undone by another leader");
      }
    }
  }

  // ------------------------------------------------------------------ commit and apply

  #checkCommit(life: Life): void {
    const { core, id } = life;
    if (core.commitIndex < life.commitIndex) {
      throw new Violation("committed is not undone", `server ${id} lowers its commit index`);
    }
    const known = Math.min(core.commitIndex, this.committedIndex);
    for (let index = life.commitIndex + 1; index <= known; index += 1) {
      const term = this.#committedAt(index)?.term;
      if (life.log.termAt(index) !== term) {
        throw new Violation(
          "applied in one order",
          `server ${id} has ${index}:${life.log.termAt(index)} committed where it was ${index}:${term}`,
        );
      }
    }
    life.commitIndex = core.commitIndex;
    if (core.commitIndex > this.committedIndex) this.#extend(life);
  }

  /** What a leader commits first is committed from now on. */
  #extend(life: Life): void {
    const { core, log, id } = life;
    const { term } = core.standing;
    const last = log.entry(core.commitIndex);
    if ((!life.wasLeader && core.standing.role !== "leader") || last?.term !== term) {
      throw new Violation(
        "committed by a majority",
        `server ${id}, ${core.standing.role} of term ${term}, commits ${core.commitIndex}:${last?.term}`,
      );
    }
    this.#checkMajority(
      life,
      "committed by a majority",
      `${last.index}:${term} is durable`,
      (disk) => disk.holds(last.index, term),
    );
    for (let index = this.committedIndex + 1; index <= core.commitIndex; index += 1) {
      const entry = log.entry(index);
      if (entry === undefined)
        throw new Violation("contract", `server ${id} has no entry ${index}`);
      this.#commit(entry, term);
    }
    for (const other of this.#lives) {
      const { standing } = other.core;
      if (standing.role === "leader" && standing.term > term) this.#checkComplete(other, last);
    }
  }

  #commit(entry: Entry, inTerm: number): void {
    const before = this.membership;
    if (entry.kind === "membership") {
      const leader = this.#leaders.get(entry.term)?.id;
      sayMembershipMarks({ before, after: entry.membership, leader }, this.#marks);
    }
    const membership = entry.kind === "membership" ? entry.membership : before;
    this.#committed.push({ entry, inTerm, membership });
    if (entry.kind !== "data") return;
    const { operation } = decodeCommand(entry.data);
    const first = this.#operations.get(operation);
    if (first !== undefined) {
      throw new Violation("applied in one order", `${first} and ${entry.index} are one proposal`);
    }
    this.#operations.set(operation, entry.index);
  }

  #checkApply(life: Life, output: Output): void {
    for (const entry of output.apply) {
      if (entry.index !== life.deliveredIndex + 1 || entry.index > life.core.commitIndex) {
        throw new Violation(
          "applied in one order",
          `server ${life.id} applies ${entry.index} after ${life.deliveredIndex}, and ${life.core.commitIndex} is committed`,
        );
      }
      const committed = this.#committedAt(entry.index);
      if (committed !== entry) this.same(committed, entry, `applied entry ${entry.index}`);
      life.deliveredIndex = entry.index;
    }
    if (life.deliveredIndex !== life.core.commitIndex) {
      throw new Violation(
        "contract",
        `server ${life.id} commits ${life.core.commitIndex} and applies up to ${life.deliveredIndex}`,
      );
    }
  }

  /** The state after the entry at this index. */
  checkState(id: ServerId, index: number, state: string): void {
    const known = this.#states[index];
    if (known === undefined) this.#states[index] = state;
    else if (known !== state) {
      throw new Violation("equal states", `server ${id} has ${state} at ${index}, others ${known}`);
    }
  }

  // ------------------------------------------------------------------ what is said

  #checkAccepted(life: Life, event: Event, output: Output): void {
    for (const { request, term, index } of output.accepted) {
      const entry = life.log.entry(index);
      const proposal =
        event.kind === "propose"
          ? event.proposals.find((proposal) => proposal.request === request)
          : undefined;
      if (life.core.standing.term !== term || entry?.term !== term) {
        throw new Violation("contract", `request ${request} is accepted as ${index}:${term}`);
      }
      if (proposal !== undefined && entry.kind === "data") {
        this.same(entry.data, proposal.data, `entry ${index} for request ${request}`);
      }
    }
  }

  #checkMessage(life: Life, message: Message): void {
    if (message.from !== life.id || message.to === life.id) {
      throw new Violation(
        "contract",
        `server ${life.id} sends from ${message.from} to ${message.to}`,
      );
    }
    if (message.kind === "vote" && message.transfer) this.#transferTerms.add(message.term);
    checkSaid(life, message);
  }

  same(left: unknown, right: unknown, what: string): void {
    try {
      deepStrictEqual(left, right);
    } catch (difference) {
      throw new Violation("log matching", `two kinds of ${what}`, difference);
    }
  }
}
