import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import {
  AssignmentsResponse_Type as Type,
  type AssignmentsResponse,
  AssignmentsResponseSchema,
  LogSubscriptionSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import { openTestStore, testTask, testTaskSpec } from "../testing/fixtures.ts";
import { noLogs } from "../testing/test-manager.ts";
import { AssignmentIndex } from "./assignment-index.ts";
import { type LogSubscriptions, streamAssignments } from "./assignment-stream.ts";

const kib = 1024;
/** What a message is cut at, and the largest task that may reach it. */
const sizeBytesMax = (4096 + 513) * kib;

function taskOf(number: number, sizeKib: number): Task {
  const env = [`A=${"x".repeat(sizeKib * kib)}`];
  return testTask(`task${number}`, {
    nodeId: "node1",
    spec: testTaskSpec({ runtime: { case: "container", value: { image: "busybox", env } } }),
    status: { state: TaskState.ASSIGNED },
  });
}

async function openStream(logSubscriptions: LogSubscriptions = noLogs) {
  const { store, put } = openTestStore();
  const index = new AssignmentIndex(store);
  store.watch(({ changes }) => {
    for (const change of changes) index.onChange(change);
  });
  const signal = new AbortController().signal;
  const modules = { index, clock: systemClock, logSubscriptions };
  const open = () => streamAssignments("node1", modules, signal)[Symbol.asyncIterator]();
  return { put, open };
}

async function take(stream: AsyncIterator<AssignmentsResponse>): Promise<AssignmentsResponse> {
  const next = await stream.next();
  assert.ok(next.done !== true);
  // As it arrives: on its way out its changes are bytes.
  return fromBinary(AssignmentsResponseSchema, toBinary(AssignmentsResponseSchema, next.value));
}

const taskIds = (messages: readonly AssignmentsResponse[]) =>
  messages.flatMap(({ changes }) =>
    changes.map(({ assignment }) => assignment?.item.case === "task" && assignment.item.value.id),
  );

function checkMessages(messages: readonly AssignmentsResponse[], tasks: readonly Task[]): void {
  assert.deepEqual(
    taskIds(messages),
    tasks.map(({ id }) => id),
  );
  for (const message of messages) {
    assert.ok(toBinary(AssignmentsResponseSchema, message).length < sizeBytesMax);
  }
  const chain = messages.slice(1).map(({ appliesTo }) => appliesTo);
  assert.deepEqual(
    chain,
    messages.slice(0, -1).map(({ resultsIn }) => resultsIn),
  );
}

test("assignments, however large, are cut into messages that can be sent", async () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 512 }), { maxLength: 40 });
  const property = fc.asyncProperty(sizes, async (sizesKib) => {
    const { put, open } = await openStream();
    const tasks = sizesKib.map((sizeKib, number) => taskOf(number, sizeKib));
    await put("task", ...tasks);
    const stream = open();
    const complete = [await take(stream)];
    while (complete.at(-1)?.more) complete.push(await take(stream));
    assert.equal(complete[0]?.appliesTo, "");
    assert.ok(complete.every(({ type }) => type === Type.COMPLETE));
    checkMessages(complete, tasks);

    const stopped = tasks.map((task) => ({ ...task, desiredState: TaskState.SHUTDOWN }));
    await put("task", ...stopped);
    const news: AssignmentsResponse[] = [];
    while (taskIds(news).length < tasks.length) news.push(await take(stream));
    assert.ok(news.every(({ type, more }) => type === Type.INCREMENTAL && !more));
    checkMessages(news, tasks);
    await stream.return?.();
  });
  await fc.assert(property, { numRuns: 8 });
});

test("assignments, that are many come in messages that hold nobody up for long", async () => {
  const { put, open } = await openStream();
  const tasks = Array.from({ length: 2_500 }, (_, number) => taskOf(number, 0));
  await put("task", ...tasks);
  const stream = open();
  const complete = [await take(stream)];
  while (complete.at(-1)?.more) complete.push(await take(stream));
  assert.deepEqual(
    complete.map(({ changes }) => changes.length),
    [1_000, 1_000, 500],
  );
  await stream.return?.();
});

test("assignments, who falls too far behind while messages wait for it starts anew", async () => {
  let ids: readonly string[] = [];
  let listener = () => {};
  const logSubscriptions = {
    subscriptionsFor: () => ids.map((id) => create(LogSubscriptionSchema, { id })),
    watchSubscriptions: (_: string, one: () => void) => {
      listener = one;
      return { [Symbol.dispose]: () => {} };
    },
  };
  const { put, open } = await openStream(logSubscriptions);
  const stream = open();
  await take(stream);
  await put("task", taskOf(1, 0));
  await take(stream);
  ids = Array.from({ length: 100_001 }, (_, number) => `wish${number}`);
  listener();
  await assert.rejects(stream.next(), { message: /more than 100000 changes behind/ });
});
