/** What comes over the network is foreign: whatever it is, nothing throws, and what was committed stays. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Raft } from "./raft.ts";
import { entriesOf, Group, testOptions, voters } from "./testing/group.ts";
import type { Entry, Event, Message, Output } from "./contract.ts";

/** Mostly what could be, now and then what could not. */
const count = fc.oneof(
  { weight: 20, arbitrary: fc.nat(12) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 2 ** 60),
  },
);
const server = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: 1, max: 5 }) },
  { weight: 1, arbitrary: count },
);
const member = fc.record({ id: server, voter: fc.boolean(), context: fc.constant("") });
const membership = fc.record({
  members: fc.array(member, { maxLength: 4 }),
  removed: fc.array(server, { maxLength: 2 }),
});

const body = fc.oneof(
  fc.record({ kind: fc.constant("term-start" as const) }),
  fc.record({ kind: fc.constant("data" as const), data: fc.uint8Array({ maxLength: 3 }) }),
  fc.record({ kind: fc.constant("membership" as const), membership }),
);
const loose = fc.array(
  fc.tuple(count, count, body).map(([index, term, body]): Entry => ({ index, term, ...body })),
  { maxLength: 4 },
);

/** Entries that follow, of terms that do not fall. */
function following(prevIndex: number, prevTerm: number): fc.Arbitrary<readonly Entry[]> {
  return fc.array(fc.tuple(fc.nat(1), body), { maxLength: 5 }).map((steps) => {
    let term = Math.max(1, prevTerm);
    return steps.map(([more, body], at): Entry => {
      term += more;
      return { index: prevIndex + 1 + at, term, ...body };
    });
  });
}

const place = { prevIndex: count, prevTerm: count, commit: count, round: count, electionMs: count };
const append = fc
  .record(place)
  .chain((place) =>
    fc
      .oneof(loose, following(place.prevIndex, place.prevTerm))
      .map((entries) => ({ kind: "append" as const, ...place, entries })),
  );
const meta = fc.record({ index: count, term: count, membership });

const messageBody = fc.oneof(
  append,
  fc.record({
    kind: fc.constant("vote" as const),
    pre: fc.boolean(),
    transfer: fc.boolean(),
    lastIndex: count,
    lastTerm: count,
  }),
  fc.record({ kind: fc.constant("vote-reply" as const), pre: fc.boolean(), granted: fc.boolean() }),
  fc.record({
    kind: fc.constant("append-reply" as const),
    success: fc.boolean(),
    index: count,
    hintTerm: count,
    round: count,
  }),
  fc.record({
    kind: fc.constant("snapshot-chunk" as const),
    meta,
    chunk: count,
    data: fc.uint8Array({ maxLength: 2 }),
    last: fc.boolean(),
    round: count,
  }),
  fc.record({
    kind: fc.constant("snapshot-reply" as const),
    index: count,
    nextChunk: count,
    installed: fc.boolean(),
    round: count,
  }),
  fc.record({ kind: fc.constant("timeout-now" as const) }),
);
const message: fc.Arbitrary<Message> = fc
  .tuple(server, fc.constantFrom(1, 1, 1, 1, 2), count, messageBody)
  .map(([from, to, term, body]) => ({ from, to, term, ...body }));

const request = fc.nat(99);
const change = fc.oneof(
  fc.record({
    kind: fc.constant("add-learner" as const),
    id: fc.integer({ min: 1, max: 5 }),
    context: fc.constant(""),
  }),
  fc.record({
    kind: fc.constantFrom("promote" as const, "remove" as const),
    id: fc.integer({ min: 1, max: 5 }),
  }),
);
const ownEvent: fc.Arbitrary<Event> = fc.oneof(
  fc.constant({ kind: "wake" as const }),
  fc.constant({ kind: "step-down" as const }),
  fc.record({
    kind: fc.constant("propose" as const),
    proposals: fc.array(fc.record({ request, data: fc.uint8Array({ maxLength: 3 }) }), {
      maxLength: 3,
    }),
  }),
  fc.record({ kind: fc.constant("read" as const), request }),
  fc.record({ kind: fc.constant("change" as const), request, change }),
  fc.record({
    kind: fc.constant("transfer" as const),
    to: fc.option(fc.nat(5), { nil: undefined }),
  }),
  fc.record({ kind: fc.constant("snapshotted" as const), index: fc.nat(12) }),
  fc.record({ kind: fc.constant("snapshot-gone" as const), to: fc.nat(5) }),
  fc.record({ kind: fc.constant("disconnected" as const), server: fc.nat(5) }),
  fc.record({ kind: fc.constant("persisted" as const), number: fc.nat(30) }),
);
const happening = fc.record({
  event: fc.oneof(
    { weight: 3, arbitrary: message.map((message): Event => ({ kind: "message", message })) },
    { weight: 2, arbitrary: ownEvent },
  ),
  ms: fc.constantFrom(0, 0, 1, 50, 400),
  diskDone: fc.boolean(),
});

