import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { changeMembership, placeMembership } from "./membership.ts";
import { Group, voters } from "./testing/group.ts";
import { Lone } from "./testing/lone.ts";
import type { Membership, MembershipChange, Output, ServerId } from "./contract.ts";

const learner = (id: ServerId) => ({ id, voter: false, context: `host${id}` });

function leading(lone: Lone): Lone {
  lone.lead();
  lone.persisted();
  for (const { id } of lone.raft.membership.members) {
    if (id !== 1) lone.acked(id, lone.raft.lastIndex);
  }
  return lone;
}

function ask(lone: Lone | Group, change: MembershipChange, at = 1): Output {
  const event = { kind: "change", request: 7, change } as const;
  return lone instanceof Group ? lone.step(at, event) : lone.step(event);
}

function ids(membership: Membership): readonly string[] {
  return membership.members.map(({ id, voter }) => (voter ? `${id}` : `(${id})`));
}

const arbitraryChange: fc.Arbitrary<MembershipChange> = fc.oneof(
  fc.record({
    kind: fc.constant("add-learner" as const),
    id: fc.integer({ min: 1, max: 6 }),
    context: fc.constant(""),
  }),
  fc.record({
    kind: fc.constantFrom("promote" as const, "remove" as const),
    id: fc.integer({ min: 1, max: 6 }),
  }),
);

test("raft, majorities of neighbouring memberships share a server, and removed ones stay away (§4.1)", () => {
  fc.assert(
    fc.property(fc.array(arbitraryChange, { maxLength: 40 }), (changes) => {
      let placed = placeMembership(0, { members: voters(1), removed: [] });
      for (const change of changes) {
        const next = changeMembership(placed, change);
        if (typeof next === "string") continue;
        const before = new Set(placed.voters);
        const { voters: after } = placeMembership(0, next);
        const both = after.filter((id) => before.has(id)).length;
        assert.ok(before.size + after.length - 2 * both <= 1);
        assert.ok(after.length > 0);
        assert.ok(placed.membership.removed.every((id) => next.removed.includes(id)));
        assert.ok(next.members.every(({ id }) => !next.removed.includes(id)));
        placed = placeMembership(0, next);
      }
    }),
  );
});

const refusals: readonly [string, MembershipChange, string][] = [
  ["adding a removed server", { kind: "add-learner", id: 8, context: "" }, "removed-server"],
  ["promoting a removed server", { kind: "promote", id: 8 }, "removed-server"],
  ["removing one a second time", { kind: "remove", id: 8 }, "removed-server"],
  ["promoting a stranger", { kind: "promote", id: 9 }, "unknown-server"],
  ["removing a stranger", { kind: "remove", id: 9 }, "unknown-server"],
];
for (const [name, change, why] of refusals) {
  test(`raft, ${name} is refused as "${why}" (§4.1)`, () => {
    const lone = leading(new Lone({ removed: [8] }));
    assert.deepEqual(ask(lone, change).refused, [{ request: 7, why }]);
  });
}

test("raft, the last voter cannot be removed (§4.1)", () => {
  const lone = leading(new Lone({ members: [...voters(1), learner(2)] }));
  assert.equal(ask(lone, { kind: "remove", id: 1 }).refused[0]?.why, "quorum");
});

test("raft, only the leader changes the membership (§4.1)", () => {
  assert.equal(ask(new Lone(), { kind: "remove", id: 2 }).refused[0]?.why, "not-leader");
});

test("raft, one change at a time (§4.1)", () => {
  const lone = leading(new Lone());
  assert.equal(ask(lone, { kind: "add-learner", id: 4, context: "" }).accepted.length, 1);
  assert.equal(ask(lone, { kind: "remove", id: 3 }).refused[0]?.why, "busy");
  lone.persisted();
  lone.acked(2, 2);
  assert.equal(ask(lone, { kind: "remove", id: 3 }).accepted.length, 1);
});

test("raft, no change before an entry of the leader's term is committed (raft-dev, July 2015)", () => {
  const lone = new Lone({ terms: [1] });
  lone.lead();
  lone.persisted();
  assert.equal(ask(lone, { kind: "remove", id: 3 }).refused[0]?.why, "busy");
  lone.acked(2, 2);
  assert.equal(ask(lone, { kind: "remove", id: 3 }).accepted.length, 1);
});

