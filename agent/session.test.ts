/** A session with a manager that is a few handlers on a real socket; time is the test's. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  DispatcherService,
  type TaskUsage,
  TaskUsageSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NodeDescriptionSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { addService, type CallContext, type Handlers } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { TestAuthority } from "#proto/testing/test-authority.ts";
import { until } from "#proto/testing/until.ts";
import type { SendStatuses } from "./reporter.ts";
import { runSession } from "./session.ts";
import { TlsServer } from "./testing/tls-server.ts";

const timeout = 15_000;

const authority = await TestAuthority.create();
const { clusterId } = authority;
const nodeId = newId(systemRandom);
const identity = await authority.holder({ name: nodeId });

type Dispatcher = Handlers<typeof DispatcherService>;

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });

class Ground implements Disposable {
  readonly clock = new FakeClock();
  readonly stop = new AbortController();
  readonly heartbeats: number[] = [];
  readonly events: string[] = [];
  readonly usages: TaskUsage[] = [];
  /** What managers heard of it, by heartbeat. */
  readonly heardOf: string[][] = [];
  /** Calls of the session that still run, at the manager. */
  open = 0;
  send: SendStatuses | undefined;
  ended: Promise<Fault> = Promise.resolve(new Fault("internal", "not begun"));
  #server: TlsServer | undefined;

  async begin(handlers: Partial<Dispatcher> = {}): Promise<void> {
    const server = await TlsServer.serve(authority, (server) => {
      addService(server, DispatcherService, { ...this.#manager(), ...handlers });
    });
    this.#server = server;
    this.ended = this.run(server.address);
  }

  run(manager: string): Promise<Fault> {
    const options = {
      manager,
      tls: { kind: "mutual" as const, identity, clusterId },
      description: create(NodeDescriptionSchema, { hostname: "h1" }),
      openMs: 5_000,
    };
    const events = {
      onSession: () => void this.events.push("session"),
      usages: () => this.usages.splice(0),
      onAssignments: ({ resultsIn }: { resultsIn: string }) => {
        this.events.push(`assignments ${resultsIn}`);
        if (resultsIn === "bad") throw new Fault("conflict", "an assignment message was lost");
      },
      deliver: async (send: SendStatuses, signal: AbortSignal) => {
        this.send = send;
        await aborted(signal);
        throw new Fault("canceled", "no more to deliver");
      },
    };
    return runSession(options, { clock: this.clock, events }, this.stop.signal).catch(
      (thrown: unknown) => Fault.from(thrown),
    );
  }

  shutDown(): void {
    this.#server?.shutDown();
  }

  [Symbol.dispose](): void {
    this.stop.abort();
    this.#server?.[Symbol.dispose]();
  }

  #manager(): Dispatcher {
    const held = async ({ signal }: CallContext) => {
      this.open++;
      await aborted(signal);
      this.open--;
    };
    const { heartbeats, clock } = this;
    return {
      async *session({ description }, context) {
        assert.equal(description?.hostname, "h1");
        assert.deepEqual(context.caller, { kind: "node", nodeId, role: "worker", clusterId });
        yield { sessionId: "x", heartbeatPeriod: { seconds: 2n, nanos: 0 } };
        await held(context);
      },
      heartbeat: async ({ sessionId, usages }) => {
        assert.equal(sessionId, "x");
        this.heardOf.push(usages.map(({ taskId }) => taskId));
        heartbeats.push(clock.monotonic());
        return { period: { seconds: 3n, nanos: 0 } };
      },
      updateTaskStatus: async () => ({}),
      findImagePeers: async () => ({}),
      farewell: async () => ({}),
      async *assignments(_request, context) {
        yield { resultsIn: "1" };
        await held(context);
      },
    };
  }
}

test("session, registers, receives and delivers", { timeout }, async () => {
  using ground = new Ground();
  const updates: string[] = [];
  await ground.begin({
    updateTaskStatus: async (request) => {
      updates.push(...request.updates.map(({ taskId }) => taskId));
      return {};
    },
  });
  await until(() => ground.events.length === 2);
  assert.deepEqual(ground.events, ["session", "assignments 1"]);
  await ground.send?.([{ taskId: "t", status: undefined as never }]);
  assert.deepEqual(updates, ["t"]);
});

test("session, what was measured goes with the next heartbeat, once", { timeout }, async () => {
  using ground = new Ground();
  await ground.begin();
  await until(() => ground.open === 2);
  ground.usages.push(create(TaskUsageSchema, { taskId: "t" }));
  await until(() => {
    ground.clock.advance(500);
    return ground.heardOf.length >= 2;
  });
  assert.deepEqual(ground.heardOf.slice(0, 2), [["t"], []]);
});

