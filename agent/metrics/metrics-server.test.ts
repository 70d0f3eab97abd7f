import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "#proto/fault.ts";
import { silentLog } from "#proto/system-ports.ts";
import { serveMetrics } from "./metrics-server.ts";

const status = {
  convergences: 7,
  convergenceMs: 25,
  repairs: 2,
  drift: ["route 10.0.16.4"],
  refusals: [],
  obstacles: ["firewalld"],
};

const sources = { network: () => status, running: () => 3, connected: () => true };

test("metrics, what the host counts is there in Prometheus' text", async () => {
  await using server = await serveMetrics("127.0.0.1:0", sources, { log: silentLog });
  const response = await fetch(`http://${server.address}/metrics`);
  assert.match(response.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  for (const line of [
    "swarm_connected 1",
    "swarm_containers_running 3",
    "swarm_network_convergences_total 7",
    "swarm_network_convergence_seconds 0.025",
    "swarm_network_repairs_total 2",
    "swarm_network_obstacles 1",
  ]) {
    assert(text.includes(`${line}\n`), line);
  }
  assert.match(text, /^swarm_build_info\{version="[^"]+"\} 1$/m);
  const again = await (await fetch(`http://${server.address}/metrics`)).text();
  assert(again.includes("swarm_network_repairs_total 2\n"), "counts are not added up");
});

test("metrics, anything else is told where they are", async () => {
  await using server = await serveMetrics("127.0.0.1:0", sources, { log: silentLog });
  const response = await fetch(`http://${server.address}/`);
  assert.equal(response.status, 404);
  assert.equal(await response.text(), "Metrics are at /metrics\n");
});

test("metrics, an address that is taken is named", async () => {
  await using server = await serveMetrics("127.0.0.1:0", sources, { log: silentLog });
  await assert.rejects(
    serveMetrics(server.address, sources, { log: silentLog }),
    (fault) =>
      fault instanceof Fault && fault.message.includes(`Cannot serve metrics at ${server.address}`),
  );
});
