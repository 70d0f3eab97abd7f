import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { countVotes, majorityReached } from "./quorum.ts";

const values = fc.array(fc.nat(20), { maxLength: 9 });

test("raft, what a majority reached is what more than half have, and nothing more (§3.6.2)", () => {
  fc.assert(
    fc.property(values, (reached) => {
      const voters = reached.map((_, id) => id);
      const result = majorityReached(voters, (id) => reached[id] ?? 0);
      const having = (index: number): number => reached.filter((value) => value >= index).length;
      if (reached.length === 0) return assert.equal(result, 0);
      assert.ok(having(result) * 2 > reached.length);
      assert.ok(having(result + 1) * 2 <= reached.length);
    }),
  );
});

test("raft, an election is won by more than half, and lost when that cannot be any more (§3.4)", () => {
  const vote = fc.constantFrom(true, false, undefined);
  fc.assert(
    fc.property(fc.array(vote, { minLength: 1, maxLength: 9 }), (said) => {
      const votes = new Map<number, boolean>();
      for (const [id, value] of said.entries()) if (value !== undefined) votes.set(id, value);
      const result = countVotes([...said.keys()], votes);
      const yes = said.filter((value) => value === true).length;
      const open = said.filter((value) => value === undefined).length;
      if (yes * 2 > said.length) assert.equal(result, "won");
      else assert.equal(result, (yes + open) * 2 > said.length ? "open" : "lost");
    }),
  );
});

test("raft, nobody wins where nobody votes", () => {
  assert.notEqual(countVotes([], new Map()), "won");
});
