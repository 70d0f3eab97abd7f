/** An agent with fake parts of the host, and managers that are a few handlers on real sockets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { DispatcherService, PeerSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import {
  NodeDescriptionSchema,
  TaskState,
  type TaskStatus,
  TaskStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { addService } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { silentLog, systemRandom } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { TestServer } from "#proto/testing/test-server.ts";
import { until } from "#proto/testing/until.ts";
import { Agent } from "./agent.ts";
import { Reporter } from "./reporter.ts";

const timeout = 15_000;

/** Notes how long was slept; the sleep ends when the test moves the time. */
class NotingClock implements Clock {
  readonly fake = new FakeClock();
  readonly sleeps: number[] = [];
  now = () => this.fake.now();
  monotonic = () => this.fake.monotonic();
  timer = (ms: number, callback: () => void) => this.fake.timer(ms, callback);
  sleep = (ms: number, signal?: AbortSignal) => {
    this.sleeps.push(ms);
    return this.fake.sleep(ms, signal);
  };
}

class TestManager implements Disposable {
  readonly statuses: { readonly taskId: string; readonly state: TaskState }[] = [];
  sessions = 0;
  #server: TestServer | undefined;

  static async serve(managers: readonly string[] = []): Promise<TestManager> {
    const manager = new TestManager();
    manager.#server = await TestServer.serve((server) => manager.#addServices(server, managers));
    return manager;
  }

  get address(): string {
    return this.#server?.address ?? "";
  }

  shutDown(): void {
    this.#server?.shutDown();
  }

  [Symbol.dispose](): void {
    this.#server?.[Symbol.dispose]();
  }

  #addServices(server: Parameters<typeof addService>[0], managers: readonly string[]): void {
    const parked = (signal: AbortSignal) =>
      new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    const onSession = () => this.sessions++;
    addService(server, DispatcherService, {
      async *session(_request, { signal }) {
        onSession();
        yield {
          sessionId: "x",
          managers: [...managers],
          heartbeatPeriod: { seconds: 3600n, nanos: 0 },
        };
        await parked(signal);
      },
      heartbeat: async () => ({}),
      updateTaskStatus: async ({ updates }) => {
        for (const { taskId, status } of updates) {
          this.statuses.push({ taskId, state: status?.state ?? TaskState.NEW });
        }
        return {};
      },
      async *assignments(_request, { signal }) {
        const task = { case: "task" as const, value: { id: "t1" } };
        const network = { case: "network" as const, value: { id: "net1" } };
        const changes = [{ assignment: { item: task } }, { assignment: { item: network } }];
        yield { resultsIn: "1", changes };
        await parked(signal);
      },
    });
  }
}

class Ground implements AsyncDisposable {
  readonly clock = new NotingClock();
  readonly events: string[] = [];
  readonly told: (readonly string[])[] = [];
  readonly statuses = new Map<string, TaskStatus>();
  readonly reporter = new Reporter();
  readonly agent: Agent;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(managers: readonly string[]) {
    this.agent = new Agent(
      {
        managers,
        credentials: { nodeId: "n1", nodeSecret: "s1" },
        self: create(PeerSchema, { nodeId: "n1" }),
      },
      {
        clock: this.clock,
        random: systemRandom,
        log: silentLog,
        describe: () => create(NodeDescriptionSchema, { hostname: "h1" }),
        network: {
          apply: async ({ networks }) => void this.events.push(`network ${networks[0]?.id}`),
          repair: async () => {},
        },
        dns: { apply: async () => void this.events.push("dns") },
        worker: {
          assign: (tasks) => void this.events.push(`tasks ${tasks.map(({ id }) => id).join()}`),
          statuses: () => this.statuses,
          logs: () => {
            throw new Fault("unimplemented", "not part of this test");
          },
        },
        memory: { read: async () => undefined, save: () => {} },
        reporter: this.reporter,
        onManagers: (list) => void this.told.push(list),
      },
    );
    this.#running = this.agent.run(this.#stop.signal);
  }

  get connectedTo(): string | undefined {
    const { session } = this.agent;
    return session.state === "connected" ? session.manager : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}

test("agent, carries out what it is told: networks, DNS, tasks", { timeout }, async () => {
  using manager = await TestManager.serve();
  await using ground = new Ground([manager.address]);
  assert.deepEqual(ground.agent.session, {
    state: "connecting",
    error: "no session was opened yet",
  });
  await until(() => ground.events.length === 3);
  assert.deepEqual(ground.events, ["network net1", "dns", "tasks t1"]);
  assert.equal(ground.connectedTo, manager.address);
  assert.deepEqual(ground.told, []);
});

test("agent, waits longer and longer where no manager is, and says why", { timeout }, async () => {
  await using ground = new Ground(["127.0.0.1:1"]);
  const pauses = [100, 200, 400, 800, 1_600, 2_000, 2_000];
  for (const [index, pauseMs] of pauses.entries()) {
    await until(() => ground.clock.sleeps.length === index + 1);
    await turn();
    ground.clock.fake.advance(pauseMs);
  }
  assert.deepEqual(ground.clock.sleeps.slice(0, pauses.length), pauses);
  assert.deepEqual(ground.agent.session, {
    state: "connecting",
    error: "The session with manager 127.0.0.1:1 ended: connect ECONNREFUSED 127.0.0.1:1",
  });
});

test("agent, goes to the next manager, and tells it all statuses again", { timeout }, async () => {
  using second = await TestManager.serve();
  using first = await TestManager.serve();
  await using ground = new Ground(["127.0.0.1:1", first.address, second.address]);
  await until(() => ground.clock.sleeps.length === 1);
  await turn();
  ground.clock.fake.advance(100);
  await until(() => ground.connectedTo === first.address);
  const status = create(TaskStatusSchema, { state: TaskState.RUNNING });
  ground.statuses.set("t1", status);
  ground.reporter.report("t1", status);
  await until(() => first.statuses.length === 1);
  first.shutDown();
  await until(() => ground.clock.sleeps.filter((ms) => ms < 3_600_000).length === 2);
  await turn();
  // A session that stood makes the pauses short again.
  assert.deepEqual(
    ground.clock.sleeps.filter((ms) => ms < 3_600_000),
    [100, 100],
  );
  ground.clock.fake.advance(100);
  await until(() => ground.connectedTo === second.address);
  await until(() => second.statuses.length === 1);
  assert.deepEqual(second.statuses, [{ taskId: "t1", state: TaskState.RUNNING }]);
});

test("agent, learns where managers are", { timeout }, async () => {
  using second = await TestManager.serve();
  using first = await TestManager.serve([second.address]);
  await using ground = new Ground([first.address]);
  await until(() => ground.connectedTo === first.address);
  assert.deepEqual(ground.told, [[second.address]]);
  assert.deepEqual(ground.agent.managers, [second.address]);
  first.shutDown();
  await until(() => ground.clock.sleeps.includes(100));
  await turn();
  ground.clock.fake.advance(100);
  await until(() => ground.connectedTo === second.address);
});
