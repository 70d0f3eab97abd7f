import assert from "node:assert/strict";
import { test } from "node:test";
import { entriesOf, Group, testOptions, voters } from "./testing/group.ts";
import { Lone } from "./testing/lone.ts";
import type { MessageBody, SnapshotMeta } from "./contract.ts";

const meta: SnapshotMeta = {
  index: 5,
  term: 2,
  membership: { members: voters(1, 2, 3), removed: [] },
};

function chunk(number: number, more: { meta?: SnapshotMeta; last?: boolean } = {}): MessageBody {
  const base = { meta, last: false, data: new Uint8Array([number]), round: 1 };
  return { kind: "snapshot-chunk", chunk: number, ...base, ...more };
}

/** What is wanted next, or "installed". */
function reply(lone: Lone, body: MessageBody, from = 2, term = 2): number | string {
  const [message] = lone.ask(from, term, body);
  if (message?.kind !== "snapshot-reply") return "nothing";
  return message.installed ? "installed" : message.nextChunk;
}

/** Server 3 misses what the others compact away. */
function lagging(): Group {
  const group = new Group(voters(1, 2, 3));
  group.elect(1);
  group.advance(100);
  group.cut.add(3);
  for (let at = 0; at < 20; at += 1) {
    group.propose(1, `${at}`);
    group.settle();
  }
  group.step(1, { kind: "snapshotted", index: group.raft(1).commitIndex });
  group.propose(1, "last");
  group.settle();
  group.cut.clear();
  return group;
}

test("raft, a follower that lags behind the log gets the snapshot, and then the log (§5.1)", () => {
  const group = lagging();
  group.advance(500);
  const { disk, applied } = group.server(3);
  assert.equal(disk.snapshot.index, 21);
  assert.equal(group.raft(3).commitIndex, 22);
  assert.deepEqual(
    applied.map(({ index }) => index),
    [1, 22],
    "nothing that the snapshot covers",
  );
});

test("raft, a chunk is acknowledged when it is durable (§5.1, §10.2.1)", () => {
  const lone = new Lone({ term: 2 });
  const { send, persist } = lone.hear(2, 2, chunk(0));
  assert.deepEqual(send, []);
  assert.deepEqual(persist?.chunk, { meta, chunk: 0, data: new Uint8Array([0]) });
  const [message] = lone.persisted().send;
  assert.ok(message?.kind === "snapshot-reply" && message.nextChunk === 1);
});

test("raft, chunks that are lost, double or too early leave the rest in place (§5.1)", () => {
  const lone = new Lone({ term: 2 });
  assert.equal(reply(lone, chunk(0)), 1);
  assert.equal(reply(lone, chunk(0)), 1);
  assert.equal(reply(lone, chunk(3)), 1);
  assert.equal(reply(lone, chunk(1)), 2);
  assert.equal(reply(lone, chunk(2, { last: true })), "installed");
  assert.equal(lone.raft.commitIndex, 5);
  assert.equal(reply(lone, chunk(2, { last: true })), "installed");
});

test("raft, another snapshot, or another leader's, begins anew (§5.1)", () => {
  const lone = new Lone({ term: 2 });
  reply(lone, chunk(0));
  assert.equal(reply(lone, chunk(1, { meta: { ...meta, index: 6 } })), 0);
  assert.equal(reply(lone, chunk(1), 3, 3), 0);
});

test("raft, an installed snapshot takes the place of the log and its membership (§5.1)", () => {
  const lone = new Lone({ terms: [1, 1, 1, 1, 1, 1, 1], term: 2 });
  const membership = { members: voters(1, 2), removed: [3] };
  const { persist, apply } = lone.hear(
    2,
    2,
    chunk(0, { meta: { ...meta, membership }, last: true }),
  );
  assert.equal(persist?.install?.index, 5);
  assert.deepEqual(apply, []);
  assert.deepEqual([lone.raft.lastIndex, lone.raft.commitIndex], [5, 5]);
  assert.deepEqual(lone.raft.membership, membership);
});

test("raft, a snapshot of what the log has commits it, and what follows stays (§5.1)", () => {
  const lone = new Lone({ terms: [1, 1, 1, 2, 2, 2, 2], term: 2 });
  assert.equal(reply(lone, chunk(0)), "installed");
  assert.deepEqual([lone.raft.lastIndex, lone.raft.commitIndex], [7, 5]);
});

test("raft, a lost chunk is sent again, and it goes on from there (§5.1)", () => {
  const group = lagging();
  let lost = 0;
  let sent = 0;
  group.observe = (_, __, { send }) => {
    sent += send.filter(({ kind }) => kind === "snapshot-chunk").length;
  };
  group.loses = (message) => {
    if (message.kind !== "snapshot-chunk" || message.chunk !== 1) return false;
    lost += 1;
    return lost === 1;
  };
  group.advance(1000);
  assert.equal(group.raft(3).commitIndex, 22);
  assert.equal(sent, 4, "three chunks, one of them twice");
});

test("raft, a follower that gets a snapshot hears the leader all the while (§5.1)", () => {
  const group = lagging();
  group.slowDisks.add(3);
  group.advance(3000);
  assert.deepEqual(group.raft(3).standing, { role: "follower", term: 1, leader: 1 });
});

