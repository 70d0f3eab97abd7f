import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { ServiceSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { silentLog, systemClock } from "#proto/system-ports.ts";
import { BatchWriter } from "./batch-writer.ts";
import type { Action } from "./store/objects.ts";
import type { View } from "./store/store.ts";
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

test("batch writer, wishes that come to more than the log takes at once are written in parts", async () => {
  const { store, log } = openTestStore();
  const text = "x".repeat(512 * 1024);
  const plan = (view: View, ids: readonly string[]) =>
    ids
      .filter((id) => view.get("service", id) === undefined)
      .map((id): Action => {
        const spec = { annotations: { name: id, labels: { text } } };
        return { action: "create", kind: "service", object: create(ServiceSchema, { id, spec }) };
      });
  const modules = { store, clock: systemClock, log: silentLog };
  await using writer = new BatchWriter<string>({ name: "test", gatherMs: 0, plan }, modules);
  await Promise.all(Array.from({ length: 40 }, (_, index) => writer.submit(`web${index}`)));
  assert.equal(store.list("service").length, 40);
  assert.ok(log.length > 2, `${log.length} transactions`);
});