/** Looks on: whatever happens, these hold. */
class Witness {
  readonly #committed = new Map<number, Entry>();
  #term = 0;
  #vote: number | undefined;
  #commit = 0;
  #write = 0;

  see(raft: Raft, output: Output): void {
    const { persist } = output;
    assert.ok(raft.standing.term >= this.#term, "the term fell");
    assert.ok(raft.commitIndex >= this.#commit, "commit fell");
    assert.ok(raft.commitIndex <= raft.lastIndex, "more is committed than there is");
    assert.ok(Number.isFinite(output.wakeAtMs));
    if (persist !== undefined) {
      assert.equal(persist.number, this.#write + 1);
      this.#write = persist.number;
      const [first] = persist.entries;
      assert.ok(
        first === undefined || first.index > this.#commit,
        "a committed entry was overwritten",
      );
      if (persist.hardState !== undefined) this.#voted(persist.hardState);
      if (persist.install !== undefined) {
        assert.ok(persist.install.index > this.#commit, "a snapshot took back what was committed");
        this.#commit = persist.install.index;
      }
    }
    for (const entry of output.apply) {
      assert.equal(entry.index, this.#commit + 1, "entries are applied in order, each once");
      assert.equal(this.#committed.get(entry.index), undefined);
      this.#committed.set(entry.index, entry);
      this.#commit = entry.index;
    }
    assert.equal(this.#commit, raft.commitIndex);
    this.#term = raft.standing.term;
  }

  #voted({ term, votedFor }: { term: number; votedFor: number | undefined }): void {
    assert.ok(term >= this.#term);
    if (term === this.#term && this.#vote !== undefined) assert.equal(votedFor, this.#vote);
    this.#term = term;
    this.#vote = votedFor;
  }
}

test("raft, whatever it is told, it does not throw and keeps what is committed", () => {
  fc.assert(
    fc.property(
      fc.array(happening, { maxLength: 60, size: "max" }),
      fc.nat(299),
      (happenings, drawn) => {
        const random = (limit: number): number => Math.min(limit - 1, drawn);
        const snapshot = {
          index: 0,
          term: 0,
          membership: { members: voters(1, 2, 3), removed: [] },
        };
        const durable = {
          hardState: { term: 2, votedFor: undefined },
          snapshot,
          entries: entriesOf([1, 2, 2]),
        };
        const raft = new Raft({ ...testOptions, id: 1, random }, durable, 0);
        const witness = new Witness();
        let nowMs = 0;
        let write = 0;
        const step = (event: Event): void => {
          const output = raft.step(event, nowMs);
          witness.see(raft, output);
          write = output.persist?.number ?? write;
        };
        for (const { event, ms, diskDone } of happenings) {
          nowMs += ms;
          step(event);
          if (diskDone) step({ kind: "persisted", number: write });
        }
      },
    ),
    { numRuns: 2000 },
  );
});

/** Any field may be missing, or be anything. */
const broken = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 4, arbitrary }, { weight: 1, arbitrary: fc.anything({ maxDepth: 1 }) });
const brokenMembership = fc.record(
  { members: broken(fc.array(broken(member))), removed: broken(fc.array(broken(server))) },
  { requiredKeys: [] },
);
const brokenMeta = fc.record(
  { index: broken(count), term: broken(count), membership: broken(brokenMembership) },
  { requiredKeys: [] },
);
const brokenEntry = fc.record(
  {
    index: broken(count),
    term: broken(count),
    kind: broken(fc.constantFrom("term-start", "data", "membership")),
    data: broken(fc.uint8Array()),
    membership: broken(brokenMembership),
  },
  { requiredKeys: [] },
);
const kinds = ["append", "append-reply", "vote", "vote-reply", "snapshot-chunk", "snapshot-reply"];
const flags = ["pre", "transfer", "granted", "success", "installed", "last"];
const counts =
  "prevIndex prevTerm commit round electionMs index hintTerm chunk nextChunk lastIndex lastTerm".split(
    " ",
  );
const pieces = fc.record({
  ...Object.fromEntries(flags.map((name) => [name, broken(fc.boolean())])),
  ...Object.fromEntries(counts.map((name) => [name, broken(count)])),
  kind: broken(fc.constantFrom(...kinds)),
  data: broken(fc.uint8Array()),
  entries: broken(fc.array(broken(brokenEntry), { maxLength: 3 })),
  meta: broken(brokenMeta),
});

test("raft, a message of no known kind, or with pieces missing, is passed over", () => {
  fc.assert(
    fc.property(pieces, count, (pieces, term) => {
      const group = new Group(voters(1, 2, 3));
      const foreign = { ...pieces, from: 2, to: 1, term } as unknown as Message;
      group.step(1, { kind: "message", message: foreign });
      const { raft } = group.server(1);
      assert.ok(Number.isSafeInteger(raft.lastIndex) && Number.isSafeInteger(raft.commitIndex));
      assert.ok(raft.membership.members.every(({ id }) => Number.isSafeInteger(id)));
    }),
    { numRuns: 3000 },
  );
});

const action = fc.record({
  server: fc.integer({ min: 1, max: 3 }),
  what: fc.constantFrom(
    "deliver",
    "deliver",
    "deliver",
    "lose",
    "wake",
    "propose",
    "restart",
    "disk",
    "snapshot",
    "disconnect",
  ),
});

test("raft, servers that lose messages, writes and time agree on what they applied (§3.6.3)", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 120, size: "max" }), (actions) => {
      const group = new Group(voters(1, 2, 3));
      group.elect(1);
      const truth = new Map<number, Entry>();
      const leaders = new Map<number, number>();
      group.observe = (id, _, { apply, standing }) => {
        for (const entry of apply) {
          const known = truth.get(entry.index);
          if (known !== undefined) assert.deepEqual(entry, known);
          truth.set(entry.index, entry);
        }
        if (standing?.role !== "leader") return;
        assert.equal(leaders.get(standing.term) ?? id, id, "two leaders of one term");
        leaders.set(standing.term, id);
      };
      for (const [at, { server, what }] of actions.entries()) perform(group, { server, what, at });
      group.slowDisks.clear();
      for (const id of [1, 2, 3]) group.finishWrites(id);
      group.advance(8000);
      assert.ok([1, 2, 3].some((id) => group.raft(id).standing.role === "leader"));
      const [commit] = [1, 2, 3].map((id) => group.raft(id).commitIndex);
      for (const id of [1, 2, 3]) assert.equal(group.raft(id).commitIndex, commit);
    }),
    { numRuns: 300 },
  );
});

function perform(
  group: Group,
  { server, what, at }: { server: number; what: string; at: number },
): void {
  switch (what) {
    case "deliver":
      group.deliver(({ to }) => to === server);
      break;
    case "lose":
      group.drop(({ to }) => to === server);
      break;
    case "wake":
      group.nowMs = Math.max(group.nowMs, group.server(server).wakeAtMs);
      group.step(server, { kind: "wake" });
      break;
    case "propose":
      group.propose(server, `${at}`);
      break;
    case "restart":
      group.restart(server);
      break;
    case "disk":
      if (group.slowDisks.delete(server)) group.finishWrites(server);
      else group.slowDisks.add(server);
      break;
    case "snapshot": {
      // A driver takes one of what is durable here.
      const { disk } = group.server(server);
      const covered = disk.entries.findLast(({ index }) => index <= group.raft(server).commitIndex);
      if (covered === undefined) break;
      const { index, term } = covered;
      disk.snapshot = { ...disk.snapshot, index, term };
      group.step(server, { kind: "snapshotted", index });
      break;
    }
    case "disconnect":
      group.step(server, { kind: "disconnected", server: (server % 3) + 1 });
      break;
    default:
      throw new Error(`There is no "${what}"`);
  }
}
