import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import {
  NodeSchema,
  ServiceSchema,
  StoreActionKind,
  StoreActionSchema,
  StoreTransactionSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import { openTestStore } from "../testing/fixtures.ts";
import type { LogEntry } from "./log.ts";
import { type Commit, Store } from "./store.ts";

const service = (id: string, name: string) =>
  create(ServiceSchema, { id, spec: { annotations: { name } } });

function snapshotOf(store: Store): string[] {
  return [...store.snapshot()].map((piece) => Buffer.from(piece).toString("hex")).sort();
}

test("store, what is written is there with its version and times", async () => {
  const { store } = openTestStore();
  await store.write(() => [
    { action: "create", kind: "service", object: service("1", "web") },
    { action: "create", kind: "service", object: service("2", "db") },
  ]);
  assert.equal(store.get("service", "1")?.meta?.version?.index, 1n);
  assert.equal(store.index, 1n);
  const created = store.get("service", "1")?.meta?.createdAt;
  await store.write((view) => {
    const object = view.get("service", "1") ?? service("1", "");
    return [{ action: "update", kind: "service", object }];
  });
  assert.equal(store.get("service", "1")?.meta?.version?.index, 2n);
  assert.deepEqual(store.get("service", "1")?.meta?.createdAt, created);
  assert.equal(store.get("service", "2")?.meta?.version?.index, 1n);
});

test("store, an object that a reader holds does not change", async () => {
  const { store } = openTestStore();
  await store.write(() => [{ action: "create", kind: "service", object: service("1", "web") }]);
  const held = store.get("service", "1");
  assert.ok(held);
  await store.write(() => [{ action: "update", kind: "service", object: held }]);
  assert.equal(held.meta?.version?.index, 1n);
});

test("store, a taken name is refused, and nothing of the transaction is there", async () => {
  const { store } = openTestStore();
  await store.write(() => [{ action: "create", kind: "service", object: service("1", "web") }]);
  const write = store.write(() => [
    { action: "create", kind: "service", object: service("2", "db") },
    { action: "create", kind: "service", object: service("3", "web") },
  ]);
  await assert.rejects(write, new Fault("already-exists", 'the service name "web" is taken'));
  assert.equal(store.get("service", "2"), undefined);
  assert.equal(store.byName("service", "db"), undefined);
});

test("store, two creations of one name in one transaction are refused", async () => {
  const { store } = openTestStore();
  const write = store.write(() => [
    { action: "create", kind: "service", object: service("1", "web") },
    { action: "create", kind: "service", object: service("2", "web") },
  ]);
  await assert.rejects(write, { code: "already-exists" });
  assert.deepEqual(store.list("service"), []);
});

test("store, a name given up earlier in the transaction may be taken", async () => {
  const { store } = openTestStore();
  await store.write(() => [{ action: "create", kind: "service", object: service("1", "web") }]);
  await store.write((view) => [
    { action: "remove", kind: "service", object: view.get("service", "1") ?? service("1", "") },
    { action: "create", kind: "service", object: service("2", "web") },
  ]);
  assert.equal(store.byName("service", "web")?.id, "2");
});

test("store, two nodes never have one number", async () => {
  const { store } = openTestStore();
  const node = (id: string) => create(NodeSchema, { id, number: 7 });
  await store.write(() => [{ action: "create", kind: "node", object: node("a") }]);
  const write = store.write(() => [{ action: "create", kind: "node", object: node("b") }]);
  await assert.rejects(write, { code: "conflict" });
});

test("store, a write that was overtaken is built anew on what is there now", async () => {
  const { store } = openTestStore();
  await store.write(() => [{ action: "create", kind: "service", object: service("1", "0") }]);
  let builds = 0;
  const increment = () =>
    store.write((view) => {
      builds += 1;
      const before = view.get("service", "1") ?? service("1", "0");
      const name = String(Number(before.spec?.annotations?.name) + 1);
      const object = { ...service("1", name), meta: before.meta };
      return [{ action: "update", kind: "service", object }];
    });
  await Promise.all([increment(), increment(), increment()]);
  assert.equal(store.get("service", "1")?.spec?.annotations?.name, "3");
  assert.ok(builds > 3, "they did overtake each other");
});

test("store, watchers see each commit once, in order, with what was there before", async () => {
  const { store } = openTestStore();
  const commits: Commit[] = [];
  using _watch = store.watch((commit) => commits.push(commit));
  await store.write(() => [{ action: "create", kind: "service", object: service("1", "web") }]);
  await store.write((view) => [
    { action: "remove", kind: "service", object: view.get("service", "1") ?? service("1", "") },
  ]);
  assert.deepEqual(
    commits.map(({ index, changes }) => [
      index,
      changes.map(({ before, after }) => [before?.id, after?.id]),
    ]),
    [
      [1n, [[undefined, "1"]]],
      [2n, [["1", undefined]]],
    ],
  );
});

test("store, a snapshot is of the moment when it was asked for", async () => {
  const { store } = openTestStore();
  await store.write(() => [{ action: "create", kind: "service", object: service("1", "web") }]);
  const pieces = store.snapshot();
  await store.write(() => [{ action: "create", kind: "service", object: service("2", "db") }]);
  const restored = new Store({ clock: systemClock });
  await restored.restore(1n, pieces);
  assert.deepEqual(
    restored.list("service").map(({ id }) => id),
    ["1"],
  );
});

/** Few IDs, names and versions, so that clashes and stale updates are common. */
const anyAction = fc.record({
  kind: fc.constantFrom(
    StoreActionKind.CREATE,
    StoreActionKind.UPDATE,
    StoreActionKind.REMOVE,
    StoreActionKind.UNKNOWN,
  ),
  id: fc.constantFrom("1", "2", "3"),
  name: fc.constantFrom("a", "b", "c"),
  version: fc.integer({ min: 0, max: 6 }),
});

function entryOf(
  index: number,
  actions: readonly (typeof anyAction extends fc.Arbitrary<infer A> ? A : never)[],
): LogEntry {
  const transaction = create(StoreTransactionSchema, {
    actions: actions.map(({ kind, id, name, version }) =>
      create(StoreActionSchema, {
        kind,
        object: {
          object: {
            case: "service",
            value: create(ServiceSchema, {
              id,
              spec: { annotations: { name } },
              meta: { version: { index: BigInt(version) } },
            }),
          },
        },
      }),
    ),
    proposedAt: { seconds: BigInt(index) },
  });
  return { index: BigInt(index), data: toBinary(StoreTransactionSchema, transaction) };
}

test("store, the same entries lead to the same state; a rejected one changes nothing; names stay unique", async () => {
  const entries = fc.array(fc.array(anyAction, { minLength: 1, maxLength: 4 }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(entries, fc.nat(11), async (transactions, cut) => {
      const [one, other] = [new Store({ clock: systemClock }), new Store({ clock: systemClock })];
      let late: Store | undefined;
      let commits = 0;
      one.watch(() => (commits += 1));
      for (const [offset, actions] of transactions.entries()) {
        const entry = entryOf(offset + 1, actions);
        const before = snapshotOf(one);
        const commitsBefore = commits;
        const rejection = one.apply(entry);
        assert.deepEqual(other.apply(entry), rejection);
        late?.apply(entry);
        if (rejection !== undefined) assert.deepEqual(snapshotOf(one), before);
        assert.equal(commits, commitsBefore + (rejection === undefined ? 1 : 0));
        if (offset === cut) {
          late = new Store({ clock: systemClock });
          await late.restore(one.index, one.snapshot());
        }
        const services = one.list("service");
        const names = services.map(({ spec }) => spec?.annotations?.name ?? "");
        assert.equal(new Set(names).size, names.length);
        for (const { id, spec } of services) {
          assert.equal(one.byName("service", spec?.annotations?.name ?? "")?.id, id);
        }
      }
      assert.deepEqual(snapshotOf(other), snapshotOf(one));
      if (late !== undefined) assert.deepEqual(snapshotOf(late), snapshotOf(one));
    }),
    { numRuns: 300 },
  );
});

test("store, a node number that was given away meanwhile is chosen again", async () => {
  const { store } = openTestStore();
  const join = (id: string) =>
    store.write((view) => [
      {
        action: "create",
        kind: "node",
        object: create(NodeSchema, { id, number: view.list("node").length + 1 }),
      },
    ]);
  await Promise.all([join("1"), join("2")]);
  assert.deepEqual(
    store.list("node").map(({ number }) => number),
    [1, 2],
  );
});

test("store, whoever watches is told what a restored state changes, and nothing else", async () => {
  const ahead = openTestStore();
  const behind = new Store({ clock: systemClock });
  const write = (action: "create" | "update" | "remove", object: ReturnType<typeof service>) =>
    ahead.store.write(() => [{ action, kind: "service", object }]);
  const stored = (id: string) => {
    const found = ahead.store.get("service", id);
    assert.ok(found);
    return found;
  };
  for (const name of ["kept", "changed", "removed"]) await write("create", service(name, name));
  await behind.restore(ahead.store.index, ahead.store.snapshot());
  await write("update", { ...stored("changed") });
  await write("remove", stored("removed"));
  await write("create", service("made", "made"));
  const told: string[] = [];
  using _watch = behind.watch(({ index, changes }) => {
    assert.equal(index, ahead.store.index);
    for (const { before, after } of changes) told.push(`${before?.id} → ${after?.id}`);
  });
  await behind.restore(ahead.store.index, ahead.store.snapshot());
  assert.deepEqual(told.sort(), ["changed → changed", "removed → undefined", "undefined → made"]);
});

test("store, the present state stays until the whole of another is read, and where that cannot be", async () => {
  const { store } = openTestStore();
  await store.write(() => [{ action: "create", kind: "service", object: service("1", "web") }]);
  const { store: other } = openTestStore();
  await other.write(() => [{ action: "create", kind: "service", object: service("2", "db") }]);
  const before = snapshotOf(store);
  let told = 0;
  using _watch = store.watch(() => (told += 1));
  async function* pieces(last: readonly Uint8Array[]) {
    yield* other.snapshot();
    assert.deepEqual(snapshotOf(store), before);
    yield* last;
  }
  await assert.rejects(store.restore(7n, pieces([Uint8Array.of(255)])));
  assert.deepEqual([snapshotOf(store), store.index, told], [before, 1n, 0]);
  await store.restore(7n, pieces([]));
  assert.deepEqual([snapshotOf(store), store.index, told], [snapshotOf(other), 7n, 1]);
});

test("store, a plan too large for one transaction is written in parts", async () => {
  const { store, log } = openTestStore();
  const wanted = Array.from({ length: 1_000 }, (_, index) => `web${index}`);
  let plans = 0;
  await store.writeInParts((view) => {
    plans += 1;
    return wanted
      .filter((id) => view.get("service", id) === undefined)
      .map((id) => ({
        action: "create",
        kind: "service",
        object: create(ServiceSchema, {
          id,
          spec: { annotations: { name: id, labels: { text: "x".repeat(10_000) } } },
        }),
      }));
  });
  assert.equal(store.list("service").length, 1_000);
  assert.deepEqual([plans, log.length], [3, 3]);
});
