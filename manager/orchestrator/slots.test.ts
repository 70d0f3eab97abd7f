import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { openTestStore, testTask } from "../testing/fixtures.ts";
import { SlotIndex } from "./slots.ts";

test("Slots folded from changes are those of a fresh scan", async () => {
  const change = fc.record({
    id: fc.nat(6),
    desired: fc.constantFrom(TaskState.RUNNING, TaskState.SHUTDOWN, TaskState.REMOVE),
    remove: fc.boolean(),
  });
  const property = fc.asyncProperty(fc.array(change, { maxLength: 30 }), async (changes) => {
    const { store, put, remove } = openTestStore();
    const slots = new SlotIndex(store);
    using _watch = store.watch((commit) => {
      for (const one of commit.changes) slots.onChange(one);
    });
    for (const { id, desired, remove: gone } of changes) {
      const serviceId = `s${id % 2}`;
      const task = testTask(`t${id}`, { slot: BigInt(id % 3), serviceId, desiredState: desired });
      await (gone ? remove("task", task) : put("task", task));
    }
    const fresh = new SlotIndex(store);
    for (const serviceId of ["s0", "s1"]) {
      assert.deepEqual(idsOf(slots, serviceId), idsOf(fresh, serviceId));
    }
  });
  await fc.assert(property, { numRuns: 60 });
});

function idsOf(slots: SlotIndex, serviceId: string) {
  return new Map(
    Array.from(slots.slotsOf(serviceId), ([slot, tasks]) => [
      slot,
      new Set(tasks.map(({ id, desiredState }) => `${id} ${desiredState}`)),
    ]),
  );
}
