import assert from "node:assert/strict";
import { test } from "node:test";
import { entriesOf, Group, testOptions, voters } from "./testing/group.ts";
import { Lone } from "./testing/lone.ts";
import type { Entry, Message, MessageBody, Output } from "./contract.ts";

type Append = MessageBody & { readonly kind: "append" };

function append(prevIndex: number, prevTerm: number, more: Partial<Append> = {}): Append {
  const base = { entries: [], commit: 0, round: 1, electionMs: 300 };
  return { kind: "append", prevIndex, prevTerm, ...base, ...more };
}

function appends(output: Output, to: number): readonly (Message & Append)[] {
  return output.send.filter(
    (message) => message.kind === "append" && message.to === to,
  ) as (Message & Append)[];
}

function indexes(entries: readonly Entry[]): readonly number[] {
  return entries.map(({ index }) => index);
}

/** Leads in the term after its log's; server 2 has told that it has everything up to the term's first entry. */
function leading(lone: Lone): Lone {
  lone.lead();
  lone.persisted();
  lone.acked(2, lone.raft.lastIndex);
  return lone;
}

test("raft, an entry is committed when a majority has it, the leader's disk included (§3.5, §10.2.1)", () => {
  const lone = leading(new Lone());
  assert.equal(lone.raft.commitIndex, 1);
  lone.propose("a");
  assert.equal(lone.raft.commitIndex, 1);
  lone.persisted();
  assert.equal(lone.raft.commitIndex, 1);
  const { apply } = lone.acked(2, 2);
  assert.deepEqual(indexes(apply), [2]);
});

test("raft, the others' disks commit without the leader's (§10.2.1)", () => {
  const lone = leading(new Lone());
  lone.propose("a");
  lone.acked(2, 2);
  assert.equal(lone.raft.commitIndex, 1);
  const { apply } = lone.acked(3, 2);
  assert.deepEqual(indexes(apply), [2]);
});

test("raft, a leader commits only of its own term (§3.6.2, Figure 3.7)", () => {
  const lone = new Lone({ terms: [1, 2], term: 3 });
  lone.lead();
  lone.persisted();
  lone.acked(2, 2);
  lone.acked(3, 2);
  assert.equal(lone.raft.commitIndex, 0);
  const { apply } = lone.acked(3, 3);
  assert.deepEqual(indexes(apply), [1, 2, 3]);
});

test("raft, an entry on a majority may still be overwritten until one of the leader's term is (Figure 3.7)", () => {
  // (c): server 1 leads term 4 and has brought entry 2 of term 2 to server 3. (d): server 5 has entry 2 of term 3.
  const beginnings = {
    1: { terms: [1, 2], term: 3 },
    2: { terms: [1, 2], term: 3 },
    3: { terms: [1, 2], term: 3 },
    4: { terms: [1], term: 3 },
    5: { terms: [1, 3], term: 3 },
  };
  const group = new Group(voters(1, 2, 3, 4, 5), { beginnings });
  group.elect(5);
  group.advance(200);
  for (const id of [1, 2, 3, 4, 5]) assert.equal(group.server(id).applied[1]?.term, 3);
});

test("raft, the new leader's first entry commits what the old one replicated (Figure 3.7 e)", () => {
  const beginnings = {
    1: { terms: [1, 2], term: 3 },
    2: { terms: [1, 2], term: 3 },
    3: { terms: [1, 2], term: 3 },
    4: { terms: [1], term: 3 },
    5: { terms: [1, 3], term: 3 },
  };
  const group = new Group(voters(1, 2, 3, 4, 5), { beginnings });
  group.cut.add(5);
  group.elect(1);
  group.cut.clear();
  group.advance(400);
  for (const id of [1, 2, 3, 4, 5]) assert.equal(group.server(id).applied[1]?.term, 2);
});

test("raft, a leader that lacks a committed entry cannot be elected (§3.6.3, Figure 3.8)", () => {
  const group = new Group(voters(1, 2, 3, 4, 5));
  group.elect(1);
  group.cut.add(4).add(5);
  group.propose(1, "a");
  group.settle();
  assert.equal(group.raft(1).commitIndex, 2);
  group.cut.clear();
  group.cut.add(1);
  for (const id of [2, 3, 4, 5]) group.step(id, { kind: "disconnected", server: 1 });
  group.nowMs = group.server(5).wakeAtMs;
  group.step(5, { kind: "wake" });
  group.settle();
  assert.notEqual(group.raft(5).standing.role, "leader");
  group.advance(1000);
  const leader = [2, 3].find((id) => group.raft(id).standing.role === "leader");
  assert.ok(leader !== undefined);
});

