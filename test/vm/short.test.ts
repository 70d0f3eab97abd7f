/** The short form of `life.test.ts`: npm test -- test/vm/short.test.ts */
import { test } from "node:test";
import { applyAgainChangesNothing, applyFromNothing, reboot, upgrade } from "./life.ts";
import { makePackage } from "./operator.ts";
import { part } from "./part.ts";
import { Site } from "./site.ts";

test("machines, a cluster from a file, rebooted and upgraded", async (t) => {
  await using site = await Site.open({ machines: 3, onStep: (step) => t.diagnostic(step) });
  const { machines } = site;
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
  await part(ground, "a host reboots, and no request fails", async () => {
    await reboot(site, { machines: [site.machine(2)], cluster: machines });
  });
  await part(ground, "an upgrade under load fails no request and ends no container", async () => {
    const version = "0.2.0";
    await upgrade(site, { machines, packageFile: await makePackage(site, version), version });
  });
});
