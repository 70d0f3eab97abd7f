import assert from "node:assert/strict";
import { test } from "node:test";
import { Group, voters } from "./testing/group.ts";
import { Lone } from "./testing/lone.ts";
import type { Output } from "./contract.ts";

function leading(lone: Lone = new Lone()): Lone {
  lone.lead();
  lone.persisted();
  lone.acked(2, lone.raft.lastIndex);
  return lone;
}

function read(lone: Lone, request: number): Output {
  return lone.step({ kind: "read", request });
}

function roundOf({ send }: Output): number {
  const [message] = send;
  return message?.kind === "append" ? message.round : -1;
}

test("raft, a read is answered when a majority has answered a round that began after it (§6.4)", () => {
  const lone = leading();
  const round = roundOf(read(lone, 71));
  assert.ok(round > 0);
  assert.deepEqual(lone.acked(2, 1, round - 1).reads, []);
  assert.deepEqual(lone.acked(2, 1, round).reads, [{ request: 71, index: 1 }]);
  assert.deepEqual(lone.acked(3, 1, round).reads, [], "once");
});

test("raft, a read waits for the first commit of the leader's term (§6.4)", () => {
  const lone = new Lone({ terms: [1, 1] });
  lone.lead();
  lone.persisted();
  assert.deepEqual(read(lone, 71).send, []);
  const committed = lone.acked(2, 3);
  assert.deepEqual(committed.reads, []);
  assert.deepEqual(lone.acked(2, 3, roundOf(committed)).reads, [{ request: 71, index: 3 }]);
});

test("raft, a read sees what was committed when its round began, not less (§6.4)", () => {
  const lone = leading();
  lone.propose("a");
  lone.persisted();
  lone.acked(2, 2);
  const round = roundOf(read(lone, 71));
  assert.deepEqual(lone.acked(3, 1, round).reads, [{ request: 71, index: 2 }]);
});

test("raft, reads that come during a round share the next (§6.4)", () => {
  const lone = leading();
  const first = roundOf(read(lone, 1));
  const rest = Array.from({ length: 100 }, (_, at) => at + 2);
  for (const request of rest) assert.deepEqual(read(lone, request).send, []);
  const answered = lone.acked(2, 1, first);
  assert.deepEqual(
    answered.reads.map(({ request }) => request),
    [1],
  );
  const next = lone.acked(2, 1, roundOf(answered));
  assert.deepEqual(
    next.reads.map(({ request }) => request),
    rest,
  );
});

test("raft, a lost round does not lose its reads: the next heartbeat confirms them (§6.4)", () => {
  const lone = leading();
  read(lone, 71);
  const later = roundOf(lone.pass(100));
  assert.deepEqual(lone.acked(2, 1, later).reads, [{ request: 71, index: 1 }]);
});

test("raft, an answer to a round that has not been confirms nothing (§6.4)", () => {
  const lone = leading();
  read(lone, 71);
  assert.deepEqual(lone.acked(2, 1, 999).reads, []);
});

test("raft, learners confirm nothing (§6.4)", () => {
  const lone = leading(
    new Lone({ members: [...voters(1, 2, 3), { id: 4, voter: false, context: "" }] }),
  );
  const round = roundOf(read(lone, 71));
  assert.deepEqual(lone.acked(4, 1, round).reads, []);
});

test("raft, a voter that is alone answers reads by itself (§6.4)", () => {
  const lone = new Lone({ members: voters(1) });
  lone.step({ kind: "wake" });
  lone.persisted();
  assert.deepEqual(read(lone, 71).reads, []);
  assert.deepEqual(lone.persisted().reads, [{ request: 71, index: 1 }]);
  assert.deepEqual(read(lone, 72).reads, [{ request: 72, index: 1 }]);
});

test("raft, reads of a leader that is one no more are refused (§6.4)", () => {
  const lone = leading();
  read(lone, 71);
  read(lone, 72);
  const { refused } = lone.hear(2, 9, { kind: "vote-reply", pre: false, granted: false });
  assert.deepEqual(refused, [
    { request: 71, why: "not-leader" },
    { request: 72, why: "not-leader" },
  ]);
  assert.deepEqual(read(lone, 73).refused, [{ request: 73, why: "not-leader" }]);
});

test("raft, a leader that another has followed answers no reads, though it does not know (§6.4)", () => {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  group.advance(100);
  group.cut.add(1);
  for (const id of [2, 3]) group.step(id, { kind: "disconnected", server: 1 });
  group.advance(100);
  assert.equal(group.raft(2).standing.role, "leader");
  assert.equal(group.raft(1).standing.role, "leader");
  group.propose(2, "new");
  group.step(1, { kind: "read", request: 71 });
  group.advance(1000);
  const outputs = group.server(1).outputs.flatMap(({ reads }) => reads);
  assert.deepEqual(outputs, []);
  assert.ok(group.server(1).outputs.some(({ refused }) => refused[0]?.request === 71));
});
