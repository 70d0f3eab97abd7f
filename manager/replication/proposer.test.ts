import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { type TestContext, test } from "node:test";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { Raft } from "../raft/raft.ts";
import type { Entry, Options } from "../raft/contract.ts";
import { seal, unseal } from "./envelope.ts";
import { Proposals } from "./proposals.ts";
import { Proposer } from "./proposer.ts";
import { RaftNode } from "./raft-node.ts";

const options: Options = {
  id: 1,
  random: () => 0,
  heartbeatMs: 100,
  electionMsMin: 300,
  electionMsMax: 3_000,
  appendBytesMax: 1_000,
  inflightMessagesMax: 10,
  inflightBytesMax: 10_000,
  uncommittedBytesMax: 1_000,
  trailingEntries: 10,
  trailingBytes: 1_000,
};

/** The leader of a group of one, whose disk writes when `flush` is called. */
async function lead(t: TestContext) {
  const clock = new FakeClock();
  const membership = { members: [{ id: 1, voter: true, context: "" }], removed: [] };
  const snapshot = { index: 0, term: 0, membership };
  const hardState = { term: 0, votedFor: undefined };
  const raft = new Raft(options, { hardState, snapshot, entries: [] }, clock.monotonic());
  const applied: string[] = [];
  let persisted = 0;
  const node = new RaftNode(
    { raft, clock },
    {
      persist: ({ number }) => {
        persisted = number;
      },
      send: () => undefined,
      install: () => undefined,
      apply: (entries: readonly Entry[]) => {
        for (const entry of entries) {
          if (entry.kind === "data") applied.push(Buffer.from(unseal(entry.data).data).toString());
        }
      },
      stepped: () => undefined,
      stood: () => undefined,
      failed: (fault) => assert.fail(fault),
    },
  );
  const flush = () => node.step({ kind: "persisted", number: persisted });
  node.step({ kind: "wake" });
  clock.advance(1_000);
  await turn();
  await turn();
  for (let step = 0; step < 3; step++) flush();
  assert.equal(node.core.standing.role, "leader");
  const proposals = new Proposals(
    { server: 1, nonce: 1 },
    { clock, trouble: () => "", onWaiting: () => proposer.wake() },
  );
  const proposer: Proposer = new Proposer({ node, proposals, clock, forward: () => undefined });
  t.after(() => {
    proposer[Symbol.dispose]();
    proposals[Symbol.dispose]();
    node[Symbol.dispose]();
  });
  const { term } = node.core.standing;
  return { clock, node, proposals, proposer, applied, flush, term };
}

function entriesOf(sequence: number, ...texts: readonly string[]): Uint8Array[] {
  return texts.map((text, at) =>
    seal({ server: 2, nonce: 9, sequence: sequence + at }, Buffer.from(text)),
  );
}

test("proposer, a batch that comes again, or late, is taken once", async (t) => {
  const { proposer, applied, flush, term } = await lead(t);
  const first = { term, batch: 1, entries: entriesOf(5, "a", "b") };
  // Older proposals may come in later batches: they were sent in a term before.
  const second = { term, batch: 2, entries: entriesOf(1, "c") };
  for (const batch of [first, first, second, first, second]) proposer.take(2, batch);
  await turn();
  await turn();
  flush();
  assert.deepEqual(applied, ["a", "b", "c"]);
});

test("proposer, a batch of another term or in another's name is refused whole", async (t) => {
  const { proposer, applied, flush, term } = await lead(t);
  const entries = entriesOf(1, "a");
  const refused = { code: "failed-precondition" };
  assert.throws(() => proposer.take(2, { term: term - 1, batch: 1, entries }), refused);
  assert.throws(() => proposer.take(2, { term: term + 1, batch: 1, entries }), refused);
  assert.throws(() => proposer.take(3, { term, batch: 1, entries }), { code: "invalid-argument" });
  const broken = [...entries, Buffer.from("no envelope")];
  assert.throws(() => proposer.take(2, { term, batch: 1, entries: broken }), { code: "data-loss" });
  await turn();
  flush();
  assert.deepEqual(applied, []);
});

test("proposer, what a full core refuses is given to it again in order", async (t) => {
  const { clock, proposals, proposer, applied, flush } = await lead(t);
  const texts = Array.from({ length: 20 }, (_, at) => `${at}`.padStart(300, " "));
  const written = texts.map((text) => proposals.propose(Buffer.from(text)).catch(() => undefined));
  for (let round = 0; round < 20; round++) {
    await turn();
    await turn();
    flush();
    if (round % 2 === 0) proposer.eased();
    else clock.advance(50);
  }
  assert.deepEqual(
    applied.map((text) => Number(text)),
    texts.map((_, at) => at),
  );
  proposals[Symbol.dispose]();
  await Promise.all(written);
});

test("proposer, what comes while a batch is on its way goes into the next, together", async (t) => {
  const { node, proposals, proposer, applied, flush } = await lead(t);
  const propose = (text: string) =>
    void proposals.propose(Buffer.from(text)).catch(() => undefined);
  const before = node.core.lastIndex;
  propose("a");
  await turn();
  await turn();
  for (const text of ["b", "c"]) {
    propose(text);
    await turn();
    await turn();
  }
  assert.equal(node.core.lastIndex, before + 1);
  flush();
  proposer.eased();
  await turn();
  assert.equal(node.core.lastIndex, before + 3);
  flush();
  assert.deepEqual(applied, ["a", "b", "c"]);
  proposals[Symbol.dispose]();
});