test("raft, a membership counts from the moment that it is in the log (§4.1)", () => {
  const lone = leading(new Lone({ members: [...voters(1, 2, 3), learner(4)] }));
  ask(lone, { kind: "promote", id: 4 });
  assert.deepEqual(ids(lone.raft.membership), ["1", "2", "3", "4"]);
  lone.persisted();
  lone.acked(2, 2);
  assert.equal(lone.raft.commitIndex, 1, "two of four are no majority");
  lone.acked(4, 2);
  assert.equal(lone.raft.commitIndex, 2);
});

test("raft, a membership that is overwritten counts no more (§4.1)", () => {
  const lone = leading(new Lone());
  ask(lone, { kind: "remove", id: 3 });
  assert.deepEqual(ids(lone.raft.membership), ["1", "2"]);
  lone.ask(2, 2, {
    kind: "append",
    prevIndex: 1,
    prevTerm: 1,
    entries: [{ term: 2, index: 2, kind: "term-start" }],
    commit: 0,
    round: 0,
    electionMs: 300,
  });
  assert.deepEqual(ids(lone.raft.membership), ["1", "2", "3"]);
});

test("raft, a learner gets the log and does not count (§4.2.1)", () => {
  const lone = leading(new Lone({ members: [...voters(1, 2, 3), learner(4)] }));
  const { send } = lone.propose("a");
  assert.ok(send.some(({ to }) => to === 4));
  lone.persisted();
  lone.acked(4, 2);
  assert.equal(lone.raft.commitIndex, 1);
});

test("raft, a learner does not stand, but votes: it may be a voter without knowing (§4.2.1)", () => {
  const lone = new Lone({ members: [...voters(2, 3), learner(1)] });
  assert.deepEqual(lone.pass(10_000).send, []);
  const asked = { kind: "vote", pre: false, transfer: false, lastIndex: 0, lastTerm: 0 } as const;
  const [reply] = lone.ask(2, 1, asked);
  assert.ok(reply?.kind === "vote-reply" && reply.granted);
});

test("raft, a learner that lags is not promoted (§4.2.1)", () => {
  const group = new Group(voters(1));
  group.elect(1);
  for (let at = 0; at < 50; at += 1) group.propose(1, ...Array.from({ length: 40 }, () => "x"));
  ask(group, { kind: "add-learner", id: 2, context: "" });
  assert.equal(ask(group, { kind: "promote", id: 2 }).refused[0]?.why, "busy");
  group.start(2, []);
  group.advance(300);
  assert.equal(ask(group, { kind: "promote", id: 2 }).accepted.length, 1);
  group.advance(300);
  assert.deepEqual(ids(group.raft(2).membership), ["1", "2"]);
});

test("raft, a learner that is not there is not promoted (§4.2.1)", () => {
  const group = new Group([...voters(1), learner(2)]);
  group.elect(1);
  group.advance(200);
  group.cut.add(2);
  group.advance(400);
  assert.equal(ask(group, { kind: "promote", id: 2 }).refused[0]?.why, "busy");
});

test("raft, adding a member again takes its new place and leaves its vote (§4.1)", () => {
  const lone = leading(new Lone());
  ask(lone, { kind: "add-learner", id: 2, context: "elsewhere" });
  assert.deepEqual(lone.raft.membership.members[1], { id: 2, voter: true, context: "elsewhere" });
});

test("raft, a leader that is removed manages without its own vote, then steps down (§4.2.2)", () => {
  const lone = leading(new Lone());
  ask(lone, { kind: "remove", id: 1 });
  lone.persisted();
  lone.acked(2, 2);
  assert.equal(lone.raft.standing.role, "leader");
  assert.equal(lone.raft.commitIndex, 1, "one of servers 2 and 3 is no majority");
  const { send } = lone.acked(3, 2);
  assert.equal(lone.raft.commitIndex, 2);
  assert.equal(lone.raft.standing.role, "follower");
  assert.ok(send.some(({ kind }) => kind === "timeout-now"));
  assert.deepEqual(lone.pass(10_000).send, []);
});

