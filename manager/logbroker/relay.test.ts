import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { SubscribeLogsRequestSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { LogBrokerService } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { Connection } from "#proto/grpc.ts";
import { until } from "#proto/testing/until.ts";
import { testNode, testService, testTask } from "../testing/fixtures.ts";
import { TestAgent } from "../testing/test-agent.ts";
import { startTestManagers, type TestManager } from "../testing/test-manager.ts";

/** A task on each of two nodes, and a reader's manager that holds neither session. */
async function openGroup() {
  const { group, managers } = await startTestManagers(3);
  const [one, two, three] = managers;
  assert.ok(one && two && three);
  const scope = new AsyncDisposableStack();
  for (const manager of managers) scope.use(manager);
  await one.put("node", testNode(1, { status: {} }), testNode(2, { status: {} }));
  const task = { status: { state: TaskState.RUNNING } };
  await one.put("task", testTask("t1", { nodeId: "node1", ...task }));
  await one.put("task", testTask("t2", { nodeId: "node2", ...task }));
  await one.put("service", testService({ replicas: 2 }));
  await Promise.all(managers.map(({ log }) => log.barrier()));
  return { group, one, two, three, [Symbol.asyncDispose]: () => scope.disposeAsync() };
}

/** A node that answers wishes for the log of its task, which holds the lines 0, 1, … . */
class LoggingNode implements Disposable {
  readonly #agent: TestAgent;
  readonly #connection: Connection;
  readonly #stop = new AbortController();
  readonly #taskId: string;
  readonly #lines: () => number;

  constructor(manager: TestManager, number: number, lines: () => number) {
    const nodeId = `node${number}`;
    this.#agent = new TestAgent({ nodeId, address: manager.address, heartbeatMs: 0 });
    this.#connection = new Connection(manager.address, { metadata: { "swarm-node-id": nodeId } });
    this.#taskId = `t${number}`;
    this.#lines = lines;
  }

  async connect(): Promise<void> {
    await this.#agent.connect();
  }

  /** Answers the one wish that there is: what is there, and then, where it is followed, nothing more for now. */
  async answer(): Promise<void> {
    const wishes = () =>
      [...this.#agent.items.values()].flatMap((item) =>
        item.case === "logSubscription" ? item.value : [],
      );
    await this.#agent.until(() => wishes().length === 1);
    const [wish] = wishes();
    const since = Number(wish?.options?.since?.seconds ?? 0n);
    const subscriptionId = wish?.id ?? "";
    const messages = Array.from({ length: this.#lines() }, (_, line) => ({
      taskId: this.#taskId,
      timestamp: { seconds: BigInt(line), nanos: 0 },
      data: Buffer.from(String(line)),
    })).slice(since);
    const follow = wish?.options?.follow === true;
    const { signal } = this.#stop;
    const publish = this.#connection.service(LogBrokerService).publishLogs(
      (async function* () {
        yield { subscriptionId, messages };
        if (follow) await new Promise((_, reject) => signal.addEventListener("abort", reject));
        yield { subscriptionId, close: true };
      })(),
      { signal },
    );
    publish.catch(() => undefined);
    if (!follow) await publish;
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
    this.#connection[Symbol.dispose]();
    this.#agent[Symbol.dispose]();
  }
}

function read(manager: TestManager, init: MessageInitShape<typeof SubscribeLogsRequestSchema>) {
  const controller = new AbortController();
  const lines: string[] = [];
  const warnings: string[] = [];
  const request = create(SubscribeLogsRequestSchema, init);
  const run = async () => {
    for await (const response of manager.logBroker.subscribe(request, controller.signal)) {
      for (const { nodeId, data } of response.messages) {
        lines.push(`${nodeId} ${Buffer.from(data).toString()}`);
      }
      warnings.push(...response.warnings);
    }
  };
  return { lines, warnings, end: run(), stop: () => controller.abort() };
}

test("logs, a reader at one manager gets the lines of nodes that are with others", async () => {
  await using ground = await openGroup();
  const { one, two, three } = ground;
  using a = new LoggingNode(two, 1, () => 2);
  using b = new LoggingNode(three, 2, () => 2);
  await Promise.all([a.connect(), b.connect()]);
  await one.log.barrier();
  const reader = read(one, { serviceRef: "web" });
  await Promise.all([a.answer(), b.answer()]);
  await reader.end;
  assert.deepEqual(reader.lines.toSorted(), ["node1 0", "node1 1", "node2 0", "node2 1"]);
  assert.deepEqual(reader.warnings, []);
});

test("logs, followed they go on when the manager of a node dies and the node is with another", async () => {
  await using ground = await openGroup();
  const { group, one, two, three } = ground;
  let lines = 3;
  using before = new LoggingNode(two, 1, () => lines);
  await before.connect();
  await one.log.barrier();
  const reader = read(one, { taskRef: "t1", options: { follow: true } });
  await before.answer();
  await until(() => reader.lines.length === 3);
  group.remove(two.log);
  await two[Symbol.asyncDispose]();
  lines = 5;
  using after = new LoggingNode(three, 1, () => lines);
  await after.connect();
  await after.answer();
  await until(() => reader.lines.length >= 5);
  assert.deepEqual(
    reader.lines,
    [0, 1, 2, 3, 4].map((line) => `node1 ${line}`),
  );
  reader.stop();
  await reader.end;
  assert.deepEqual(reader.warnings, []);
});

test("logs, a node that dies with its manager is named in a warning", async () => {
  await using ground = await openGroup();
  const { group, one, two } = ground;
  using node = new LoggingNode(two, 1, () => 1);
  await node.connect();
  await one.log.barrier();
  const reader = read(one, { taskRef: "t1", options: { follow: true } });
  await node.answer();
  await until(() => reader.lines.length === 1);
  group.remove(two.log);
  await two[Symbol.asyncDispose]();
  const lost = one.store.get("node", "node1");
  assert.ok(lost?.status);
  await one.put("node", { ...lost, status: { ...lost.status, state: NodeState.DOWN } });
  await until(() => reader.warnings.length === 1);
  reader.stop();
  await reader.end;
  assert.deepEqual(reader.warnings, [
    'incomplete log stream: node "node1" is down: its lines follow when it is back',
  ]);
});

test("logs, a wish is withdrawn everywhere when its reader goes away", async () => {
  await using ground = await openGroup();
  const { one, two } = ground;
  using node = new LoggingNode(two, 1, () => 1);
  await node.connect();
  await one.log.barrier();
  const reader = read(one, { taskRef: "t1", options: { follow: true } });
  await until(() => two.logBroker.subscriptionsFor("node1").length === 1);
  reader.stop();
  await reader.end;
  await until(() => two.logBroker.subscriptionsFor("node1").length === 0);
});