const followers: readonly (readonly number[])[] = [
  [1, 1, 1, 4, 4, 5, 5, 6, 6],
  [1, 1, 1, 4],
  [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
  [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
  [1, 1, 1, 4, 4, 4, 4],
  [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
];
for (const [at, terms] of followers.entries()) {
  test(`raft, a leader makes a follower's log like its own (§3.5, Figure 3.6 ${"abcdef"[at]})`, () => {
    const leaderTerms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    const beginnings = {
      1: { terms: leaderTerms, term: 7 },
      2: { terms, term: 7 },
      3: { terms: leaderTerms, term: 7 },
    };
    const group = new Group(voters(1, 2, 3), { beginnings });
    group.cut.add(2);
    group.elect(1);
    group.cut.clear();
    group.advance(500);
    assert.deepEqual(
      group.server(2).disk.entries.map(({ term }) => term),
      [...leaderTerms, 8],
    );
    assert.deepEqual(group.server(2).applied, group.server(1).applied);
  });
}

test("raft, finding where logs part goes over a whole term at a time (§3.5)", () => {
  const shared = [1, 1, 1];
  const beginnings = {
    1: { terms: [...shared, ...Array.from({ length: 50 }, () => 5)], term: 5 },
    2: { terms: [...shared, ...Array.from({ length: 40 }, () => 2)], term: 5 },
    3: { terms: [...shared, ...Array.from({ length: 50 }, () => 5)], term: 5 },
  };
  const group = new Group(voters(1, 2, 3), { beginnings });
  let mismatches = 0;
  group.observe = (_, event) => {
    if (event.kind !== "message" || event.message.kind !== "append-reply") return;
    if (!event.message.success) mismatches += 1;
  };
  group.elect(1);
  group.advance(200);
  assert.equal(group.raft(2).commitIndex, 54);
  assert.ok(mismatches <= 3, `${mismatches} steps back`);
});

test("raft, a follower refuses entries that do not follow its own (§3.5)", () => {
  const lone = new Lone({ terms: [1, 1] });
  const [reply] = lone.ask(2, 2, append(5, 2, { entries: entriesOf([2], 6) }));
  assert.ok(reply?.kind === "append-reply" && !reply.success);
  assert.deepEqual([reply.index, reply.hintTerm], [2, 1]);
  const [other] = lone.ask(2, 2, append(2, 2));
  assert.ok(other?.kind === "append-reply" && !other.success);
});

test("raft, entries that a follower has already are not written again (§3.5)", () => {
  const lone = new Lone({ terms: [1, 1, 1] });
  const { persist } = lone.hear(2, 1, append(0, 0, { entries: entriesOf([1, 1]) }));
  assert.equal(persist, undefined);
  assert.equal(lone.raft.lastIndex, 3);
});

test("raft, an old append that comes late cuts nothing off (§3.5)", () => {
  const lone = new Lone();
  lone.ask(2, 1, append(0, 0, { entries: entriesOf([1, 1, 1]) }));
  lone.ask(2, 1, append(0, 0, { entries: entriesOf([1]) }));
  assert.equal(lone.raft.lastIndex, 3);
});

test("raft, conflicting entries and all that follow give way (§3.5)", () => {
  const lone = new Lone({ terms: [1, 1, 1] });
  const { persist } = lone.hear(2, 2, append(1, 1, { entries: entriesOf([2], 2) }));
  assert.deepEqual(indexes(persist?.entries ?? []), [2]);
  assert.equal(lone.raft.lastIndex, 2);
});

test("raft, a follower acknowledges new entries when they are durable (§3.8, §10.2.1)", () => {
  const lone = new Lone();
  lone.ask(2, 1, append(0, 0));
  assert.deepEqual(lone.hear(2, 1, append(0, 0, { entries: entriesOf([1, 1]) })).send, []);
  const [reply] = lone.persisted().send;
  assert.ok(reply?.kind === "append-reply" && reply.success && reply.index === 2);
});

test("raft, a heartbeat is answered at once, with no more than is durable (§10.2.1)", () => {
  const lone = new Lone();
  lone.ask(2, 1, append(0, 0));
  lone.hear(2, 1, append(0, 0, { entries: entriesOf([1, 1]) }));
  const [reply] = lone.hear(2, 1, append(2, 1, { round: 7 })).send;
  assert.ok(reply?.kind === "append-reply" && reply.success);
  assert.deepEqual([reply.index, reply.round], [0, 7]);
});

test("raft, entries overwritten while their write is under way are not acknowledged by it (§10.2.1)", () => {
  const lone = new Lone();
  lone.ask(2, 1, append(0, 0));
  lone.hear(2, 1, append(0, 0, { entries: entriesOf([1, 1, 1]) }));
  const second = lone.hear(3, 2, append(1, 1, { entries: entriesOf([2, 2], 2) }));
  assert.equal(second.persist?.number, 3);
  lone.step({ kind: "persisted", number: 2 });
  const [reply] = lone.hear(3, 2, append(3, 2)).send;
  assert.equal(reply, undefined, "the term is not durable yet");
  const [first] = lone.persisted().send.filter(({ to }) => to === 3);
  assert.ok(first?.kind === "append-reply" && first.index === 3);
});

test("raft, a follower commits no further than it knows to agree (§3.5)", () => {
  const lone = new Lone({ terms: [1, 1, 1] });
  lone.ask(2, 2, append(1, 1, { commit: 3 }));
  assert.equal(lone.raft.commitIndex, 1);
});

test("raft, a leader that is ahead of answers stops at the window's messages (§10.2.1)", () => {
  const lone = leading(new Lone());
  const sent: number[] = [];
  for (let at = 0; at < 10; at += 1) {
    for (const { entries } of appends(lone.propose("x"), 2)) sent.push(...indexes(entries));
  }
  assert.deepEqual(sent, [2, 3, 4, 5]);
  const [next] = appends(lone.acked(2, 5), 2);
  assert.deepEqual(indexes(next?.entries ?? []), [6, 7, 8, 9, 10, 11]);
});

test("raft, a leader that is ahead of answers stops at the window's bytes (§10.2.1)", () => {
  const lone = leading(new Lone({ options: { inflightMessagesMax: 100 } }));
  const output = lone.propose(...Array.from({ length: 40 }, () => "x".repeat(200)));
  const sent = appends(output, 2).flatMap(({ entries }) => entries);
  assert.ok(sent.length * 232 >= testOptions.inflightBytesMax);
  assert.ok(sent.length * 232 < testOptions.inflightBytesMax + testOptions.appendBytesMax);
});

test("raft, one message carries no more than its bytes, unless one entry alone is larger (§10.2.2)", () => {
  const lone = leading(new Lone({ options: { inflightBytesMax: 1e6 } }));
  const sizes = appends(lone.propose("x".repeat(5000), "a", "b".repeat(990)), 2).map(
    ({ entries }) => entries.length,
  );
  assert.deepEqual(sizes, [1, 1, 1]);
});

test("raft, a server whose log is not known is probed with one append until it answers (§10.2.1)", () => {
  const lone = leading(new Lone());
  assert.equal(appends(lone.propose("a"), 3).length, 0);
  const [news] = appends(lone.acked(3, 1), 3);
  assert.deepEqual(indexes(news?.entries ?? []), [2]);
  assert.equal(lone.raft.progress().find(({ id }) => id === 3)?.flow, "replicate");
});

test("raft, lost appends are found out by the next heartbeat and sent again (§3.5)", () => {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  group.advance(150);
  group.propose(1, "a");
  group.drop();
  group.propose(1, "b");
  group.drop();
  group.advance(110);
  assert.equal(group.raft(1).commitIndex, 3);
  assert.equal(group.raft(2).lastIndex, 3);
});

test("raft, a row of refusals behind one lost append causes one new try (§3.5)", () => {
  const lone = leading(new Lone());
  for (const word of ["a", "b", "c"]) lone.propose(word);
  const no = { kind: "append-reply", success: false, index: 1, hintTerm: 1, round: 0 } as const;
  const tries = [1, 2, 3].flatMap(() => appends(lone.hear(2, 1, no), 2));
  assert.equal(tries.length, 1);
});

test("raft, a commit is told at once, with the next entries or without (§3.5)", () => {
  const lone = leading(new Lone());
  lone.acked(3, 1);
  lone.propose("a");
  lone.persisted();
  const output = lone.acked(2, 2);
  for (const to of [2, 3]) {
    assert.deepEqual(
      appends(output, to).map(({ commit, entries }) => [commit, entries.length]),
      [[2, 0]],
    );
  }
});

test("raft, proposals at a server that does not lead are refused (§6.2)", () => {
  assert.deepEqual(new Lone().propose("a").refused, [{ request: 0, why: "not-leader" }]);
});

test("raft, a leader that can commit nothing refuses proposals when it holds too much", () => {
  const lone = leading(new Lone({ options: { uncommittedBytesMax: 100 } }));
  const large = lone.propose("x".repeat(500), "y");
  assert.deepEqual(large.accepted, [{ request: 0, term: 1, index: 2 }]);
  assert.deepEqual(large.refused, [{ request: 1, why: "full" }]);
  lone.persisted();
  lone.acked(2, 2);
  assert.equal(lone.propose("z").accepted.length, 1);
});

test("raft, a server that restarts applies again what its snapshot does not cover (§3.8)", () => {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  group.propose(1, "a", "b");
  group.settle();
  group.restart(2);
  assert.deepEqual(group.server(2).applied, []);
  group.advance(300);
  assert.deepEqual(group.server(2).applied, group.server(1).applied);
});

test("raft, what was not durable at a crash was not acknowledged (§3.8)", () => {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  for (const id of [2, 3]) group.slowDisks.add(id);
  group.propose(1, "a");
  group.settle();
  assert.equal(group.raft(1).commitIndex, 1);
  for (const id of [2, 3]) {
    group.slowDisks.delete(id);
    group.restart(id);
  }
  group.advance(300);
  assert.equal(group.raft(1).commitIndex, 2);
});
