import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { openTestStore, testNetwork, testTask, testTaskSpec } from "../testing/fixtures.ts";
import { untilStore } from "../testing/until.ts";
import { Allocator } from "./allocator.ts";

const ports = { clock: systemClock, random: systemRandom, log: silentLog };
const onNet = { spec: testTaskSpec({ networks: [{ target: "net", aliases: ["db"] }] }) };

test("A full network's task waits with a reason and gets its address when one is freed", async () => {
  const { store, put, remove } = openTestStore();
  await using _allocator = new Allocator({ ...ports, store });
  await put("network", testNetwork("net", "10.7.0.0/29"));
  const tasks = Array.from({ length: 6 }, (_, index) => testTask(`task${index}`, onNet));
  await put("task", ...tasks);
  await untilStore(store, (view) => view.get("task", "task5")?.status?.err !== "");
  assert.equal(
    store.get("task", "task5")?.status?.err,
    'network "net" has no free address: 5 of 5 in 10.7.0.0/29 are in use',
  );
  const addresses = store.list("task").flatMap(({ networks }) => networks[0]?.addresses ?? []);
  assert.deepEqual(
    addresses.toSorted(),
    [2, 3, 4, 5, 6].map((last) => `10.7.0.${last}/29`),
  );
  const [first] = tasks;
  assert.ok(first);
  await remove("task", first);
  await untilStore(store, (view) => view.get("task", "task5")?.status?.state === TaskState.PENDING);
  const [attachment] = store.get("task", "task5")?.networks ?? [];
  assert.deepEqual(attachment?.addresses, ["10.7.0.2/29"]);
  assert.deepEqual(attachment?.aliases, ["db"]);
  assert.equal(store.get("task", "task5")?.status?.err, "");
});

test("A new allocator knows the addresses that an earlier one gave", async () => {
  const { store, put } = openTestStore();
  await using before = new Allocator({ ...ports, store });
  await put("network", testNetwork("net"));
  await put("task", testTask("a", onNet));
  await untilStore(store, (view) => view.get("task", "a")?.status?.state === TaskState.PENDING);
  await before[Symbol.asyncDispose]();

  await using _after = new Allocator({ ...ports, store });
  await put("task", testTask("b", onNet));
  await untilStore(store, (view) => view.get("task", "b")?.status?.state === TaskState.PENDING);
  assert.deepEqual(store.get("task", "a")?.networks[0]?.addresses, ["10.0.1.2/24"]);
  assert.deepEqual(store.get("task", "b")?.networks[0]?.addresses, ["10.0.1.3/24"]);
});

test("A task waits for a network that does not exist yet", async () => {
  const { store, put } = openTestStore();
  await using _allocator = new Allocator({ ...ports, store });
  await put("task", testTask("a", onNet));
  await untilStore(store, (view) => view.get("task", "a")?.status?.err !== "");
  assert.equal(store.get("task", "a")?.status?.err, 'network "net" does not exist');
  await put("network", testNetwork("net"));
  await untilStore(store, (view) => view.get("task", "a")?.status?.state === TaskState.PENDING);
});

test("A task of several networks has all of its addresses or none", async () => {
  const { store, put } = openTestStore();
  await using _allocator = new Allocator({ ...ports, store });
  await put("network", testNetwork("net"));
  const spec = testTaskSpec({ networks: [{ target: "net" }, { target: "other" }] });
  await put("task", testTask("a", { spec }));
  await untilStore(store, (view) => view.get("task", "a")?.status?.err !== "");
  await put("task", testTask("b", onNet));
  await untilStore(store, (view) => view.get("task", "b")?.status?.state === TaskState.PENDING);
  assert.deepEqual(store.get("task", "b")?.networks[0]?.addresses, ["10.0.1.2/24"]);
  assert.deepEqual(store.get("task", "a")?.networks, []);
});
