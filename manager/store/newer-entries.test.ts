import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type DescMessage, type Message, toBinary } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import {
  ServiceSchema,
  type StoreAction,
  StoreActionKind,
  StoreActionSchema,
  StoreObjectSchema,
  StoreTransactionSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import {
  openTestStore,
  testCluster,
  testNetwork,
  testNode,
  testService,
  testTask,
} from "../testing/fixtures.ts";
import { countNewFields, withNewFields } from "../testing/newer.ts";
import { type Action, type Kind, nouns } from "./objects.ts";
import { Store } from "./store.ts";

/** One of a kind, with what others write into it and the store does not make anew. */
const objects = [
  { kind: "cluster", object: testCluster() },
  { kind: "node", object: testNode(1, { managerStatus: { address: "h1:2377" } }) },
  {
    kind: "service",
    object: testService({
      task: { networks: [{ target: "net" }], placement: { constraints: ["a==b"] } },
    }),
  },
  {
    kind: "task",
    object: { ...testTask("t1", { networks: [{ addresses: ["10.0.0.2/24"] }] }), meta: undefined },
  },
  { kind: "network", object: testNetwork("net", "10.0.0.0/24") },
] as const;

function counted(
  schema: DescMessage,
  object: Message & { meta?: unknown },
): { readonly having: number; readonly all: number } {
  return countNewFields(schema, { ...object, meta: undefined } as Message);
}

for (const { kind, object } of objects) {
  const { schema } = nouns[kind as Kind];
  test(`fields of a newer version stay in a ${kind} that is written, written again, and comes out of a snapshot`, async () => {
    const before = openTestStore();
    const newer = withNewFields(schema, object as Message) as never;
    await before.put(kind, newer);
    const wanted = counted(schema, newer);
    assert.equal(wanted.having, wanted.all);
    // As all parts of a manager write: what they do not change they hand on.
    await before.store.write((view) => {
      const known = view.get(kind, object.id);
      return known === undefined
        ? []
        : [{ action: "update", kind, object: { ...known } } as Action];
    });
    const after = new Store({ clock: systemClock });
    await after.restore(before.store.index, [...before.store.snapshot()]);
    for (const store of [before.store, after]) {
      const stored = store.get(kind, object.id);
      assert.ok(stored);
      assert.deepEqual(counted(schema, stored), wanted);
    }
  });
}

/** The first field that no version has so far, as a message: a noun that is new. */
const newNoun = { no: 500, wireType: WireType.LengthDelimited, data: Uint8Array.of(2, 10, 0) };

function applied(...actions: readonly StoreAction[]): () => unknown {
  const store = new Store({ clock: systemClock });
  const data = toBinary(
    StoreTransactionSchema,
    create(StoreTransactionSchema, { actions: [...actions] }),
  );
  return () => store.apply({ index: 7n, data });
}

test("an entry with a noun or an action of a newer version is not left out: it ends the manager, which says so", () => {
  const object = create(StoreObjectSchema, {
    object: { case: "service", value: create(ServiceSchema, { id: "1" }) },
  });
  const plain = create(StoreActionSchema, { kind: StoreActionKind.CREATE, object });
  assert.equal(applied(plain)(), undefined);
  const otherAction = create(StoreActionSchema, { kind: 9 as StoreActionKind, object });
  const noun = create(StoreObjectSchema);
  noun.$unknown = [newNoun];
  const otherNoun = create(StoreActionSchema, { kind: StoreActionKind.CREATE, object: noun });
  const fault = {
    code: "failed-precondition",
    message: /^entry 7 of the log is of a newer version than this manager/,
  };
  assert.throws(applied(plain, otherAction), fault);
  assert.throws(applied(plain, otherNoun), fault);
});

test("a snapshot with a noun of a newer version is refused", async () => {
  const store = new Store({ clock: systemClock });
  const noun = create(StoreObjectSchema);
  noun.$unknown = [newNoun];
  await assert.rejects(store.restore(7n, [toBinary(StoreObjectSchema, noun)]), {
    code: "failed-precondition",
  });
});
