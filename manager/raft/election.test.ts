import assert from "node:assert/strict";
import { test } from "node:test";
import { Group, voters } from "./testing/group.ts";
import { Lone, type LoneOptions } from "./testing/lone.ts";
import type { MessageBody } from "./contract.ts";

function vote(
  lastIndex: number,
  lastTerm: number,
  how: { pre?: boolean; transfer?: boolean } = {},
): MessageBody {
  return { kind: "vote", pre: false, transfer: false, ...how, lastIndex, lastTerm };
}

const heartbeat: MessageBody = {
  kind: "append",
  prevIndex: 0,
  prevTerm: 0,
  entries: [],
  commit: 0,
  round: 1,
  electionMs: 300,
};

function granted(lone: Lone, from: number, term: number, body: MessageBody): boolean {
  const [reply] = lone.ask(from, term, body);
  return reply?.kind === "vote-reply" && reply.granted;
}

test("raft, a server begins as a follower that knows of no leader (§3.4)", () => {
  assert.deepEqual(new Lone({ term: 4 }).raft.standing, {
    role: "follower",
    term: 4,
    leader: undefined,
  });
});

test("raft, a follower that hears no leader for one to two timeouts stands (§3.4)", () => {
  for (const drawn of [0, 150, 299]) {
    const lone = new Lone({ options: { random: () => drawn } });
    assert.equal(lone.step({ kind: "wake" }).wakeAtMs, 301 + drawn);
    assert.deepEqual(lone.pass(300 + drawn).send, []);
    assert.equal(lone.pass(1).send.length, 2);
    assert.equal(lone.raft.standing.role, "candidate");
  }
});

test("raft, a heartbeat puts the election off (§3.4)", () => {
  const lone = new Lone();
  lone.ask(2, 1, heartbeat);
  for (let beats = 0; beats < 10; beats += 1) {
    lone.pass(200);
    lone.ask(2, 1, heartbeat);
  }
  assert.deepEqual(lone.raft.standing, { role: "follower", term: 1, leader: 2 });
});

test("raft, a server that is alone leads at once, and its vote is durable before (§3.4, §10.2.1)", () => {
  const lone = new Lone({ members: voters(1) });
  const { persist, standing } = lone.step({ kind: "wake" });
  assert.equal(standing?.role, "candidate");
  assert.deepEqual(persist?.hardState, { term: 1, votedFor: 1 });
  assert.equal(lone.persisted().standing?.role, "leader");
  assert.deepEqual(lone.persisted().apply, [{ term: 1, index: 1, kind: "term-start" }]);
});

test("raft, asking whether one would win changes neither term nor vote (§9.6)", () => {
  const lone = new Lone({ term: 3 });
  const { send, persist } = lone.pass(1000);
  assert.equal(persist, undefined);
  assert.deepEqual(
    send.map(({ term, kind }) => ({ term, kind })),
    [
      { term: 4, kind: "vote" },
      { term: 4, kind: "vote" },
    ],
  );
  assert.equal(lone.raft.standing.term, 3);
});

test("raft, a candidate asks for votes when its own is durable (§3.4, §10.2.1)", () => {
  const lone = new Lone();
  lone.pass(1000);
  const won = lone.hear(2, 1, { kind: "vote-reply", pre: true, granted: true });
  assert.deepEqual(won.persist?.hardState, { term: 1, votedFor: 1 });
  assert.deepEqual(won.send, []);
  const { send } = lone.persisted();
  assert.deepEqual(
    send.map(({ to, kind, term }) => ({ to, kind, term })),
    [
      { to: 2, kind: "vote", term: 1 },
      { to: 3, kind: "vote", term: 1 },
    ],
  );
});

test("raft, the own vote counts only when it is durable (§10.2.1)", () => {
  const lone = new Lone({ members: voters(1, 2, 3, 4, 5) });
  lone.pass(1000);
  for (const id of [2, 3]) lone.hear(id, 1, { kind: "vote-reply", pre: true, granted: true });
  for (const id of [2, 3]) lone.hear(id, 1, { kind: "vote-reply", pre: false, granted: true });
  assert.equal(lone.raft.standing.role, "candidate");
  lone.persisted();
  assert.equal(lone.raft.standing.role, "leader");
});

test("raft, a leader begins its term with an entry of its own (§3.6.2, §6.4)", () => {
  const { persist, send } = new Lone({ terms: [1, 1] }).lead();
  assert.deepEqual(persist?.entries, [{ term: 2, index: 3, kind: "term-start" }]);
  assert.ok(send.every((message) => message.kind === "append" && message.entries.length === 1));
});

