import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { setImmediate as nextLoop } from "node:timers/promises";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { openTestStore, testCluster, testNode } from "../testing/fixtures.ts";
import { NodeRegistry } from "./node-registry.ts";

/** Holds up the whole process. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

test("node registry, beats that came while the manager stood still count before a node is lost", async () => {
  const { store, put } = openTestStore(systemClock);
  const heartbeatPeriod = { seconds: 0n, nanos: 100_000_000 };
  await put("cluster", testCluster({ spec: { dispatcher: { heartbeatPeriod } } }));
  await put("node", testNode(1));
  await using scope = new AsyncDisposableStack();
  const server = scope.adopt(createServer().listen(0, "127.0.0.1"), (one) => void one.close());
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const host = scope.adopt(connect(address.port, "127.0.0.1"), (one) => void one.destroy());
  const [manager]: Socket[] = await once(server, "connection");
  assert.ok(manager);
  scope.defer(() => void manager.destroy());

  const events: string[] = [];
  const lost = Promise.withResolvers<void>();
  const onLost = () => {
    events.push("lost");
    lost.resolve();
  };
  const ports = { clock: systemClock, random: systemRandom, log: silentLog };
  const registry = scope.use(new NodeRegistry({ reconnectMs: 0 }, { ...ports, store, onLost }));
  manager.on("data", () => {
    events.push("beat");
    registry.beat("node1");
  });
  await nextLoop();
  host.write("beat");
  standStill(350);
  await lost.promise;
  assert.deepEqual(events, ["beat", "lost"]);
});
