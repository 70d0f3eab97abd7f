import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { inParallel } from "./in-parallel.ts";

test("in parallel, all are done, in order, and never more at once than may be", async () => {
  const property = fc.asyncProperty(
    fc.array(fc.integer()),
    fc.integer({ min: 1, max: 5 }),
    async (items, atOnce) => {
      let running = 0;
      const results = await inParallel(
        items,
        async (item) => {
          running += 1;
          assert(running <= atOnce);
          await Promise.resolve();
          running -= 1;
          return item * 2;
        },
        atOnce,
      );
      assert.deepEqual(
        results,
        items.map((item) => item * 2),
      );
    },
  );
  await fc.assert(property);
});

test("in parallel, a failure waits for those that run, and begins no others", async () => {
  const done: number[] = [];
  const work = async (item: number) => {
    if (item === 1) throw new Error("one");
    await Promise.resolve();
    done.push(item);
  };
  await assert.rejects(inParallel([0, 1, 2, 3], work, 2), /one/);
  assert.deepEqual(done, [0]);
});
