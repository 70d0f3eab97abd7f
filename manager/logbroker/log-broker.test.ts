import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type SubscribeLogsRequestSchema,
  SubscribeLogsRequestSchema as RequestSchema,
} from "#proto/gen/swarm/v1/control_pb.ts";
import {
  LogBrokerService,
  type PublishLogsRequestSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { addService, Connection } from "#proto/grpc.ts";
import { silentLog, systemRandom } from "#proto/system-ports.ts";
import { TestServer } from "#proto/testing/test-server.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { until } from "#proto/testing/until.ts";
import { openTestStore, testNode, testService, testTask } from "../testing/fixtures.ts";
import { LogBroker } from "./log-broker.ts";
import { logBrokerHandlers } from "./log-broker-service.ts";

type Publish = MessageInitShape<typeof PublishLogsRequestSchema>;

const taskOn = (nodeId: string, id: string, state: TaskState = TaskState.RUNNING) =>
  testTask(id, { nodeId, status: { state } });

/** A broker behind a real server; `web` has a task on each of two nodes. */
async function open() {
  const scope = new AsyncDisposableStack();
  const clock = new FakeClock();
  const { store, put, remove } = openTestStore(clock);
  await put("node", testNode(1), testNode(2));
  await put("service", testService());
  await put("task", taskOn("node1", "t1"), taskOn("node2", "t2"));
  const broker = scope.use(
    new LogBroker(
      { nodeId: "manager1", answerMs: 1000 },
      { store, clock, random: systemRandom, log: silentLog, manager: () => assert.fail() },
    ),
  );
  const server = scope.use(await TestServer.onPort());
  const called = Promise.withResolvers<void>();
  const authenticate = ({ metadata }: { metadata: ReadonlyMap<string, string> }) => {
    const node = store.get("node", metadata.get("swarm-node-id") ?? "");
    assert.ok(node);
    called.resolve();
    return node;
  };
  addService(server.grpc, LogBrokerService, logBrokerHandlers({ logBroker: broker, authenticate }));
  const connect = (nodeId: string) =>
    scope
      .use(new Connection(server.address, { metadata: { "swarm-node-id": nodeId } }))
      .service(LogBrokerService);
  const { promise: firstCall } = called;
  return {
    store,
    put,
    remove,
    clock,
    broker,
    connect,
    firstCall,
    [Symbol.asyncDispose]: () => scope.disposeAsync(),
  };
}

type Ground = Awaited<ReturnType<typeof open>>;

/** A reader: its lines and warnings so far, and the end of its stream. */
function read({ broker }: Ground, init: MessageInitShape<typeof SubscribeLogsRequestSchema>) {
  const controller = new AbortController();
  const lines: string[] = [];
  const warnings: string[] = [];
  let wake = () => {};
  const run = async () => {
    for await (const response of broker.subscribe(create(RequestSchema, init), controller.signal)) {
      for (const { nodeId, taskId, data } of response.messages) {
        lines.push(`${nodeId} ${taskId} ${Buffer.from(data).toString()}`);
      }
      warnings.push(...response.warnings);
      wake();
    }
  };
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise<void>((resolve) => (wake = resolve));
  };
  return { lines, warnings, until, end: run(), stop: () => controller.abort() };
}

function onlySubscription({ broker }: Ground, nodeId: string) {
  const [subscription, ...more] = broker.subscriptionsFor(nodeId);
  assert.ok(subscription);
  assert.deepEqual(more, []);
  return subscription;
}

const line = (taskId: string, text: string) => ({ taskId, data: Buffer.from(text) });

async function* of(...requests: readonly Publish[]) {
  yield* requests;
}

