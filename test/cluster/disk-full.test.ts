/** A disk that is full before an image is unpacked: nothing half-done stays, and the task runs once there is room. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { pushImage } from "./pushed-image.ts";
import { untilNothingRemains } from "./remains.ts";

const imageFolder = "/var/lib/swarm/agent/image";
const diskMb = 16;

let lab: Lab;
let host: Host;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({ name: "disk-full", ownedByThisProcess: true });
  host = lab.host("h1");
  await host.swarmd.stop();
  await host.run("mount", ["-t", "tmpfs", "-o", `size=${diskMb}m`, "images", imageFolder]);
  await host.startSwarmd();
  await host.run("sh", ["-c", "until swarmctl node ls -q >&- 2>&-; do sleep 0.1; done"]);
  view = await ClusterView.open(host);
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

const files = {
  // Small on its way, large when unpacked.
  zeros: Buffer.alloc(2 * diskMb * 2 ** 20),
  // Does not even arrive whole.
  noise: randomBytes(2 * diskMb * 2 ** 20),
};

for (const [name, file] of Object.entries(files)) {
  test(`an image that is larger than the disk (${name}), until the disk is larger`, async () => {
    const { reference } = await pushImage(lab, name, file);
    const flags = ["-d", "--name", name, "--restart-delay", "200ms", "--stop-grace-period", "1s"];
    flags.push("--no-resolve-image");
    await host.run("swarmctl", ["service", "create", ...flags, reference, "sleep", "1000"]);
    const error = () => view.tasks(name).find(({ status }) => status?.err)?.status?.err;
    assert.equal(
      await view.until("a task to fail", error, 10_000),
      `Cannot pull image "${reference}": no space is left on the disk that holds "${imageFolder}": free some and try again`,
    );
    const shown = await host.run("swarmctl", ["service", "ps", "--no-trunc", name]);
    assert.match(shown, /"Cannot pull image .* free some and try again"/);
    await host.run("mount", ["-o", `remount,size=${8 * diskMb}m`, imageFolder]);
    await view.until("the task to run", () => view.running(name).length === 1, 20_000);
    await host.run("swarmctl", ["service", "rm", name]);
    await untilNothingRemains(lab);
    const usedMb = Number(await host.run("sh", ["-c", `du -sm ${imageFolder} | cut -f1`]));
    // Back to a disk with no room for the next image.
    await host.run("mount", ["-o", `remount,size=${usedMb + diskMb}m`, imageFolder]);
  });
}