test("raft, a majority of refusals ends a candidacy (§3.4)", () => {
  const lone = new Lone();
  lone.pass(1000);
  lone.hear(2, 0, { kind: "vote-reply", pre: true, granted: false });
  lone.hear(2, 1, { kind: "vote-reply", pre: true, granted: true });
  lone.persisted();
  for (const id of [2, 3]) lone.hear(id, 1, { kind: "vote-reply", pre: false, granted: false });
  assert.deepEqual(lone.raft.standing, { role: "follower", term: 1, leader: undefined });
});

test("raft, votes of a term gone by, of strangers and of learners do not count (§3.4, §4.2.1)", () => {
  const members = [...voters(1, 2, 3), { id: 4, voter: false, context: "" }];
  const lone = new Lone({ members, term: 5 });
  lone.pass(1000);
  lone.hear(2, 6, { kind: "vote-reply", pre: true, granted: true });
  lone.persisted();
  lone.hear(2, 5, { kind: "vote-reply", pre: false, granted: true });
  lone.hear(4, 6, { kind: "vote-reply", pre: false, granted: true });
  lone.hear(9, 6, { kind: "vote-reply", pre: false, granted: true });
  lone.hear(3, 6, { kind: "vote-reply", pre: true, granted: true });
  assert.equal(lone.raft.standing.role, "candidate");
});

test("raft, a candidate that hears its term's leader follows (§3.4)", () => {
  const lone = new Lone();
  lone.pass(1000);
  lone.hear(2, 1, { kind: "vote-reply", pre: true, granted: true });
  lone.persisted();
  lone.ask(3, 1, heartbeat);
  assert.deepEqual(lone.raft.standing, { role: "follower", term: 1, leader: 3 });
});

test("raft, a server votes once in a term and remembers it over a restart (§3.4, §3.8)", () => {
  const lone = new Lone();
  assert.equal(granted(lone, 2, 1, vote(0, 0)), true);
  assert.equal(granted(lone, 3, 1, vote(0, 0)), false);
  assert.equal(granted(lone, 2, 1, vote(0, 0)), true);
  const restarted = new Lone({ term: 1, votedFor: 2 });
  assert.equal(granted(restarted, 3, 1, vote(0, 0)), false);
  assert.equal(granted(restarted, 2, 1, vote(0, 0)), true);
});

test("raft, a vote is said only when it is durable (§3.8)", () => {
  const lone = new Lone();
  const heard = lone.hear(2, 1, vote(0, 0));
  assert.deepEqual(heard.persist?.hardState, { term: 1, votedFor: 2 });
  assert.deepEqual(heard.send, []);
  assert.equal(lone.persisted().send[0]?.kind, "vote-reply");
});

const logs: readonly [string, readonly number[], readonly [number, number], boolean][] = [
  ["the same log", [1, 1], [2, 1], true],
  ["a longer log", [1, 1], [3, 1], true],
  ["a shorter log", [1, 1], [1, 1], false],
  ["a shorter log of a later term", [1, 1], [1, 2], true],
  ["a longer log of an earlier term", [1, 2], [3, 1], false],
];
for (const [name, terms, [lastIndex, lastTerm], expected] of logs) {
  for (const pre of [false, true]) {
    test(`raft, a ${pre ? "pre-vote" : "vote"} for ${name} is ${expected ? "given" : "refused"} (§3.6.1)`, () => {
      assert.equal(
        granted(new Lone({ terms }), 2, 3, vote(lastIndex, lastTerm, { pre })),
        expected,
      );
    });
  }
}

const protectors: readonly [string, LoneOptions, number, boolean][] = [
  ["within the timeout", {}, 299, false],
  ["after the timeout", { options: { random: () => 200 } }, 300, true],
];
for (const [name, options, passMs, expected] of protectors) {
  test(`raft, a voter that heard a leader ${name} votes for another: ${expected} (§4.2.3)`, () => {
    const lone = new Lone(options);
    lone.ask(2, 1, heartbeat);
    lone.pass(passMs);
    assert.equal(granted(lone, 3, 2, vote(0, 0, { pre: true })), expected);
    assert.equal(granted(lone, 3, 2, vote(0, 0)), expected);
    assert.equal(lone.raft.standing.term, expected ? 2 : 1);
  });
}

test("raft, nobody protects a leader that hands over (§3.10, §4.2.3)", () => {
  const lone = new Lone();
  lone.ask(2, 1, heartbeat);
  assert.equal(granted(lone, 3, 2, vote(0, 0, { transfer: true })), true);
});

