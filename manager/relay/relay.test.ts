/** Calls that go through a manager to a node's engine, over real connections on both sides. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { serveEndpoint } from "#proto/endpoint.ts";
import { nodeMetadata, relayedServices } from "#proto/engine-services.ts";
import { Fault } from "#proto/fault.ts";
import {
  ContainerService,
  EngineService,
  ForwardPortRequestSchema,
  HostService,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import { addService, Connection, type Handlers } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { TestAuthority } from "#proto/testing/test-authority.ts";
import { until } from "#proto/testing/until.ts";
import { openTestStore, testNode } from "../testing/fixtures.ts";
import { NodeChannels } from "./node-channels.ts";
import { Relay } from "./relay.ts";

const timeout = 30_000;
const authority = await TestAuthority.create();
const { clusterId } = authority;
const tls = { identity: await authority.holder({ role: "manager" }), clusterId };

type Engine = Partial<Handlers<typeof EngineService>> &
  Partial<Handlers<typeof ContainerService>> &
  Partial<Handlers<typeof HostService>>;

/** An engine, a manager before it, and a user's connection to that one. */
async function open(t: TestContext, engine: Engine, state: NodeState = NodeState.READY) {
  const nodeId = newId(systemRandom);
  const identity = await authority.holder({ role: "worker", name: nodeId });
  const node = await serveEndpoint(
    "127.0.0.1:0",
    {
      tls: { identity, clusterId },
      owner: "swarmd",
      addServices: (server) => {
        addService(server, EngineService, engine as Handlers<typeof EngineService>);
        addService(server, ContainerService, engine as Handlers<typeof ContainerService>);
        addService(server, HostService, engine as Handlers<typeof HostService>);
      },
    },
    { clock: systemClock },
  );
  const { store, put } = openTestStore();
  const described = (engineAddress: string) =>
    testNode(2, { id: nodeId, description: { hostname: "h2", engineAddress }, status: { state } });
  await put("node", described(node.address));
  const relay = new Relay({ store, tls, authorize: () => {}, clock: systemClock });
  const manager = await serveEndpoint(
    "127.0.0.1:0",
    { tls, owner: "manager", addServices: (server) => relay.addServices(server) },
    { clock: systemClock },
  );
  const user = {
    kind: "mutual",
    clusterId,
    identity: await authority.holder({ role: "user", name: "ann" }),
  } as const;
  const connect = (metadata: Readonly<Record<string, string>>) => {
    const connection = new Connection(manager.address, { tls: user, metadata });
    t.after(() => connection[Symbol.dispose]());
    return connection;
  };
  t.after(async () => {
    relay[Symbol.dispose]();
    await manager[Symbol.asyncDispose]();
    await node[Symbol.asyncDispose]();
  });
  const move = (address: string) => put("node", described(address));
  return { nodeId, node, move, connect, to: connect({ [nodeMetadata]: nodeId }) };
}

async function* data(...words: readonly string[]) {
  for (const word of words) {
    yield create(ForwardPortRequestSchema, { input: { case: "data", value: Buffer.from(word) } });
  }
}

async function* silent(): AsyncIterable<never> {
  yield await new Promise<never>(() => {});
}

test("relay, calls of every kind reach the node, and its answers the user", {
  timeout,
}, async (t) => {
  const { to } = await open(t, {
    getDiskUsage: async () => ({ usages: [{ kind: "images", count: 3 }] }),
    forwardPort: async function* (requests) {
      for await (const { input } of requests)
        if (input.case === "data") yield { data: input.value };
      yield { closed: true };
    },
    readArchive: async function* ({ path }) {
      yield { data: Buffer.from(path) };
    },
    writeArchive: async (requests) => {
      let count = 0;
      for await (const _request of requests) count += 1;
      if (count !== 2) throw new Fault("internal", `${count} requests came`);
      return {};
    },
  });
  const { usages } = await to.service(EngineService).getDiskUsage({});
  assert.equal(usages[0]?.count, 3);
  const containers = to.service(ContainerService);
  const echo = await Array.fromAsync(containers.forwardPort(data("one", "two")));
  assert.deepEqual(
    echo.map((response) => response.closed || Buffer.from(response.data).toString()),
    ["one", "two", true],
  );
  const [archive] = await Array.fromAsync(containers.readArchive({ path: "/x" }));
  assert.equal(Buffer.from(archive?.data ?? []).toString(), "/x");
  const pieces = async function* () {
    yield { input: { case: "data", value: Buffer.from("x") } } as const;
    yield { input: { case: "complete", value: true } } as const;
  };
  await containers.writeArchive(pieces());
});

