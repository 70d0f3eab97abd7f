/** Real containers burn CPU, their node measures it, and the service grows and shrinks by that. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";

const image = "registry:5000/busybox:1";

/** Half a minute of warm-up, two measurements, a round; and a busy machine. */
const waitMs = 90_000;
const timeout = 120_000;

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "autoscale",
    managers: 1,
    workers: 1,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  view = await ClusterView.open(lab.host("h1"));
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

async function swarmctl(...args: readonly string[]): Promise<string> {
  return await lab.host("h1").run("swarmctl", args);
}

const statusOf = (name: string) => view.service(name)?.autoscaleStatus;

test("autoscaling: a busy service grows to its bound, and says why", { timeout }, async () => {
  // Twice what is reserved, of a CPU that others use too; until the file is there.
  const script = "while :; do [ -e /tmp/idle ] && sleep 1; done";
  const bounds = ["--replicas-min=1", "--replicas-max=3", "--scale-cpu=50%"];
  const flags = ["--reserve-cpu=0.05", "--limit-cpu=0.1", "--scale-down-after=5s"];
  const mount = "--mount=type=volume,source=tmp,target=/tmp";
  const command = [mount, "--stop-signal=KILL", image, "sh", "-c", script];
  await swarmctl("service", "create", "--name=busy", ...bounds, ...flags, ...command);
  assert.match(await swarmctl("service", "ls"), /busy .* 1\/1 .*1-3, cpu/);
  await view.until("three wanted", () => statusOf("busy")?.replicas === 3n, waitMs);
  assert.match(statusOf("busy")?.message ?? "", /^scaled from \d to 3: CPU at \d+ %, 50 % wanted$/);
  await view.until("three tasks", () => view.running("busy").length === 3, waitMs);
  assert.match(await swarmctl("service", "ls"), /3\/3/);
  const refused = await lab.host("h1").exec("swarmctl", ["service", "scale", "busy=9"]);
  assert.match(refused.stderr, /Cannot scale service "busy" to 9: it is autoscaled from 1 to 3/);
});

test("autoscaling: an idle one shrinks", { timeout }, async () => {
  for (const task of view.running("busy")) {
    await swarmctl("exec", task.id, "touch", "/tmp/idle");
  }
  await view.until("one task", () => statusOf("busy")?.replicas === 1n, waitMs);
  await view.until("one running", () => view.running("busy").length === 1, waitMs);
});
