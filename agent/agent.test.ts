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
import { addService, type CallContext } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { silentLog, systemRandom } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { TestAuthority } from "#proto/testing/test-authority.ts";
import { until } from "#proto/testing/until.ts";
import type { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import { Agent } from "./agent.ts";
import { Reporter } from "./reporter.ts";
import { TlsServer } from "./testing/tls-server.ts";

const timeout = 15_000;

const authority = await TestAuthority.create();
const { clusterId } = authority;

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
  /** What the certificates that opened them say. */
  readonly roles: string[] = [];
  #ending = new AbortController();
  /** Instead of a session. */
  refusal: Fault | undefined;
  #server: TlsServer | undefined;

  static async serve(managers: readonly string[] = []): Promise<TestManager> {
    const manager = new TestManager();
    manager.#server = await TlsServer.serve(authority, (server) =>
      manager.#addServices(server, managers),
    );
    return manager;
  }

  readonly farewells: string[] = [];

  get address(): string {
    return this.#server?.address ?? "";
  }

  endSessions(): void {
    this.#ending.abort();
    this.#ending = new AbortController();
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
    const onSession = ({ caller, signal }: CallContext) => {
      if (this.refusal !== undefined) throw this.refusal;
      this.sessions++;
      if (caller.kind === "node") this.roles.push(caller.role);
      return AbortSignal.any([signal, this.#ending.signal]);
    };
    addService(server, DispatcherService, {
      async *session(_request, context) {
        const ended = onSession(context);
        yield {
          sessionId: "x",
          managers: [...managers],
          measuredServiceIds: ["service1"],
          heartbeatPeriod: { seconds: 3600n, nanos: 0 },
        };
        await parked(ended);
      },
      heartbeat: async () => ({}),
      findImagePeers: async () => ({}),
      farewell: async ({ sessionId }) => {
        this.farewells.push(sessionId);
        this.endSessions();
        return {};
      },
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
  /** The services that were to be measured, each time. */
  readonly measured: (readonly string[])[] = [];
  readonly statuses = new Map<string, TaskStatus>();
  readonly reporter = new Reporter();
  readonly identity = Promise.withResolvers<TlsIdentityHolder>();
  /** What the host says of itself is not what it was. */
  describeAnew = () => {};
  /** What the agent's random choices come to, as far as they go. */
  draw = 0;
  readonly agent: Agent;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(managers: readonly string[]) {
    this.agent = new Agent(
      {
        managers,
        clusterId,
        identity: this.identity.promise,
        self: () => create(PeerSchema, { nodeId: "n1" }),
      },
      {
        clock: this.clock,
        random: { ...systemRandom, int: (limit) => Math.min(this.draw, limit - 1) },
        log: silentLog,
        describe: () => create(NodeDescriptionSchema, { hostname: "h1" }),
        watchDescription: (listener) => {
          this.describeAnew = listener;
          return { [Symbol.dispose]: () => {} };
        },
        network: {
          apply: async ({ networks }) => void this.events.push(`network ${networks[0]?.id}`),
          repair: async () => {},
          localNetworks: () => [],
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
        usage: { want: (ids) => void this.measured.push(ids), take: () => [] },
        onNews: ({ managers: list }) => void this.told.push(list),
      },
    );
    this.#running = this.agent.run(this.#stop.signal);
  }

  get connectedTo(): string | undefined {
    const { session } = this.agent;
    return session.state === "connected" ? session.manager : undefined;
  }

  /** Pauses between sessions, heartbeats apart. */
  get pauses(): readonly number[] {
    return this.clock.sleeps.filter((ms) => ms < 3_600_000);
  }

  async begin(): Promise<TlsIdentityHolder> {
    const holder = await authority.holder();
    this.identity.resolve(holder);
    return holder;
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
  await ground.begin();
  await until(() => ground.events.length === 3);
  assert.deepEqual(ground.events, ["network net1", "dns", "tasks t1"]);
  assert.equal(ground.connectedTo, manager.address);
  assert.deepEqual(ground.told, [[]]);
});

test("agent, measures what its manager asks for, and nothing without one", {
  timeout,
}, async () => {
  using manager = await TestManager.serve();
  await using ground = new Ground([manager.address]);
  await ground.begin();
  await until(() => ground.measured.length === 1);
  assert.deepEqual(ground.measured, [["service1"]]);
  manager.endSessions();
  await until(() => ground.measured.length >= 2);
  assert.deepEqual(ground.measured[1], []);
});

test("agent, says farewell to its manager, and has no session from then on", {
  timeout,
}, async () => {
  using manager = await TestManager.serve();
  await using ground = new Ground([manager.address]);
  await assert.rejects(ground.agent.farewell(), { code: "unavailable" });
  await using other = new Ground([manager.address]);
  await other.begin();
  await until(() => other.connectedTo === manager.address);
  await other.agent.farewell();
  assert.deepEqual(manager.farewells, ["x"]);
  await until(() => other.measured.length >= 2);
  for (let i = 0; i < 20; i++) await turn();
  assert.equal(manager.sessions, 1);
});

test("agent, has no session while its certificate is locked, and ends all the same", {
  timeout,
}, async () => {
  using manager = await TestManager.serve();
  await using ground = new Ground([manager.address]);
  for (let i = 0; i < 20; i++) await turn();
  assert.equal(manager.sessions, 0);
  await ground.begin();
  await until(() => ground.connectedTo === manager.address);
});

test("agent, waits longer and longer where no manager is, and says why", { timeout }, async () => {
  await using ground = new Ground(["127.0.0.1:1"]);
  await ground.begin();
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

test("agent, goes to another manager at once, and tells it all statuses again", {
  timeout,
}, async () => {
  using second = await TestManager.serve();
  using first = await TestManager.serve();
  await using ground = new Ground(["127.0.0.1:1", first.address, second.address]);
  await ground.begin();
  await until(() => ground.connectedTo === first.address);
  const status = create(TaskStatusSchema, { state: TaskState.RUNNING });
  ground.statuses.set("t1", status);
  ground.reporter.report("t1", status);
  await until(() => first.statuses.length === 1);
  ground.clock.fake.advance(1_000);
  first.shutDown();
  await until(() => ground.connectedTo === second.address);
  await until(() => second.statuses.length === 1);
  assert.deepEqual(second.statuses, [{ taskId: "t1", state: TaskState.RUNNING }]);
  assert.deepEqual(ground.pauses, []);
});

test("agent, with one manager alone, is back after a short pause", { timeout }, async () => {
  using manager = await TestManager.serve();
  await using ground = new Ground([manager.address]);
  await ground.begin();
  for (const session of [1, 2]) {
    await until(() => ground.connectedTo === manager.address && manager.sessions === session);
    ground.clock.fake.advance(1_000);
    manager.endSessions();
    await until(() => ground.pauses.length === session);
    await turn();
    ground.clock.fake.advance(100);
  }
  // A session that stood makes the pauses short again.
  assert.deepEqual(ground.pauses, [100, 100]);
});

test("agent, does not ask on and on a manager that ends each session at once", {
  timeout,
}, async () => {
  using manager = await TestManager.serve();
  await using ground = new Ground([manager.address]);
  await ground.begin();
  for (const [index, pauseMs] of [100, 200, 400].entries()) {
    await until(() => ground.connectedTo === manager.address);
    manager.endSessions();
    await until(() => ground.pauses.length === index + 1);
    assert.equal(ground.pauses[index], pauseMs);
    await turn();
    ground.clock.fake.advance(pauseMs);
  }
});

test("agent, one that every manager refuses asks seldom, and says why", { timeout }, async () => {
  using first = await TestManager.serve();
  using second = await TestManager.serve();
  const refusal = new Fault("permission-denied", "the node was removed from the cluster");
  first.refusal = refusal;
  second.refusal = refusal;
  await using ground = new Ground([first.address, second.address]);
  await ground.begin();
  await until(() => ground.pauses.length === 1);
  assert.deepEqual(ground.pauses, [8_000]);
  const { session } = ground.agent;
  assert(session.state === "connecting" && session.error.endsWith(refusal.message));
});

test("agent, learns where managers are, and moves to a new one that draws it", {
  timeout,
}, async () => {
  using second = await TestManager.serve();
  using first = await TestManager.serve([second.address]);
  await using ground = new Ground([first.address]);
  await ground.begin();
  await until(() => ground.connectedTo === second.address);
  assert.deepEqual(ground.told[0], [second.address]);
  assert.deepEqual(ground.agent.managers, [second.address]);
  assert.deepEqual(ground.pauses, []);
});

test("agent, stays with its manager when another draws the node", { timeout }, async () => {
  using first = await TestManager.serve(["127.0.0.1:1", "192.0.2.1:2377"]);
  await using ground = new Ground([first.address, "127.0.0.1:1"]);
  ground.draw = 1;
  await ground.begin();
  await until(() => ground.told.length === 1);
  for (let i = 0; i < 20; i++) await turn();
  assert.equal(ground.connectedTo, first.address);
  assert.equal(first.sessions, 1);
});

test("agent, tells news of its host by a new session with the same manager", {
  timeout,
}, async () => {
  using first = await TestManager.serve();
  using second = await TestManager.serve();
  await using ground = new Ground([second.address, first.address]);
  ground.draw = 1;
  await ground.begin();
  await until(() => ground.connectedTo === first.address);
  ground.draw = 0;
  ground.describeAnew();
  await until(() => first.sessions === 2 && ground.connectedTo === first.address);
  assert.equal(second.sessions, 0);
  assert.deepEqual(ground.pauses, []);
});

test("agent, shows a new certificate by a new session with the same manager", {
  timeout,
}, async () => {
  using first = await TestManager.serve();
  using second = await TestManager.serve();
  await using ground = new Ground([second.address, first.address]);
  ground.draw = 1;
  const holder = await ground.begin();
  await until(() => ground.connectedTo === first.address);
  ground.draw = 0;
  holder.replace(await authority.identity({ role: "manager" }));
  await until(() => first.roles.length === 2 && ground.connectedTo === first.address);
  assert.deepEqual(first.roles, ["worker", "manager"]);
  assert.equal(second.sessions, 0);
  assert.deepEqual(ground.pauses, []);
});