test("logs, every node with a task is asked, and the lines of all are merged", async () => {
  await using ground = await open();
  const reader = read(ground, { serviceRef: "web", options: { tail: 5n } });
  for (const [nodeId, taskId] of [
    ["node1", "t1"],
    ["node2", "t2"],
  ] as const) {
    const { id, taskIds, options } = onlySubscription(ground, nodeId);
    assert.deepEqual([taskIds, options?.tail], [[taskId], 5n]);
    const messages = [line(taskId, "a"), line(taskId, "b")];
    await ground
      .connect(nodeId)
      .publishLogs(of({ subscriptionId: id, messages }, { subscriptionId: id, close: true }));
    assert.deepEqual(ground.broker.subscriptionsFor(nodeId), []);
  }
  await reader.end;
  assert.deepEqual(reader.lines, ["node1 t1 a", "node1 t1 b", "node2 t2 a", "node2 t2 b"]);
  assert.deepEqual(reader.warnings, []);
});

test("logs, a node that is down, fails, or does not answer in time is a warning, not a wait", async () => {
  await using ground = await open();
  await ground.put("node", testNode(1, { status: { state: NodeState.DOWN } }), testNode(3));
  await ground.put("task", taskOn("node3", "t3"));
  const reader = read(ground, { serviceRef: "web" });
  const { id } = onlySubscription(ground, "node2");
  await ground
    .connect("node2")
    .publishLogs(of({ subscriptionId: id, close: true, err: "lost it" }));
  ground.clock.advance(1000);
  await reader.end;
  assert.deepEqual(reader.warnings, [
    'incomplete log stream: node "h1" is down',
    'incomplete log stream: node "h2" lost it',
    'incomplete log stream: node "h3" did not answer within 1 s',
  ]);
});

test("logs, a node that goes down while it sends is a warning", async () => {
  await using ground = await open();
  const reader = read(ground, { taskRef: "t1" });
  await ground.put("node", testNode(1, { status: { state: NodeState.DOWN } }));
  await reader.end;
  assert.deepEqual(reader.warnings, ['incomplete log stream: node "h1" is down']);
});

test("logs, followed they wait for a node that is down, and go on behind the last line when it is back", async () => {
  await using ground = await open();
  const reader = read(ground, { taskRef: "t1", options: { follow: true } });
  const { id } = onlySubscription(ground, "node1");
  const at = (seconds: number, text: string) => ({
    ...line("t1", text),
    timestamp: { seconds: BigInt(seconds), nanos: 0 },
  });
  const silent = new AbortController();
  const older = ground.connect("node1").publishLogs(
    (async function* () {
      yield { subscriptionId: id, messages: [at(1, "a"), at(2, "b")] };
      await new Promise(() => {});
    })(),
    silent,
  );
  await reader.until(() => reader.lines.length === 2);
  await ground.put("node", testNode(1, { status: { state: NodeState.DOWN } }));
  assert.deepEqual(ground.broker.subscriptionsFor("node1"), []);
  ground.clock.advance(60_000);
  await reader.until(() => reader.warnings.length === 1);
  await ground.put("node", testNode(1, { sessionId: "newer" }));
  const again = onlySubscription(ground, "node1");
  const messages = [at(2, "b"), at(3, "c")];
  await ground
    .connect("node1")
    .publishLogs(of({ subscriptionId: again.id, messages, close: true }));
  await reader.end;
  assert.deepEqual(
    reader.lines,
    ["a", "b", "c"].map((text) => `node1 t1 ${text}`),
  );
  assert.deepEqual(reader.warnings, [
    'incomplete log stream: node "h1" is down: its lines follow when it is back',
  ]);
  silent.abort();
  await assert.rejects(older);
});

test("logs, a call that breaks off is a warning", async () => {
  await using ground = await open();
  const reader = read(ground, { taskRef: "t1" });
  const { id } = onlySubscription(ground, "node1");
  const controller = new AbortController();
  const call = ground.connect("node1").publishLogs(
    (async function* () {
      yield { subscriptionId: id, messages: [line("t1", "a")] };
      await new Promise(() => {});
    })(),
    { signal: controller.signal },
  );
  await reader.until(() => reader.lines.length === 1);
  controller.abort();
  await assert.rejects(call, { code: "canceled" });
  await until(() => ground.broker.subscriptionsFor("node1").length === 0);
  // It is asked once more, in vain.
  ground.clock.advance(500);
  assert.notEqual(onlySubscription(ground, "node1").id, id);
  ground.clock.advance(500);
  await reader.end;
  assert.deepEqual(reader.warnings, ['incomplete log stream: node "h1" stopped sending']);
});

