/**
 * What could be wrong with the core, as edits of its source: each breaks one rule of the paper, or brings back a bug that the
 * simulation found. The checks have to notice all of them.
 */
export interface Mutation {
  readonly name: string;
  /** In manager/raft/. */
  readonly file: string;
  /** Is there exactly once. */
  readonly find: string;
  readonly replace: string;
}

const voting: readonly Mutation[] = [
  {
    name: "a vote is not persisted",
    file: "core.ts",
    find: "this.out.hardState({ term, votedFor });",
    replace: "if (votedFor === undefined) this.out.hardState({ term, votedFor });",
  },
  {
    name: "a vote is said before it is durable",
    file: "outbox.ts",
    find: "const needed = Math.max(write, this.#hardStateNumber);",
    replace: "const needed = write;",
  },
  {
    name: "a candidate counts its own vote before it is durable",
    file: "roles.ts",
    find: "votes: new Map(), voteWrite: core.out.termWrite",
    replace: "votes: new Map(), voteWrite: 0",
  },
  {
    name: "two votes in one term",
    file: "election.ts",
    find: "core.votedFor === message.from || (core.votedFor === undefined && core.leader === undefined)",
    replace: "true",
  },
  {
    name: "a candidate's log may be old",
    file: "election.ts",
    find: "return lastIndex >= log.lastIndex;",
    replace: "return true;",
  },
  {
    name: "a candidate's last term does not count",
    file: "election.ts",
    find: "if (lastTerm !== log.lastTerm) return lastTerm > log.lastTerm;",
    replace: "",
  },
  {
    name: "pre-votes count as votes",
    file: "election.ts",
    find: "if (role.kind !== kind) return;\n  const about = message.pre && message.granted ? core.term + 1 : core.term;",
    replace:
      'if (role.kind !== kind && role.kind !== "candidate") return;\n  const about = message.term;',
  },
  {
    name: "half of the votes are enough",
    file: "quorum.ts",
    find: "const needed = Math.floor(voters.length / 2) + 1;",
    replace: "const needed = Math.max(1, Math.ceil(voters.length / 2));",
  },
];

const replication: readonly Mutation[] = [
  {
    name: "commits entries of an older term",
    file: "replication.ts",
    find: "core.log.termAt(reached) !== core.term",
    replace: "false",
  },
  {
    name: "half of the servers are enough to commit",
    file: "quorum.ts",
    find: "values[Math.floor(values.length / 2)]",
    replace: "values[Math.max(0, Math.ceil(values.length / 2) - 1)]",
  },
  {
    name: "a leader counts itself before its disk has it",
    file: "replication.ts",
    find: "voter === core.id ? core.log.stable :",
    replace: "voter === core.id ? core.log.lastIndex :",
  },
  {
    name: "an append is acknowledged before it is durable",
    file: "following.ts",
    find: "entries.length === 0 ? 0 : core.log.writeOf(matched)",
    replace: "0",
  },
  {
    name: "a heartbeat acknowledges what is not durable",
    file: "following.ts",
    find: "const durable = Math.min(matched, core.log.stable);",
    replace: "const durable = matched;",
  },
  {
    name: "the term before an append does not matter",
    file: "following.ts",
    find: "core.log.termAt(prevIndex) !== prevTerm",
    replace: "core.log.termAt(prevIndex) === undefined",
  },
  {
    name: "conflicting entries stay",
    file: "following.ts",
    find: "({ index, term }) => core.log.termAt(index) !== term && index > core.commit,",
    replace: "({ index }) => core.log.termAt(index) === undefined && index > core.commit,",
  },
  {
    name: "a follower commits what it did not compare",
    file: "following.ts",
    find: "core.commitTo(Math.min(message.commit, matched));",
    replace: "core.commitTo(message.commit);",
  },
  {
    name: "commits do not make room for proposals",
    file: "replication.ts",
    find: "leader.uncommittedBytes -= entryBytes(entry);",
    replace: "void entryBytes(entry);",
  },
];

const snapshots: readonly Mutation[] = [
  {
    name: "a snapshot leaves the old log behind it",
    file: "log.ts",
    find: "this.#entries = [];\n    this.#memberships = [placeMembership(meta.index",
    replace:
      "this.#entries = this.#entries.filter(({ index }) => index > meta.index);\n    this.#memberships = [placeMembership(meta.index",
  },
  {
    name: "chunks are taken in any order",
    file: "following.ts",
    find: "message.chunk === incoming.nextChunk",
    replace: "true",
  },
  {
    name: "a snapshot is acknowledged before it is durable",
    file: "following.ts",
    find: "const write = installed ? core.log.writeOf(meta.index) : incoming.write;",
    replace: "const write = 0;",
  },
  {
    name: "a heartbeat cannot find out what was lost when the log was let go",
    file: "replication.ts",
    find: "log.termAt(wanted) === undefined ? log.base.index : wanted",
    replace: "log.termAt(wanted) === undefined ? 0 : wanted",
  },
];

const membership: readonly Mutation[] = [
  {
    name: "removed servers count",
    file: "membership.ts",
    find: "voters: membership.members.filter(({ voter }) => voter).map(({ id }) => id),",
    replace:
      "voters: [...membership.members.filter(({ voter }) => voter).map(({ id }) => id), ...membership.removed],",
  },
  {
    name: "learners count",
    file: "membership.ts",
    find: "voters: membership.members.filter(({ voter }) => voter).map(({ id }) => id),",
    replace: "voters: membership.members.map(({ id }) => id),",
  },
  {
    name: "two changes at once",
    file: "changes.ts",
    find: "if (core.log.membership.index > core.commit) return",
    replace: "if (false) return",
  },
  {
    name: "a change before anything of the own term is committed",
    file: "changes.ts",
    find: "leader.transfer !== undefined || !knowsCommit(core, leader)",
    replace: "leader.transfer !== undefined",
  },
  {
    name: "a membership that is overwritten still counts",
    file: "log.ts",
    find: "while (this.membership.index >= from && this.#memberships.length > 1) this.#memberships.pop();",
    replace: "",
  },
  {
    name: "removed servers may come back",
    file: "membership.ts",
    find: 'if (present.removed.has(change.id)) return "removed-server";',
    replace: "",
  },
];

const contact: readonly Mutation[] = [
  {
    name: "a leader that nobody answers leads on",
    file: "rounds.ts",
    find: "if (core.nowMs - lateMs - heardMs < core.electionMs) return;",
    replace: "if (core.nowMs - lateMs - heardMs < core.electionMs || lateMs >= 0) return;",
  },
];

const reads: readonly Mutation[] = [
  {
    name: "reads without asking a majority",
    file: "rounds.ts",
    find: "const confirmed = confirmedRound(core, leader);",
    replace: "const confirmed = leader.round + confirmedRound(core, leader);",
  },
  {
    name: "reads in a round that began before them",
    file: "rounds.ts",
    find: "leader.round += 1;",
    replace: "leader.round = Math.max(1, leader.round);",
  },
  {
    name: "reads before anything of the own term is committed",
    file: "rounds.ts",
    find: "return core.commit >= leader.startIndex;",
    replace: "return core.commit >= 0 || leader.startIndex > 0;",
  },
  {
    name: "a leader forgets its reads when it steps down",
    file: "roles.ts",
    find: "[...readRounds.flatMap(({ requests }) => requests), ...readsWaiting]",
    replace: "[...readRounds, ...readsWaiting].slice(0, 0).map(Number)",
  },
];

export const mutations: readonly Mutation[] = [
  ...voting,
  ...replication,
  ...snapshots,
  ...membership,
  ...contact,
  ...reads,
];
