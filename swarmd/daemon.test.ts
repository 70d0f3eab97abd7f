import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { Daemon } from "./daemon.ts";

test("daemon, the backup of a restore that was cut short is not left on the disk", async (t) => {
  const root = mkdtempSync(join(tmpdir(), "swarm-daemon-"));
  t.after(() => rmSync(root, { recursive: true }));
  const backup = join(root, "restore.backup");
  writeFileSync(backup, "SWARMBAK");
  const config = {
    dataRoot: root,
    runRoot: root,
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
    logLevel: "info",
  } as const;
  const ports = { clock: systemClock, random: systemRandom, log: silentLog };
  await using daemon = await Daemon.start(config, ports);
  assert.equal(daemon.info().nodeId, "");
  assert(!existsSync(backup));
});
