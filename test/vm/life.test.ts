/** The life of a cluster on real machines: from nothing, through upgrades, reboots and losses, to a restored backup. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { registrySetup } from "./identity.ts";
import {
  answersEverywhere,
  apply,
  applyAgainChangesNothing,
  applyFromNothing,
  reboot,
  upgrade,
} from "./life.ts";
import {
  makePackage,
  nodes,
  swarmctl,
  untilReady,
  untilRunning,
  writeClusterFile,
} from "./operator.ts";
import { part } from "./part.ts";
import { Prober } from "./prober.ts";
import { Site } from "./site.ts";

test("machines, a cluster from a file, and through its life", async (t) => {
  await using site = await Site.open({ machines: 4, onStep: (step) => t.diagnostic(step) });
  const [m1, m2, m3] = [site.machine(1), site.machine(2), site.machine(3)];
  const machines = [m1, m2, m3];
  const packageFile = await makePackage(site, "0.1.0");
  await Promise.all(machines.map(async (machine) => await machine.start()));
  const ground = { t, site };

  await part(ground, "apply makes a running, encrypted, highly available stack", async (t) => {
    const seconds = await applyFromNothing(site, { machines, packageFile });
    t.diagnostic(`from nothing to a running stack: ${Math.round(seconds)} s`);
  });
  await part(ground, "a second apply changes nothing", async () => {
    await applyAgainChangesNothing(site, machines);
  });
  await part(ground, "an upgrade under load fails no request and ends no container", async () => {
    const version = "0.2.0";
    await upgrade(site, { machines, packageFile: await makePackage(site, version), version });
  });
  await part(ground, "hosts reboot one after the other, and no request fails", async () => {
    await reboot(site, { machines, cluster: machines });
  });
  await part(ground, "a host leaves the file and comes back, and no request fails", async () => {
    const stay = [m1, m2];
    await using prober = await Prober.start(site, stay);
    const smaller = await writeClusterFile(site, { machines: stay });
    await apply(site, smaller, "--yes");
    assert.deepEqual((await nodes(site)).map(({ Hostname }) => Hostname).toSorted(), ["m1", "m2"]);
    const left = await m3.run("swarmctl cluster info 2>&1 || true; pgrep -c conmon || true");
    await m3.run(registrySetup);
    assert.doesNotMatch(left, /active\b(?<!inactive)/);
    await apply(site, await writeClusterFile(site, { machines }), "--package", packageFile);
    await untilReady(site, machines);
    assert.deepEqual((await prober.stop()).failures, []);
  });
  await part(
    ground,
    "a host without power is replaced, and is back when it has power",
    async () => {
      await m3.cutPower();
      await untilRunning(site);
      await answersEverywhere(site, [m1, m2]);
      await m3.start();
      await untilReady(site, machines);
      await answersEverywhere(site, machines);
    },
  );
  await part(ground, "after a stop of all hosts everything comes back by itself", async () => {
    await Promise.all(machines.map(async (machine) => await machine.shutDown()));
    await Promise.all(machines.map(async (machine) => await machine.start()));
    await untilReady(site, machines);
    await untilRunning(site);
    await answersEverywhere(site, machines);
  });
  await part(ground, "a backup is restored on a fresh machine", async () => {
    const backup = join(site.files.folder, "cluster.backup");
    await swarmctl(site, ["cluster", "backup", backup]);
    for (const machine of machines) await machine.cutPower();
    const fresh = site.machine(4);
    await fresh.start();
    await fresh.put(packageFile, "/root/package.tar.gz");
    await fresh.put(backup, "/root/cluster.backup");
    await fresh.run("tar -xf /root/package.tar.gz -C /root && /root/swarm-*/install.sh", {
      timeoutMs: 600_000,
    });
    await fresh.run(
      `swarmctl cluster restore --advertise-addr ${fresh.address} /root/cluster.backup`,
      { timeoutMs: 300_000 },
    );
    await fresh.run("until curl -fsS -m 20 http://127.0.0.1:8080/cgi-bin/ask; do sleep 2; done", {
      timeoutMs: 600_000,
    });
  });
});
