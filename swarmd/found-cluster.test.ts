/** With the real manager on a loopback port. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { NodeAvailability } from "#proto/gen/swarm/v1/types_pb.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { identityOf, parseCertificate } from "#proto/tls/certificate.ts";
import { type Foundation, foundCluster } from "./found-cluster.ts";

const timeout = 30_000;
const ports = { clock: systemClock, random: systemRandom, log: silentLog };

async function prepare(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "swarm-found-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const taken = createServer().listen(0, "127.0.0.1");
  t.after(() => taken.close());
  await once(taken, "listening");
  const address = taken.address();
  assert(typeof address === "object" && address !== null);
  const listen = `127.0.0.1:${address.port}`;
  const foundation: Foundation = {
    config: {
      dataRoot: join(folder, "data"),
      runRoot: join(folder, "run"),
      cgroupParent: "swarm",
      engineAddress: "127.0.0.1:2378",
      fastPath: "off",
      metricsAddress: "",
      insecureRegistries: [],
      imageLayerBytesMax: 64 * 1024 ** 3,
      imageCollection: { highPercent: 85, lowPercent: 80, unusedMs: 720 * 3_600_000 },
      imagePeers: true,
      genericResources: [],
      labels: {},
      logLevel: "error",
    },
    advertised: listen,
    listen,
    dataPathAddress: "127.0.0.1",
    from: { how: "found", spec: undefined, availability: NodeAvailability.ACTIVE },
  };
  return { foundation, taken, listen };
}

test("founding, a taken port is told and leaves nothing; a second attempt succeeds", {
  timeout,
}, async (t) => {
  const { foundation, taken, listen } = await prepare(t);
  await assert.rejects(foundCluster(foundation, ports), {
    message: new RegExp(`Cannot listen on ${listen}: the address is in use; stop the program`),
  });
  assert.deepEqual(readdirSync(foundation.config.dataRoot), []);
  taken.close();
  const founded = await foundCluster(foundation, ports);
  await using _undo = founded.undo;
  const { nodeId, clusterId, number, managers } = founded.identity;
  assert.deepEqual([number, managers], [1, [listen]]);
  const named = identityOf(parseCertificate(founded.tls.certificate));
  assert.deepEqual(named, { kind: "node", nodeId, role: "manager", clusterId });
});

test("founding, undone leaves nothing", { timeout }, async (t) => {
  const { foundation, taken } = await prepare(t);
  taken.close();
  const founded = await foundCluster(foundation, ports);
  await founded.undo.disposeAsync();
  assert.deepEqual(readdirSync(foundation.config.dataRoot), []);
});

test("founding, does not touch the log of another cluster", { timeout }, async (t) => {
  const { foundation } = await prepare(t);
  const managerRoot = join(foundation.config.dataRoot, "manager");
  await mkdir(managerRoot, { recursive: true });
  await writeFile(join(managerRoot, "log.db"), "precious");
  await assert.rejects(foundCluster(foundation, ports), {
    code: "failed-precondition",
    message: `"${managerRoot}" holds the log of a cluster that this host does not know: move it away`,
  });
  assert(existsSync(join(managerRoot, "log.db")));
});
