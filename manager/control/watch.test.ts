import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import {
  ListServicesRequestSchema,
  ListTasksRequestSchema,
  type WatchResponse,
  WatchRequestSchema,
} from "#proto/gen/swarm/v1/control_pb.ts";
import {
  ConfigSchema,
  SecretSchema,
  ServiceSchema,
  StoreActionKind,
  TaskSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import { msFromTimestamp, timestampFromMs } from "#proto/time.ts";
import { testNode } from "../testing/fixtures.ts";
import type { Change } from "../store/objects.ts";
import { keyOf, type Present, RecentChanges, undo } from "./recent-changes.ts";
import { openControl } from "./testing/control-ground.ts";

const words = new Map<number, string>(
  Object.entries(StoreActionKind).map(([word, kind]) => [kind, word]),
);

test("watch, of secrets and configs the data stays here", async () => {
  const { api, context, put, controller } = openControl();
  const annotations = { name: "key" };
  const data = Buffer.from("SECRET");
  await put("secret", create(SecretSchema, { id: "s1", spec: { annotations, data } }));
  const request = create(WatchRequestSchema, { kinds: ["secret", "config"] });
  const watch = api.watch(request, context)[Symbol.asyncIterator]();
  const texts: string[] = [];
  const take = async () => {
    const { value } = (await watch.next()) as { value: WatchResponse };
    texts.push(JSON.stringify(value, (_, one: unknown) => (typeof one === "bigint" ? 0 : one)));
    for (const { action } of value.events) {
      const object = action?.object?.object;
      assert.ok(object?.case === "secret" || object?.case === "config");
      assert.equal(object.value.spec?.data.length, 0);
      assert.equal(object.value.spec.annotations?.name, "key");
    }
  };
  await take();
  await put("config", create(ConfigSchema, { id: "c1", spec: { annotations, data } }));
  await take();
  assert.equal(texts.length, 2);
  controller.abort();
});

test("watch, while a large state is told others have their turn", async () => {
  const { api, context, put, controller } = openControl();
  await put("node", ...Array.from({ length: 1_500 }, (_, index) => testNode(index + 1)));
  const request = create(WatchRequestSchema, { kinds: ["node"] });
  const watch = api.watch(request, context)[Symbol.asyncIterator]();
  const next = async () => ((await watch.next()) as { value: WatchResponse }).value;
  const first = await next();
  assert.deepEqual([first.events.length, first.version], [1_000, undefined]);
  let hadTurn = false;
  using _other = systemClock.timer(0, () => (hadTurn = true));
  const last = await next();
  assert.deepEqual([last.events.length, last.version !== undefined], [500, true]);
  assert.ok(hadTurn);
  controller.abort();
});

test("watch, of services that are named nothing is told of others, nor of their tasks", async () => {
  const { api, context, put, remove, controller } = openControl();
  const service = (id: string) =>
    create(ServiceSchema, { id, spec: { annotations: { name: id } } });
  const task = (id: string, serviceId: string) => create(TaskSchema, { id, serviceId });
  await put("node", testNode(1));
  await put("service", service("a"), service("b"));
  await put("task", task("a1", "a"), task("b1", "b"));
  const told = async (request: MessageInitShape<typeof WatchRequestSchema>) => {
    const watch = api.watch(create(WatchRequestSchema, request), context)[Symbol.asyncIterator]();
    return async () => {
      const { events } = ((await watch.next()) as { value: WatchResponse }).value;
      return events.map(({ action }) => action?.object?.object.value?.id);
    };
  };
  const ofService = await told({ kinds: ["node", "service", "task"], serviceIds: ["a"] });
  const ofTask = await told({ kinds: ["task"], taskIds: ["b1"] });
  assert.deepEqual(await ofService(), ["a", "node1", "a1"]);
  assert.deepEqual(await ofTask(), ["b1"]);
  const news = [ofService(), ofTask()];
  await put("task", task("b2", "b"));
  await put("service", service("b"));
  await put("task", task("a2", "a"));
  await remove("task", task("b1", "b"));
  assert.deepEqual(await Promise.all(news), [["a2"], ["b1"]]);
  controller.abort();
});

test("lists, services by the beginnings of their names and tasks of services that are gone", async () => {
  const { api, context, put } = openControl();
  const service = (id: string, name: string) =>
    create(ServiceSchema, { id, spec: { annotations: { name } } });
  await put("service", service("a1", "web"), service("a2", "web-2"), service("b1", "db"));
  await put("task", create(TaskSchema, { id: "t", serviceId: "gone" }));
  const names = async (request: MessageInitShape<typeof ListServicesRequestSchema>) => {
    const found = await api.listServices(create(ListServicesRequestSchema, request), context);
    return found.services?.map(({ spec }) => spec?.annotations?.name).toSorted();
  };
  assert.deepEqual(await names({ namePrefixes: ["we"] }), ["web", "web-2"]);
  assert.deepEqual(await names({ namePrefixes: ["web-", "d"] }), ["db", "web-2"]);
  assert.deepEqual(await names({ namePrefixes: ["web"], idPrefixes: ["a2"] }), ["web-2"]);
  const tasks = async (serviceIds: string[]) =>
    (await api.listTasks(create(ListTasksRequestSchema, { serviceIds }), context)).tasks?.length;
  assert.deepEqual([await tasks(["gone"]), await tasks(["a1"]), await tasks([])], [1, 0, 1]);
});

test("watch, since a time ago it begins with the state of then and goes on with what came after", async () => {
  const { api, context, put, remove, controller } = openControl();
  await put("node", testNode(1));
  const since = timestampFromMs(systemClock.now() - 60_000);
  await put("node", testNode(2));
  await remove("node", testNode(1));
  const request = create(WatchRequestSchema, { kinds: ["node"], since });
  const watch = api.watch(request, context)[Symbol.asyncIterator]();
  const next = async () => ((await watch.next()) as { value: WatchResponse }).value;
  const first = await next();
  // This manager is not as old as what was asked for, and says so: all of its life is told.
  assert.deepEqual(first.events, []);
  assert.ok(msFromTimestamp(first.rememberedSince) > msFromTimestamp(since));
  const told: string[] = [];
  for (let count = 0; count < 3; count += 1) {
    const { events, committedAt } = await next();
    assert.ok(committedAt !== undefined);
    for (const { action } of events) {
      told.push(`${words.get(action?.kind ?? 0)} ${action?.object?.object.value?.id}`);
    }
  }
  assert.deepEqual(told, ["CREATE node1", "CREATE node2", "REMOVE node1"]);
  assert.deepEqual((await next()).events, [], "the end of the past");
  const live = next();
  await put("node", testNode(3));
  assert.equal((await live).events[0]?.action?.object?.object.value?.id, "node3");
  controller.abort();
});

test("recent changes, undone they give what there was, however objects came and went", () => {
  const ids = ["node1", "node2", "node3"];
  const step = fc.record({ id: fc.constantFrom(...ids), present: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.nat(30), (steps, from) => {
      const state = new Map<string, Present>();
      let now = 0;
      const recent = new RecentChanges({ ...systemClock, now: () => now });
      let expected = new Map(state);
      for (const [index, { id, present }] of steps.entries()) {
        if (index === from) expected = new Map(state);
        now = index;
        const before = state.get(keyOf("node", id))?.object;
        const after = present ? testNode(Number(id.slice(-1))) : undefined;
        if (before === undefined && after === undefined) continue;
        if (after === undefined) state.delete(keyOf("node", id));
        else state.set(keyOf("node", id), { kind: "node", object: after });
        recent.push({ index: BigInt(index), changes: [{ kind: "node", before, after } as Change] });
      }
      if (from >= steps.length) expected = new Map(state);
      const { commits } = recent.since(from - 1);
      assert.deepEqual(undo(state, commits), expected);
    }),
  );
});

test("recent changes, the oldest are forgotten, and it is said from when on they are complete", () => {
  let now = 1_000;
  const recent = new RecentChanges({ ...systemClock, now: () => now });
  const change: Change = { kind: "node", before: undefined, after: testNode(1) };
  for (let index = 0; index < 3; index += 1) {
    now += 1_000;
    recent.push({ index: BigInt(index), changes: Array.from({ length: 900 }, () => change) });
  }
  const { commits, fromMs } = recent.since(0);
  assert.deepEqual([commits.length, fromMs], [2, 2_000]);
  assert.deepEqual(recent.since(3_500).fromMs, 3_500);
});

test("recent changes, of files no data are kept", () => {
  const recent = new RecentChanges(systemClock);
  const spec = { annotations: { name: "key" }, data: Buffer.from("SECRET") };
  const before = create(SecretSchema, { id: "s1", spec });
  recent.push({ index: 1n, changes: [{ kind: "secret", before, after: undefined }] });
  const [change] = recent.since(0).commits.flatMap(({ changes }) => changes);
  assert.ok(change?.kind === "secret");
  assert.deepEqual([change.before?.spec?.data.length, change.after], [0, undefined]);
  assert.equal(before.spec?.data.length, 6);
});
