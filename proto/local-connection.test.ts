import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "./fault.ts";
import { EngineService } from "./gen/swarm/v1/engine_pb.ts";
import { NodeService } from "./gen/swarm/v1/node_pb.ts";
import { addService, type Handlers } from "./grpc.ts";
import { LocalConnection } from "./local-connection.ts";
import { systemClock } from "./system-clock.ts";
import { TestServer } from "./testing/test-server.ts";

const clock = systemClock;
const timeout = 15_000;

async function serve(getInfo: Handlers<typeof NodeService>["getInfo"]) {
  const server = await TestServer.serve((grpc) => {
    const refuse = () => Promise.reject(new Fault("unimplemented", "not part of this test"));
    const handlers = Object.fromEntries(
      NodeService.methods.map(({ localName }) => [localName, refuse]),
    );
    addService(grpc, NodeService, { ...handlers, getInfo } as Handlers<typeof NodeService>);
  });
  const connection = new LocalConnection(server.address, { metadata: { who: "me" } }, { clock });
  return {
    server,
    connection,
    node: connection.service(NodeService),
    [Symbol.dispose]() {
      connection[Symbol.dispose]();
      server[Symbol.dispose]();
    },
  };
}

async function faultOf(work: Promise<unknown>): Promise<Fault> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(thrown instanceof Fault, `it should fail with a fault, not ${String(thrown)}`);
  return thrown;
}

test("local connection, many calls at once get their own answers, with metadata", {
  timeout,
}, async () => {
  let calls = 0;
  using host = await serve(async (_request, { metadata }) => {
    calls += 1;
    return { nodeId: `${metadata.get("who")} ${calls}` };
  });
  const replies = await Promise.all(Array.from({ length: 20 }, () => host.node.getInfo({})));
  assert.deepEqual(
    replies.map(({ nodeId }) => nodeId).toSorted(),
    Array.from({ length: 20 }, (_, index) => `me ${index + 1}`).toSorted(),
  );
});

test("local connection, a fault crosses with its code and its words", { timeout }, async () => {
  const message = 'There is no node "ä 100 %"';
  using host = await serve(() => Promise.reject(new Fault("not-found", message)));
  const fault = await faultOf(host.node.getInfo({}));
  assert.deepEqual([fault.code, fault.message], ["not-found", message]);
});

test("local connection, a method that the server lacks is unimplemented", { timeout }, async () => {
  using host = await serve(async () => ({}));
  const engine = host.connection.service(EngineService);
  assert.equal((await faultOf(engine.getDiskUsage({}))).code, "unimplemented");
});

test("local connection, what takes too long or is called off ends there and here", {
  timeout,
}, async () => {
  const ended: Promise<void>[] = [];
  using host = await serve(async (_request, { signal }) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    ended.push(promise);
    signal.addEventListener("abort", () => resolve());
    await promise;
    return {};
  });
  const late = await faultOf(host.node.getInfo({}, { deadlineMs: 100 }));
  assert.deepEqual(
    [late.code, late.message],
    ["deadline-exceeded", "there was no answer within 0.1 s"],
  );
  const abort = new AbortController();
  const asked = faultOf(host.node.getInfo({}, { signal: abort.signal }));
  abort.abort();
  assert.equal((await asked).code, "canceled");
  await Promise.all(ended);
});

test("local connection, is made anew when the server was", { timeout }, async () => {
  using host = await serve(async () => ({ nodeId: "n" }));
  await host.node.getInfo({});
  host.server.shutDown();
  assert.equal((await faultOf(host.node.getInfo({}))).code, "unavailable");
});

test("local connection, a server that dies amid a call is unavailable", { timeout }, async () => {
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  using host = await serve(async () => {
    begin();
    return await new Promise<never>(() => {});
  });
  const asked = faultOf(host.node.getInfo({}));
  await begun;
  host.server.shutDown();
  assert.equal((await asked).code, "unavailable");
});

test("local connection, a request larger than the windows goes the long way", {
  timeout,
}, async () => {
  using host = await serve(async () => ({}));
  const fault = await faultOf(host.node.joinCluster({ token: "x".repeat(300_000) }));
  assert.equal(fault.code, "unimplemented");
  await host.node.getInfo({});
});