test("raft, a snapshot that is gone gives way to the newest (§5.1)", () => {
  const group = lagging();
  group.advance(80);
  group.slowDisks.add(3);
  group.advance(100);
  group.step(1, { kind: "snapshotted", index: 22 });
  const { send } = group.step(1, { kind: "snapshot-gone", to: 3 });
  const [message] = send;
  assert.ok(message?.kind === "snapshot-chunk");
  assert.deepEqual([message.meta.index, message.chunk], [22, 0]);
});

test("raft, a snapshot keeps entries behind it, by count and by bytes (§5.1.3)", () => {
  for (const [options, kept] of [
    [{ trailingEntries: 3, trailingBytes: 1e6 }, 7],
    [{ trailingEntries: 0, trailingBytes: 1e6 }, 10],
    [{ trailingEntries: 100, trailingBytes: 70 }, 8],
    [{ trailingEntries: 100, trailingBytes: 1e6 }, 0],
  ] as const) {
    const lone = new Lone({
      members: voters(1),
      terms: Array.from({ length: 9 }, () => 1),
      options,
    });
    lone.step({ kind: "wake" });
    lone.persisted();
    lone.persisted();
    lone.step({ kind: "snapshotted", index: 10 });
    assert.equal(lone.raft.firstIndexKept, kept, JSON.stringify(options));
  }
});

test("raft, what is not committed is in no snapshot (§5.1)", () => {
  const lone = new Lone({ terms: [1, 1, 1] });
  lone.step({ kind: "snapshotted", index: 2 });
  assert.equal(lone.raft.firstIndexKept, 0);
});

test("raft, a server begins with its snapshot and the entries after it (§5.1)", () => {
  const group = new Group(voters(1));
  group.elect(1);
  group.propose(1, "a", "b", "c");
  const { disk } = group.server(1);
  disk.snapshot = { ...disk.snapshot, index: 3, term: 1 };
  group.restart(1);
  assert.deepEqual(
    group.server(1).applied.map(({ index }) => index),
    [4, 5],
  );
  disk.entries = [];
  group.restart(1);
  assert.deepEqual(
    group.server(1).applied.map(({ index }) => index),
    [4],
  );
});

test("raft, a log with a hole is no log", () => {
  const group = new Group(voters(1));
  group.server(1).disk.entries = [...entriesOf([1], 3)];
  assert.throws(() => group.restart(1), /entries missing before entry 3/);
  group.server(1).disk.entries = [...entriesOf([1]), ...entriesOf([1], 3)];
  assert.throws(() => group.restart(1), /entries missing before entry 3/);
});

test("raft, a chunk without an answer waits an election timeout, and no heartbeat hurries it (§5.1)", () => {
  const group = lagging();
  let sent = 0;
  group.observe = (_, __, { send }) => {
    sent += send.filter(({ kind }) => kind === "snapshot-chunk").length;
  };
  group.slowDisks.add(3);
  group.advance(testOptions.electionMsMin);
  assert.equal(sent, 1);
});

/** Server 3 gets nothing of what fills its window, and the leader lets go of it. */
function cutUnderWindow(group: Group, words: number): void {
  group.loses = ({ to }) => to === 3;
  for (let at = 0; at < words; at += 1) {
    group.propose(1, `${at}`);
    group.settle();
  }
  group.step(1, { kind: "snapshotted", index: group.raft(1).commitIndex });
  group.loses = () => false;
  group.advance(1000);
}

test("raft, what was lost with a full window is found out though the log has let go of it (§5.1)", () => {
  const group = new Group(voters(1, 2, 3), { options: { trailingEntries: 0 } });
  group.elect(1);
  group.advance(100);
  cutUnderWindow(group, 10);
  assert.equal(group.raft(3).commitIndex, 11);
});

test("raft, a try whose place the log has let go of gives way to the snapshot (§5.1)", () => {
  const group = new Group(voters(1, 2, 3), { options: { trailingEntries: 0 } });
  group.elect(1);
  group.advance(100);
  group.propose(1, "lost");
  group.drop(({ to }) => to === 3);
  group.propose(1, "refused");
  group.loses = ({ to }) => to === 3 && group.raft(1).progress()[1]?.flow === "probe";
  group.settle();
  assert.equal(group.raft(1).progress()[1]?.flow, "probe");
  cutUnderWindow(group, 1);
  assert.equal(group.raft(3).commitIndex, 4);
});

test("raft, a window that waits for a slow disk needs no snapshot (§5.1)", () => {
  const group = new Group(voters(1, 2, 3), { options: { trailingEntries: 0 } });
  group.elect(1);
  group.advance(100);
  group.slowDisks.add(3);
  group.propose(1, "a");
  group.settle();
  group.step(1, { kind: "snapshotted", index: group.raft(1).commitIndex });
  group.advance(200);
  assert.equal(group.raft(1).progress()[1]?.flow, "replicate");
  group.slowDisks.delete(3);
  group.finishWrites(3);
  group.propose(1, "b");
  group.settle();
  assert.equal(group.raft(3).commitIndex, 3);
  assert.equal(group.server(3).disk.snapshot.index, 0);
});