test("logs, of a node with a new session what has not come yet is asked for, and nothing twice", async () => {
  await using ground = await open();
  const reader = read(ground, { taskRef: "t1", options: { tail: 9n } });
  const { id } = onlySubscription(ground, "node1");
  const at = (seconds: number, text: string) => ({
    ...line("t1", text),
    timestamp: { seconds: BigInt(seconds), nanos: 0 },
  });
  const silent = new AbortController();
  const older = ground.connect("node1").publishLogs(
    (async function* () {
      yield { subscriptionId: id, messages: [at(1, "a"), at(2, "b"), at(2, "c")] };
      await new Promise(() => {});
    })(),
    silent,
  );
  await reader.until(() => reader.lines.length === 3);
  await ground.put("node", testNode(1, { sessionId: "newer" }));
  const again = onlySubscription(ground, "node1");
  assert.notEqual(again.id, id);
  assert.deepEqual([again.options?.since?.seconds, again.options?.tail], [2n, undefined]);
  const messages = [at(2, "b"), at(2, "c"), at(2, "d"), at(3, "e")];
  await ground
    .connect("node1")
    .publishLogs(of({ subscriptionId: again.id, messages, close: true }));
  await reader.end;
  assert.deepEqual(
    reader.lines,
    ["a", "b", "c", "d", "e"].map((text) => `node1 t1 ${text}`),
  );
  assert.deepEqual(reader.warnings, []);
  silent.abort();
  await assert.rejects(older);
});

test("logs, a node that begins anew before its old call is known to be dead is asked anew", async () => {
  await using ground = await open();
  const reader = read(ground, { taskRef: "t1" });
  const { id } = onlySubscription(ground, "node1");
  const silent = new AbortController();
  const older = ground.connect("node1").publishLogs(
    (async function* () {
      yield { subscriptionId: id, messages: [line("t1", "a")] };
      await new Promise(() => {});
    })(),
    silent,
  );
  await reader.until(() => reader.lines.length === 1);
  const newer = of({ subscriptionId: id, messages: [line("t1", "a")], close: true });
  await assert.rejects(ground.connect("node1").publishLogs(newer), { code: "not-found" });
  ground.clock.advance(500);
  const again = onlySubscription(ground, "node1");
  const messages = [line("t1", "a"), line("t1", "b")];
  await ground
    .connect("node1")
    .publishLogs(of({ subscriptionId: again.id, messages, close: true }));
  await reader.end;
  assert.deepEqual(reader.lines, ["node1 t1 a", "node1 t1 b"]);
  silent.abort();
  await assert.rejects(older);
});

test("logs, followed they include tasks that come later", async () => {
  await using ground = await open();
  const reader = read(ground, { serviceRef: "web", options: { follow: true } });
  let changes = 0;
  using _watch = ground.broker.watchSubscriptions("node2", () => (changes += 1));
  await ground.put("task", testTask("t9"));
  assert.equal(changes, 0, "a task without a node has no log");
  await ground.put("task", taskOn("node2", "t9", TaskState.ASSIGNED));
  assert.equal(changes, 0, "the wish must not reach the node before the task does");
  await ground.put("task", taskOn("node2", "t9", TaskState.ACCEPTED));
  assert.equal(changes, 1);
  const [, later] = ground.broker.subscriptionsFor("node2");
  assert.deepEqual(later?.taskIds, ["t9"]);
  await ground
    .connect("node2")
    .publishLogs(of({ subscriptionId: later.id, messages: [line("t9", "a")], close: true }));
  await reader.until(() => reader.lines.length === 1);
  assert.deepEqual(reader.lines, ["node2 t9 a"]);
  reader.stop();
  await reader.end;
  assert.deepEqual(ground.broker.subscriptionsFor("node1"), []);
});