test("raft, a leader of an older term learns of the later one and follows (§3.3)", () => {
  const lone = new Lone({ term: 5 });
  const [reply] = lone.ask(2, 4, heartbeat);
  assert.equal(reply?.term, 5);
  const leader = new Lone();
  leader.lead();
  leader.hear(2, 7, { kind: "append-reply", success: false, index: 0, hintTerm: 0, round: 0 });
  assert.deepEqual(leader.raft.standing, { role: "follower", term: 7, leader: undefined });
});

test("raft, a leader that hears no majority for an election timeout steps down (§6.2)", () => {
  const lone = new Lone();
  lone.lead();
  for (let beats = 0; beats < 5; beats += 1) {
    lone.pass(100);
    lone.acked(2, 0, beats + 1);
  }
  assert.equal(lone.raft.standing.role, "leader");
  for (let beats = 0; beats < 3; beats += 1) lone.pass(100);
  assert.deepEqual(lone.raft.standing, { role: "follower", term: 1, leader: undefined });
});

test("raft, a leader's own late waking is not held against the others (§6.2)", () => {
  const lone = new Lone();
  lone.lead();
  lone.pass(1000);
  assert.equal(lone.raft.standing.role, "leader");
  for (let beats = 0; beats < 3; beats += 1) lone.pass(100);
  assert.equal(lone.raft.standing.role, "follower");
});

test("raft, a server back from a partition does not disturb a leader that works (§9.6)", () => {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  group.cut.add(3);
  group.advance(10_000);
  group.cut.clear();
  group.advance(1000);
  for (const id of [1, 2, 3]) {
    const { term, leader } = group.raft(id).standing;
    assert.deepEqual({ term, leader }, { term: 1, leader: 1 });
  }
});

test("raft, whose leader's connection breaks stands within 100 ms, and the others let it (§9.6)", () => {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  group.advance(100);
  group.cut.add(1);
  for (const id of [2, 3]) group.step(id, { kind: "disconnected", server: 1 });
  group.advance(100);
  assert.equal(group.raft(2).standing.role, "leader");
});

test("raft, of servers that ask for pre-votes at the same time one goes on, and wins (§9.6)", () => {
  // All that are left have to agree.
  const group = new Group(voters(1, 2, 3, 4, 5));
  group.elect(1);
  group.advance(100);
  group.cut.add(1);
  group.cut.add(2);
  const left = [3, 4, 5];
  for (const id of left) group.step(id, { kind: "disconnected", server: 1 });
  group.nowMs += 100;
  for (const id of left) group.step(id, { kind: "wake" });
  group.settle();
  assert.deepEqual(group.raft(5).standing, { role: "leader", term: 2, leader: 5 });
});

test("raft, a pre-vote for another puts the own election off, but not for ever (§9.6)", () => {
  const lone = new Lone();
  lone.ask(2, 1, heartbeat);
  const { wakeAtMs: soonMs } = lone.step({ kind: "disconnected", server: 2 });
  assert.ok(granted(lone, 3, 2, vote(0, 0, { pre: true })));
  const { wakeAtMs } = lone.step({ kind: "wake" });
  assert.ok(wakeAtMs > soonMs && wakeAtMs <= 300, `${wakeAtMs}`);
  assert.equal(lone.pass(wakeAtMs).send.length, 2);
});

test("raft, a broken connection does not unseat a leader that the others hear (§4.2.3)", () => {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  group.advance(100);
  group.step(2, { kind: "disconnected", server: 1 });
  group.advance(1000);
  assert.deepEqual(group.raft(2).standing, { role: "follower", term: 1, leader: 1 });
});

test("raft, the election timeout follows the round trip within its bounds (§9.3)", () => {
  const lone = new Lone();
  lone.lead();
  const electionMs = (rttMs: number): number => {
    for (let round = 0; round < 60; round += 1) {
      const { send } = lone.pass(100 - Math.min(rttMs, 99));
      lone.nowMs += rttMs;
      for (const message of send) {
        if (message.kind === "append") lone.acked(message.to, 0, message.round);
      }
    }
    const [message] = lone.pass(100).send;
    return message?.kind === "append" ? message.electionMs : 0;
  };
  assert.equal(electionMs(1), 300);
  const slow = electionMs(90);
  assert.ok(slow > 800 && slow <= 900, `${slow}`);
  const follower = new Lone();
  follower.ask(2, 1, { ...heartbeat, electionMs: 900 });
  assert.ok(follower.step({ kind: "wake" }).wakeAtMs > 900);
  follower.ask(2, 1, { ...heartbeat, electionMs: 1e9 });
  assert.ok(follower.step({ kind: "wake" }).wakeAtMs <= 6001);
});
