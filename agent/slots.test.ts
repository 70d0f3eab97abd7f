import assert from "node:assert/strict";
import { test } from "node:test";
import { Slots } from "./slots.ts";

const never = () => new AbortController().signal;

test("slots, of two, run two works at a time, in order, and skip who gave up", async () => {
  const slots = new Slots(2);
  const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>());
  const started: number[] = [];
  const quitter = new AbortController();
  const works = gates.map((gate, index) =>
    slots.run(index === 2 ? quitter.signal : never(), () => {
      started.push(index);
      return gate.promise;
    }),
  );
  assert.deepEqual(started, []);
  await Promise.resolve();
  assert.deepEqual(started, [0, 1]);
  quitter.abort();
  await assert.rejects(works[2] ?? Promise.resolve(), { code: "canceled" });
  gates[0]?.resolve();
  await works[0];
  gates[3]?.resolve();
  await works[3];
  for (const gate of gates) gate.resolve();
  await Promise.all([works[1], works[4]]);
  assert.deepEqual(started, [0, 1, 3, 4]);
});
