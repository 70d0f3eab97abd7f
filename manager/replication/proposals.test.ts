import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Fault } from "#proto/fault.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { unseal } from "./envelope.ts";
import { dataBytesMax, proposalsMax, requestTimeoutMs } from "./limits.ts";
import { type Proposal, Proposals } from "./proposals.ts";

function open(t: TestContext) {
  const clock = new FakeClock();
  const identity = { server: 7, nonce: 77 };
  const trouble = () => "nobody leads";
  const proposals = new Proposals(identity, { clock, trouble, onWaiting: () => undefined });
  t.after(() => proposals[Symbol.dispose]());
  return { clock, proposals };
}

/** What becomes of it, once it is known. */
function fate(promise: Promise<unknown>): { said: string } {
  const fate = { said: "open" };
  promise.then(
    () => {
      fate.said = "written";
    },
    (thrown: unknown) => {
      fate.said = Fault.from(thrown).code;
    },
  );
  return fate;
}

function textsOf(batch: readonly Proposal[]): string[] {
  return batch.map(({ data }) => Buffer.from(unseal(data).data).toString());
}

function idOf(proposal: Proposal | undefined) {
  assert.ok(proposal !== undefined);
  return unseal(proposal.data).id;
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("proposals, one is written when it is applied, and says what applying it said", async (t) => {
  const { proposals } = open(t);
  const rejection = new Fault("conflict", "no");
  const said = proposals.propose(Buffer.from("a"));
  const [proposal] = proposals.take(1);
  proposals.applied({ ...idOf(proposal), server: 8 }, undefined);
  proposals.applied({ ...idOf(proposal), nonce: 78 }, undefined);
  proposals.applied(idOf(proposal), rejection);
  assert.equal(await said, rejection);
});

test("proposals, one that did not appear before a later term waits again", async (t) => {
  const { proposals } = open(t);
  const a = fate(proposals.propose(Buffer.from("a")));
  const b = fate(proposals.propose(Buffer.from("b")));
  const [first, second] = proposals.take(3);
  assert.deepEqual(proposals.take(3), []);
  proposals.termBegan(3);
  assert.deepEqual(proposals.take(3), [], "its own term says nothing");
  proposals.applied(idOf(first), undefined);
  proposals.termBegan(4);
  await settled();
  assert.deepEqual([a.said, b.said], ["written", "open"]);
  const again = proposals.take(4);
  assert.deepEqual(textsOf(again), ["b"]);
  assert.deepEqual(idOf(again[0]), idOf(second));
  proposals.applied(idOf(second), undefined);
  await settled();
  assert.equal(b.said, "written");
});

test("proposals, in time one was certainly not written if it waits, and unknown if it was sent", async (t) => {
  const { clock, proposals } = open(t);
  const sent = fate(proposals.propose(Buffer.from("sent")));
  const lost = fate(proposals.propose(Buffer.from("lost")));
  const batch = proposals.take(1);
  const waiting = fate(proposals.propose(Buffer.from("waiting")));
  proposals.putBack(batch.slice(1));
  clock.advance(requestTimeoutMs - 1);
  await settled();
  assert.deepEqual([sent.said, lost.said, waiting.said], ["open", "open", "open"]);
  clock.advance(1);
  await settled();
  assert.equal(sent.said, "deadline-exceeded");
  assert.deepEqual([lost.said, waiting.said], ["unavailable", "unavailable"]);
  assert.deepEqual(proposals.take(1), []);
});

test("proposals, one that a snapshot may have covered is never sent again", async (t) => {
  const { proposals } = open(t);
  const before = fate(proposals.propose(Buffer.from("before")));
  proposals.take(1);
  const during = fate(proposals.propose(Buffer.from("during")));
  const [inTerm] = proposals.take(2);
  const waiting = fate(proposals.propose(Buffer.from("waiting")));
  proposals.replaced(2);
  await settled();
  assert.deepEqual([before.said, during.said], ["deadline-exceeded", "open"]);
  assert.deepEqual(textsOf(proposals.take(2)), ["waiting"]);
  proposals.applied(idOf(inTerm), undefined);
  await settled();
  assert.deepEqual([during.said, waiting.said], ["written", "open"]);
});

test("proposals, what was put back keeps its place", (t) => {
  const { proposals } = open(t);
  for (const text of ["a", "b", "c"]) fate(proposals.propose(Buffer.from(text)));
  const batch = proposals.take(1);
  fate(proposals.propose(Buffer.from("d")));
  proposals.putBack(batch.filter((_, at) => at !== 1));
  assert.deepEqual(textsOf(proposals.take(1)), ["a", "c", "d"]);
});

test("proposals, a batch goes in one message", (t) => {
  const { proposals } = open(t);
  const large = Buffer.alloc(3 * 1024 * 1024);
  for (let count = 0; count < 3; count++) fate(proposals.propose(large));
  fate(proposals.propose(Buffer.alloc(dataBytesMax)));
  assert.deepEqual(
    [1, 1, 1, 1, 1].map((term) => proposals.take(term).length),
    [1, 1, 1, 1, 0],
  );
});

test("proposals, what is too large or too much is refused with the numbers", async (t) => {
  const { proposals } = open(t);
  const fault = { code: "resource-exhausted", message: /16711661 bytes is over the 16711660/ };
  await assert.rejects(proposals.propose(Buffer.alloc(dataBytesMax + 1)), fault);
  for (let count = 0; count < proposalsMax; count++) fate(proposals.propose(Buffer.of(1)));
  const full = { code: "resource-exhausted", message: /20000 writes wait/ };
  await assert.rejects(proposals.propose(Buffer.of(1)), full);
});

test("proposals, at the end what waits was not written and what was sent is unknown", async (t) => {
  const { proposals } = open(t);
  const sent = fate(proposals.propose(Buffer.from("a")));
  proposals.take(1);
  const waiting = fate(proposals.propose(Buffer.from("b")));
  const drained = proposals.drain();
  await assert.rejects(proposals.propose(Buffer.from("c")), { code: "unavailable" });
  proposals[Symbol.dispose]();
  await drained;
  await settled();
  assert.deepEqual([sent.said, waiting.said], ["deadline-exceeded", "unavailable"]);
});
