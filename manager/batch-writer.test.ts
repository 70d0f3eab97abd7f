import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "#proto/fault.ts";
import { silentLog, systemClock } from "#proto/system-ports.ts";
import { BatchWriter } from "./batch-writer.ts";
import { openTestStore } from "./testing/fixtures.ts";

test("batch writer, what is submitted after it failed or ended is refused", async () => {
  const { store } = openTestStore();
  const plan = () => {
    throw new Fault("data-loss", "the disk is gone");
  };
  const modules = { store, clock: systemClock, log: silentLog };
  const writer = new BatchWriter<string>({ name: "test", gatherMs: 0, plan }, modules);
  await assert.rejects(writer.submit("first"), { code: "data-loss" });
  await assert.rejects(writer.submit("late"), { code: "data-loss" });
  await writer[Symbol.asyncDispose]();

  const ended = new BatchWriter<string>({ name: "test", gatherMs: 0, plan: () => [] }, modules);
  await ended[Symbol.asyncDispose]();
  await assert.rejects(ended.submit("late"), { code: "unavailable" });
});
