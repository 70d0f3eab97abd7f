/** Every method of every service that an engine serves, called by every kind of caller over real connections. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DescMethod } from "@bufbuild/protobuf";
import { serveEndpoint } from "#proto/endpoint.ts";
import { engineServices } from "#proto/engine-services.ts";
import { Fault } from "#proto/fault.ts";
import { EngineService, file_swarm_v1_engine } from "#proto/gen/swarm/v1/engine_pb.ts";
import { Connection } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { TestAuthority, type TestIdentityOptions } from "#proto/testing/test-authority.ts";
import { advertisedAddress } from "./advertised-address.ts";
import { addEngineServices } from "./engine-api.ts";
import { KnownManagers } from "./known-managers.ts";
import { ruleOf } from "./rules.ts";

const timeout = 60_000;
const authority = await TestAuthority.create();
const me = newId(systemRandom);
const other = await TestAuthority.create();
const methods: readonly DescMethod[] = file_swarm_v1_engine.services.flatMap(
  (service) => service.methods,
);

const callers: Readonly<Record<string, TestIdentityOptions>> = {
  manager: { role: "manager" },
  worker: { role: "worker" },
  user: { role: "user", name: "ann" },
  expired: { role: "manager", toMs: -1_000 },
  "other cluster": { role: "manager", clusterId: other.clusterId },
};

/** An engine with one handler. */
async function serve(managers = new KnownManagers()) {
  const identity = await authority.holder({ role: "worker", name: me });
  return serveEndpoint(
    "127.0.0.1:0",
    {
      tls: { identity, clusterId: authority.clusterId },
      owner: "swarmd",
      addServices: (server) =>
        addEngineServices(
          server,
          { engine: { getDiskUsage: async () => ({ usages: [] }) } },
          managers,
        ),
    },
    { clock: systemClock },
  );
}

async function connect(address: string, as: TestIdentityOptions, nodeId = me) {
  const identity = await authority.holder(as);
  const { clusterId } = authority;
  return new Connection(address, { tls: { kind: "mutual", identity, clusterId, nodeId } });
}

async function outcome(connection: Connection, method: DescMethod): Promise<string> {
  const client = connection.service(method.parent) as Record<string, (given: unknown) => unknown>;
  const streams =
    method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
  try {
    const answer = client[method.localName]?.(streams ? none() : {});
    if (answer instanceof Promise) await answer;
    else for await (const _message of answer as AsyncIterable<unknown>);
    return "ok";
  } catch (thrown) {
    return Fault.from(thrown).code;
  }
}

async function* none() {}

test("engine API, all services of the contract are served, and every method has a rule", () => {
  assert.deepEqual(
    file_swarm_v1_engine.services.map(({ typeName }) => typeName).toSorted(),
    engineServices.map(({ typeName }) => typeName).toSorted(),
  );
  assert(methods.length > 20, `${methods.length} methods were found`);
  for (const method of methods) {
    const rule = method.parent.name === "LayerService" ? "node" : "manager";
    assert.equal(ruleOf(method), rule, `${method.parent.name}.${method.name}`);
  }
});

for (const [name, as] of Object.entries(callers)) {
  test(`engine API, ${name}: each method answers as its rule says`, { timeout }, async () => {
    await using endpoint = await serve();
    using connection = await connect(endpoint.address, as);
    for (const method of methods) {
      const served = method.name === "GetDiskUsage" ? "ok" : "unimplemented";
      const rule = ruleOf(method);
      const expected = {
        manager: served,
        worker: rule === "node" ? served : "permission-denied",
        user: "permission-denied",
      }[name];
      const code = await outcome(connection, method);
      assert.equal(code, expected ?? "unauthenticated", method.name);
    }
  });
}

test("engine API, the certificate of a manager that is none any more is worth nothing", {
  timeout,
}, async () => {
  const managers = new KnownManagers();
  await using endpoint = await serve(managers);
  const name = newId(systemRandom);
  using connection = await connect(endpoint.address, { role: "manager", name });
  const ask = () => connection.service(EngineService).getDiskUsage({});
  managers.update([name, newId(systemRandom)]);
  await ask();
  managers.update([newId(systemRandom)]);
  await assert.rejects(ask(), { code: "unavailable", message: /is not a manager any more/ });
  managers.update([]);
  await assert.rejects(ask(), { code: "unavailable" });
});

test("engine API, a method that is not there says so in words", { timeout }, async () => {
  await using endpoint = await serve();
  using connection = await connect(endpoint.address, { role: "manager" });
  const { ImageService } = await import("#proto/gen/swarm/v1/engine_pb.ts");
  await assert.rejects(connection.service(ImageService).listImages({}), {
    message: "This node's swarmd has no ListImages: it is of another version",
  });
});

test("engine API, a caller that wants another node does not get this one", {
  timeout,
}, async () => {
  await using endpoint = await serve();
  using connection = await connect(endpoint.address, { role: "manager" }, newId(systemRandom));
  await assert.rejects(connection.service(EngineService).getDiskUsage({}), {
    code: "unavailable",
    message: `Cannot trust the node: another node answers there, ${me}`,
  });
});

test("engine API, what listens on all addresses is reached at the node's own", () => {
  assert.equal(advertisedAddress("0.0.0.0:2378", "192.0.2.1"), "192.0.2.1:2378");
  assert.equal(advertisedAddress("[::]:99", "2001:db8::1"), "[2001:db8::1]:99");
  assert.equal(advertisedAddress("192.0.2.7:2378", "192.0.2.1"), "192.0.2.7:2378");
});
