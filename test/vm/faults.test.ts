/** What keeps hosts from being a cluster's, where only a machine of its own can have it: apply names it, and changes nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { applyTimeoutMs, makePackage, swarmctlExec, writeClusterFile } from "./operator.ts";
import { part } from "./part.ts";
import { Site } from "./site.ts";

/** Leaves less on the disk than a host needs. */
const fillDisk = `fallocate -l $(($(df --output=avail -B1 / | tail -n 1) - 100000000)) /var/fill`;

test("machines, hosts that cannot be a cluster's", async (t) => {
  await using site = await Site.open({ machines: 2, onStep: (step) => t.diagnostic(step) });
  const { machines } = site;
  const [m1, m2] = [site.machine(1), site.machine(2)];
  const packageFile = await makePackage(site, "0.1.0");
  await Promise.all([m1.start({ kernel: ["module_blacklist=vxlan"] }), m2.start()]);
  const ground = { t, site };
  const apply = async (file: string, ...args: readonly string[]) => {
    const command = ["cluster", "apply", "-f", file, "--package", packageFile, ...args];
    const { status, stdout, stderr } = await swarmctlExec(site, command, {
      timeoutMs: applyTimeoutMs,
    });
    return { status, said: `${stdout}${stderr}` };
  };

  await part(
    ground,
    "a kernel without VXLAN, a full disk and a wrong clock are named",
    async () => {
      await m1.run(fillDisk);
      await m2.run("timedatectl set-ntp false && date --set '+10 minutes'");
      const { status, said } = await apply(await writeClusterFile(site, { machines }));
      assert.equal(status, 1, said);
      assert.match(said, /^m1 +kernel:vxlan /m);
      assert.match(said, /^m1 +disk:\S+ +\d+ MiB are free, \d+ MiB are needed/m);
      assert.match(said, /^m2 +clock +its clock is 10 min ahead of/m);
      for (const machine of machines) await machine.run("test ! -e /usr/lib/swarm");
    },
  );
  await part(ground, "a user without sudo is told what to do", async () => {
    const { status, said } = await apply(await writeClusterFile(site, { machines, user: "guest" }));
    assert.equal(status, 1, said);
    assert.match(said, /Cannot become root on .*sudo/);
  });
  await part(ground, "when all is mended, a user with sudo sees what will be done", async () => {
    await m1.run("rm /var/fill");
    await m2.run("date --set '-10 minutes'");
    await m1.shutDown();
    await m1.start();
    const file = await writeClusterFile(site, { machines, user: "admin" });
    const { status, said } = await apply(file, "--dry-run");
    assert.equal(status, 0, said);
    assert.match(said, /^STEP +HOST +WHAT/m);
    for (const machine of machines) await machine.run("test ! -e /usr/lib/swarm");
  });
});
