import assert from "node:assert/strict";
import { test } from "node:test";
import { Group, voters } from "./testing/group.ts";
import { Lone } from "./testing/lone.ts";

test("raft, leadership goes to the server that was named, at once (§3.10)", () => {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  group.advance(100);
  group.step(1, { kind: "transfer", to: 3 });
  group.settle();
  assert.deepEqual(group.raft(3).standing, { role: "leader", term: 2, leader: 3 });
  assert.equal(group.raft(1).standing.leader, 3);
});

test("raft, leadership goes to the one that has most of the log when nobody is named (§3.10)", () => {
  const lone = new Lone();
  lone.lead();
  lone.persisted();
  lone.acked(3, 1);
  const { send } = lone.step({ kind: "transfer", to: undefined });
  assert.deepEqual(
    send.map(({ to, kind }) => ({ to, kind })),
    [{ to: 3, kind: "timeout-now" }],
  );
});

test("raft, the target catches up before it stands, and no proposal comes between (§3.10)", () => {
  const lone = new Lone();
  lone.lead();
  lone.persisted();
  lone.acked(2, 1);
  lone.propose("a");
  assert.deepEqual(lone.step({ kind: "transfer", to: 2 }).send, []);
  assert.deepEqual(lone.propose("b").refused, [{ request: 0, why: "busy" }]);
  const { send } = lone.acked(2, 2);
  assert.ok(send.some(({ kind, to }) => kind === "timeout-now" && to === 2));
});

test("raft, a transfer that does not happen is given up after an election timeout (§3.10)", () => {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  group.cut.add(3);
  group.propose(1, "a");
  group.step(1, { kind: "transfer", to: 3 });
  group.advance(200);
  assert.equal(group.propose(1, "b").refused[0]?.why, "busy");
  group.advance(200);
  assert.equal(group.propose(1, "b").accepted.length, 1);
  assert.equal(group.raft(1).standing.role, "leader");
});

test("raft, a lost request to stand is made again (§3.10)", () => {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  group.advance(100);
  group.step(1, { kind: "transfer", to: 2 });
  group.drop(({ kind }) => kind === "timeout-now");
  group.advance(200);
  assert.equal(group.raft(2).standing.role, "leader");
});

test("raft, only the leader that a server follows may ask it to stand (§3.10)", () => {
  const lone = new Lone({ term: 1 });
  lone.hear(2, 1, { kind: "timeout-now" });
  assert.equal(lone.raft.standing.role, "follower");
});

test("raft, nothing is handed to learners, strangers or oneself (§3.10)", () => {
  const lone = new Lone({ members: [...voters(1, 2, 3), { id: 4, voter: false, context: "" }] });
  lone.lead();
  lone.persisted();
  for (const to of [1, 4, 9]) lone.step({ kind: "transfer", to });
  assert.equal(lone.propose("a").accepted.length, 1);
});

test("raft, a leader that cannot do its work hands over and stays away for a while", () => {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  group.advance(100);
  group.step(1, { kind: "step-down" });
  assert.equal(group.raft(1).standing.role, "follower");
  group.settle();
  assert.equal(group.raft(2).standing.role, "leader");
  group.step(2, { kind: "transfer", to: 1 });
  group.advance(1000);
  assert.equal(group.raft(2).standing.role, "leader", "it does not take over while it rests");
  group.propose(2, "a");
  group.settle();
  assert.equal(group.raft(1).commitIndex, group.raft(2).commitIndex, "it replicates all the same");
});

test("raft, a server that rests votes and stands again later", () => {
  const lone = new Lone();
  lone.step({ kind: "step-down" });
  lone.pass(1000);
  assert.equal(lone.raft.standing.role, "follower");
  const [reply] = lone.ask(2, 1, {
    kind: "vote",
    pre: false,
    transfer: false,
    lastIndex: 0,
    lastTerm: 0,
  });
  assert.ok(reply?.kind === "vote-reply" && reply.granted);
  lone.pass(7000);
  lone.pass(1000);
  assert.equal(lone.raft.standing.role, "candidate");
});

test("raft, a leader that cannot do its work leads no more though nobody can take over", () => {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  group.cut.add(1);
  group.propose(1, "a");
  group.step(1, { kind: "step-down" });
  group.advance(400);
  assert.equal(group.raft(1).standing.role, "follower");
});