test("logs, who follows a task waits until its node has it, and not when it never will", async () => {
  await using ground = await open();
  const unplaced = testTask("t9");
  await ground.put("task", taskOn("node1", "t8", TaskState.ASSIGNED), unplaced);
  const early = read(ground, { taskRef: "t8", options: { follow: true } });
  const never = read(ground, { taskRef: "t9", options: { follow: true } });
  assert.deepEqual(ground.broker.subscriptionsFor("node1"), []);
  await ground.put("task", taskOn("node1", "t8", TaskState.PREPARING));
  const { id } = onlySubscription(ground, "node1");
  const messages = [line("t8", "a")];
  await ground.connect("node1").publishLogs(of({ subscriptionId: id, messages, close: true }));
  await early.end;
  assert.deepEqual(early.lines, ["node1 t8 a"]);
  await ground.remove("task", unplaced);
  await never.end;
  assert.deepEqual(never.warnings, []);
});

test("logs, a call that has nothing to send yet is an answer", async () => {
  await using ground = await open();
  const reader = read(ground, { taskRef: "t1", options: { follow: true } });
  const { id } = onlySubscription(ground, "node1");
  const gate = Promise.withResolvers<void>();
  const call = ground.connect("node1").publishLogs(
    (async function* () {
      await gate.promise;
      yield { subscriptionId: id, messages: [], close: true };
    })(),
  );
  await ground.firstCall;
  ground.clock.advance(60_000);
  gate.resolve();
  await call;
  await reader.end;
  assert.deepEqual(reader.warnings, []);
});

test("logs, a node may send only what it was asked for", async () => {
  await using ground = await open();
  const reader = read(ground, { serviceRef: "web", options: { follow: true } });
  const { id } = onlySubscription(ground, "node1");
  const denied = { code: "permission-denied" };
  const send = (nodeId: string, request: Publish) =>
    ground.connect(nodeId).publishLogs(of(request));
  await assert.rejects(send("node1", { subscriptionId: "x" }), { code: "not-found" });
  await assert.rejects(send("node1", { subscriptionId: id, messages: [line("t2", "a")] }), denied);
  reader.stop();
  await reader.end;
  assert.deepEqual(reader.lines, []);
});

test("logs, a node cannot answer for another", async () => {
  await using ground = await open();
  const reader = read(ground, { taskRef: "t1" });
  const { id } = onlySubscription(ground, "node1");
  const call = ground.connect("node2").publishLogs(of({ subscriptionId: id, close: true }));
  await assert.rejects(call, { code: "permission-denied" });
  assert.equal(ground.broker.subscriptionsFor("node1").length, 1);
  reader.stop();
  await reader.end;
});

test("logs, who sends waits for a reader that is behind, and stops when it goes away", async () => {
  await using ground = await open();
  const subscription = ground.broker.subscribe(
    create(RequestSchema, { taskRef: "t1" }),
    new AbortController().signal,
  );
  const reader = subscription[Symbol.asyncIterator]();
  const first = reader.next();
  const { id } = onlySubscription(ground, "node1");
  let sent = 0;
  const call = ground.connect("node1").publishLogs(
    (async function* () {
      for (; sent < 1000; sent++) {
        yield { subscriptionId: id, messages: [line("t1", "x".repeat(64 * 1024))] };
      }
    })(),
  );
  assert.equal((await first).value.messages.length, 1);
  await reader.return?.();
  await assert.rejects(call, { code: "not-found", message: "nobody reads this log any more" });
  assert.ok(sent < 1000, `${sent} messages were taken for nobody`);
});

test("logs, an unknown service is not found; both or neither reference is refused", async () => {
  await using ground = await open();
  await assert.rejects(read(ground, { serviceRef: "none" }).end, { code: "not-found" });
  await assert.rejects(read(ground, {}).end, { code: "invalid-argument" });
  await assert.rejects(read(ground, { serviceRef: "web", taskRef: "t1" }).end, {
    code: "invalid-argument",
  });
});