test("session, beats with the period that the manager says", { timeout }, async () => {
  using ground = new Ground();
  await ground.begin();
  await until(() => ground.open === 2);
  const startMs = ground.clock.monotonic();
  ground.clock.advance(1_999);
  await turn();
  assert.deepEqual(ground.heartbeats, []);
  ground.clock.advance(1);
  await until(() => ground.heartbeats.length === 1);
  for (let beat = 2; beat <= 3; beat++) {
    // The answer must be there before its period can begin.
    while (ground.heartbeats.length < beat) {
      await turn();
      ground.clock.advance(10);
    }
  }
  const [first = 0, second = 0, third = 0] = ground.heartbeats;
  assert.equal(first - startMs, 2_000);
  assert(second - first >= 3_000 && third - second >= 3_000, String(ground.heartbeats));
});

test("session, does not beat without a pause whatever the manager says", { timeout }, async () => {
  using ground = new Ground();
  let beats = 0;
  await ground.begin({
    heartbeat: async () => {
      beats++;
      return { period: { seconds: 0n, nanos: 0 } };
    },
  });
  await until(() => ground.open === 2);
  ground.clock.advance(2_000);
  await until(() => beats === 1);
  for (let i = 0; i < 100; i++) await turn();
  assert.equal(beats, 1);
});

test("session, ends when told to, and frees the manager", { timeout }, async () => {
  using ground = new Ground();
  await ground.begin();
  await until(() => ground.open === 2);
  ground.stop.abort();
  assert.equal((await ground.ended).code, "canceled");
  await until(() => ground.open === 0);
  assert.equal(getEventListeners(ground.stop.signal, "abort").length, 0);
});

test("session, says why it ended when the manager goes away", { timeout }, async () => {
  using ground = new Ground();
  await ground.begin();
  await until(() => ground.open === 2);
  ground.shutDown();
  const { code, message } = await ground.ended;
  assert.equal(code, "unavailable");
  assert.match(message, /^The session with manager \S+ ended: /);
});

test("session, says why when nobody is there", { timeout }, async () => {
  using ground = new Ground();
  const { code, message } = await ground.run("127.0.0.1:1");
  assert.equal(code, "unavailable");
  assert.equal(
    message,
    "The session with manager 127.0.0.1:1 ended: connect ECONNREFUSED 127.0.0.1:1",
  );
});

test("session, does not wait for a manager that does not open it", { timeout }, async () => {
  using ground = new Ground();
  let entered = false;
  await ground.begin({
    async *session(_request, { signal }) {
      entered = true;
      await aborted(signal);
      yield {};
    },
  });
  await until(() => entered);
  ground.clock.advance(5_000);
  const { code, message } = await ground.ended;
  assert.equal(code, "deadline-exceeded");
  assert.match(message, /waited 5 s for the manager to open a session$/);
});

test("session, a manager that leaves heartbeats without an answer is lost after one period", {
  timeout,
}, async () => {
  using ground = new Ground();
  let asked = 0;
  await ground.begin({
    async *session(_request, { signal }) {
      yield { sessionId: "x", heartbeatPeriod: { seconds: 1n, nanos: 0 } };
      await aborted(signal);
    },
    heartbeat: async (_request, { signal }) => {
      asked++;
      await aborted(signal);
      return {};
    },
  });
  await until(() => ground.events.includes("session"));
  ground.clock.advance(1_000);
  await until(() => asked === 1);
  const beganMs = performance.now();
  assert.equal((await ground.ended).code, "deadline-exceeded");
  assert(performance.now() - beganMs < 2_000);
});

test("session, does not speak with a manager of another cluster", { timeout }, async () => {
  using ground = new Ground();
  const other = await TestAuthority.create();
  using stranger = await TlsServer.serve(other, () => {});
  const { code, message } = await ground.run(stranger.address);
  assert.equal(code, "unavailable");
  assert.match(message, /Cannot trust the manager: the certificate was signed by an unknown/);
});

const endings: readonly (readonly [string, Partial<Dispatcher>, RegExp])[] = [
  [
    "the manager refuses the node",
    {
      // oxlint-disable-next-line require-yield -- a stream that only fails
      async *session() {
        throw new Fault("permission-denied", "the node was removed from the cluster");
      },
    },
    /^permission-denied: .* ended: the node was removed from the cluster$/,
  ],
  ["the manager closes it at once", { async *session() {} }, /the manager closed the session$/],
  [
    "the manager closes it later",
    {
      async *session() {
        yield { sessionId: "x" };
      },
    },
    /^unavailable: .* the manager closed the session$/,
  ],
  [
    "the assignments end",
    {
      async *assignments() {
        yield { resultsIn: "1" };
      },
    },
    /the manager closed the assignment stream$/,
  ],
  [
    "an assignment was lost",
    {
      async *assignments() {
        yield { resultsIn: "bad" };
      },
    },
    /^conflict: .* an assignment message was lost$/,
  ],
];
for (const [what, handlers, words] of endings) {
  test(`session, ends when ${what}`, { timeout }, async () => {
    using ground = new Ground();
    await ground.begin(handlers);
    const { code, message } = await ground.ended;
    assert.match(`${code}: ${message}`, words);
    await until(() => ground.open === 0);
    assert.equal(getEventListeners(ground.stop.signal, "abort").length, 0);
  });
}