test("relay, the node's Faults come as they are", { timeout }, async (t) => {
  const { to } = await open(t, {
    getDiskUsage: async () => {
      throw new Fault("failed-precondition", "the disk says: später");
    },
  });
  await assert.rejects(to.service(EngineService).getDiskUsage({}), {
    code: "failed-precondition",
    message: "the disk says: später",
  });
});

test("relay, who cannot be reached is named with the reason", { timeout }, async (t) => {
  const { connect, move, to, node, nodeId } = await open(t, {});
  const ask = (connection: Connection) => connection.service(EngineService).getDiskUsage({});
  await assert.rejects(ask(connect({})), { code: "invalid-argument" });
  await assert.rejects(ask(connect({ [nodeMetadata]: "nobody" })), { code: "not-found" });
  await move("");
  await assert.rejects(ask(to), { code: "failed-precondition", message: /^node "h2" has told no/ });
  await move("127.0.0.1:1");
  await assert.rejects(ask(to), {
    code: "unavailable",
    message: /^Cannot reach node "h2" at 127\.0\.0\.1:1: .*refused/,
  });
  const other = await open(t, {});
  await move(other.node.address);
  await assert.rejects(ask(to), { code: "unavailable", message: /another node answers there/ });
  assert.notEqual(node.address, other.node.address);
  assert.notEqual(nodeId, other.nodeId);
});

test("relay, a node that is down is not called", { timeout }, async (t) => {
  const { to } = await open(t, {}, NodeState.DOWN);
  await assert.rejects(to.service(EngineService).getDiskUsage({}), {
    code: "unavailable",
    message: /^node "h2" is down/,
  });
});

test("relay, a node that is down is asked what is wrong with it", { timeout }, async (t) => {
  const checkHost = async () => ({ report: "a port is closed" });
  const { to } = await open(t, { checkHost }, NodeState.DOWN);
  const { report } = await to.service(HostService).checkHost({});
  assert.equal(report, "a port is closed");
});

test("relay, the node hears when the user goes away", { timeout }, async (t) => {
  const gone = Promise.withResolvers<void>();
  const { to } = await open(t, {
    forwardPort: async function* (_requests, { signal }) {
      signal.addEventListener("abort", () => gone.resolve());
      yield { data: Buffer.from("here") };
      yield* silent();
    },
  });
  const leave = new AbortController();
  const responses = to.service(ContainerService).forwardPort(silent(), { signal: leave.signal });
  const reading = responses[Symbol.asyncIterator]();
  await reading.next();
  leave.abort();
  await assert.rejects(reading.next(), { code: "canceled" });
  await gone.promise;
});

test("relay, the user hears when the node goes away", { timeout }, async (t) => {
  const { to, node } = await open(t, {
    forwardPort: async function* () {
      yield { data: Buffer.from("here") };
      yield* silent();
    },
  });
  const reading = to.service(ContainerService).forwardPort(silent())[Symbol.asyncIterator]();
  await reading.next();
  const next = reading.next();
  next.catch(() => undefined);
  await node[Symbol.asyncDispose]();
  await assert.rejects(next, { code: "unavailable", message: 'The connection to node "h2" broke' });
});

test("relay, who reads slowly holds the node back, not the manager's memory", {
  timeout,
}, async (t) => {
  let sent = 0;
  const { to } = await open(t, {
    readArchive: async function* () {
      for (;;) {
        sent += 1;
        yield { data: Buffer.alloc(256 * 1024) };
      }
    },
  });
  const pieces = to.service(ContainerService).readArchive({});
  const reading = pieces[Symbol.asyncIterator]();
  await reading.next();
  let before = -1;
  let turns = 0;
  await until(() => {
    turns = sent === before ? turns + 1 : 0;
    before = sent;
    return turns > 5_000;
  }, 20_000);
  assert(sent < 200, `${sent} pieces of 256 KiB are held`);
  await reading.return?.();
});

test("relay, a connection is kept while it is used, and closed when it is idle", {
  timeout,
}, async (t) => {
  const { node, nodeId } = await open(t, {});
  const clock = new FakeClock();
  using channels = new NodeChannels({ tls, clock });
  const target = { nodeId, address: node.address, name: "h2" };
  {
    using _one = await channels.lease(target);
    using _two = await channels.lease(target);
    assert.equal(channels.size, 1);
    clock.advance(120_000);
    assert.equal(channels.size, 1);
  }
  clock.advance(59_000);
  assert.equal(channels.size, 1);
  clock.advance(2_000);
  assert.equal(channels.size, 0);
});

test("relay, what users reach is all but what goes from node to node", () => {
  assert.deepEqual(
    relayedServices.map(({ name }) => name),
    [
      "ImageService",
      "VolumeService",
      "ContainerService",
      "EngineService",
      "NetworkService",
      "HostService",
    ],
  );
});