test("raft, a server that an uncommitted membership leaves out still stands (§4.2.2, Figure 4.6)", () => {
  const group = new Group(voters(1, 2));
  group.elect(1);
  group.advance(100);
  ask(group, { kind: "remove", id: 1 });
  group.drop();
  group.restart(1);
  group.advance(5000);
  assert.equal(group.raft(2).standing.role, "leader");
  assert.deepEqual(ids(group.raft(2).membership), ["2"]);
});

test("raft, and it does so after a restart, when it does not know yet that it became a voter (§4.2.2)", () => {
  const group = new Group(voters(1, 2, 3));
  group.start(4, []);
  group.elect(1);
  group.advance(100);
  ask(group, { kind: "add-learner", id: 4, context: "host4" });
  group.advance(500);
  ask(group, { kind: "promote", id: 4 });
  group.advance(500);
  ask(group, { kind: "remove", id: 4 });
  group.deliver(({ to }) => to === 4);
  group.drop();
  group.cut.add(1);
  group.restart(4);
  group.advance(20_000);
  assert.ok([2, 3].some((id) => group.raft(id).standing.role === "leader"));
  assert.deepEqual(ids(group.raft(2).membership), ["1", "2", "3"]);
});

test("raft, a removed server learns of it, and disturbs nobody (§4.2.3)", () => {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  group.advance(100);
  ask(group, { kind: "remove", id: 3 });
  group.advance(10_000);
  assert.deepEqual(ids(group.raft(3).membership), ["1", "2"]);
  assert.deepEqual(group.raft(1).standing, { role: "leader", term: 1, leader: 1 });
  assert.deepEqual(
    group
      .raft(1)
      .progress()
      .map(({ id }) => id),
    [2],
  );
});

test("raft, a removed server that did not learn of it disturbs nobody either (§4.2.3)", () => {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  group.advance(100);
  group.cut.add(3);
  ask(group, { kind: "remove", id: 3 });
  group.advance(10_000);
  group.cut.clear();
  group.advance(10_000);
  assert.deepEqual(group.raft(1).standing, { role: "leader", term: 1, leader: 1 });
  assert.deepEqual(
    group
      .raft(1)
      .progress()
      .map(({ id }) => id),
    [2],
  );
  assert.notEqual(group.raft(3).standing.role, "leader");
});

test("raft, a server that lags with its membership follows a leader that it does not know (§4.1)", () => {
  const lone = new Lone({ members: voters(1, 2) });
  const asked = { kind: "vote", pre: false, transfer: false, lastIndex: 0, lastTerm: 0 } as const;
  const [reply] = lone.ask(9, 1, asked);
  assert.ok(reply?.kind === "vote-reply" && reply.granted);
  const entries = [{ term: 1, index: 1, kind: "term-start" }] as const;
  const append = { prevIndex: 0, prevTerm: 0, entries, commit: 1, round: 1, electionMs: 300 };
  lone.ask(9, 1, { kind: "append", ...append });
  assert.equal(lone.raft.commitIndex, 1);
});

test("raft, a removed server's election goes unheard once its removal is committed (§4.2.3)", () => {
  const lone = new Lone({ removed: [9] });
  const asked = { kind: "vote", pre: false, transfer: true, lastIndex: 9, lastTerm: 9 } as const;
  assert.deepEqual(lone.ask(9, 9, asked), []);
  assert.equal(lone.raft.standing.term, 0);
});

test("raft, a group grows from one to five and shrinks to one, its leader at last elsewhere (§4)", () => {
  const group = new Group(voters(1));
  group.elect(1);
  for (const id of [2, 3, 4, 5]) {
    ask(group, { kind: "add-learner", id, context: "" });
    group.start(id, []);
    group.advance(200);
    ask(group, { kind: "promote", id });
    group.advance(200);
  }
  assert.deepEqual(ids(group.raft(5).membership), ["1", "2", "3", "4", "5"]);
  for (const id of [1, 2, 3, 4]) {
    const leader = [...group.servers.keys()].find(
      (at) => group.raft(at).standing.role === "leader",
    );
    ask(group, { kind: "remove", id }, leader);
    group.advance(3000);
  }
  assert.equal(group.raft(5).standing.role, "leader");
  assert.deepEqual(ids(group.raft(5).membership), ["5"]);
});
