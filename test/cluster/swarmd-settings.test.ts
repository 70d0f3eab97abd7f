/** A configuration file that changes while swarmd runs: what managers hear of it, and what holds without a start. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";

const image = "registry:5000/busybox:1";
const deadlineMs = 30_000;
const name = "swarmd.yml";

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "settings",
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

function write(...lines: readonly string[]): void {
  writeFileSync(join(lab.host("h2").dataRoot, name), lines.join("\n"));
}

async function reload(): Promise<void> {
  await lab.host("h2").run("pkill", ["-HUP", "-o", "-f", "/swarmd(/main.ts|.js) "]);
}

async function labels(words: RegExp): Promise<void> {
  const told = async () => words.test(await swarmctl("node", "inspect", "--pretty", "h2"));
  await waitFor(`h2 to tell ${words}`, told, { timeoutMs: deadlineMs });
}

test("labels of the file reach the scheduler on SIGHUP, and containers run on through it", async () => {
  const worker = lab.host("h2");
  await worker.swarmd.stop();
  write("label: {disk: slow}");
  await worker.startSwarmd(undefined, [`--config=/var/lib/swarm/${name}`]);
  await labels(/disk=slow/);
  const common = ["--detach", "--constraint", "engine.labels.disk==fast", "--name", "web"];
  await swarmctl("service", "create", ...common, image, "sleep", "1000");
  write("label: {disk: fast}", "image-gc-high: 90", "log-level: debug");
  await reload();
  await labels(/disk=fast/);
  await view.until("the task to run", () => view.running("web").length === 1, deadlineMs);
  const [task] = view.running("web");
  write("label: {disk: fast, zone: a}");
  await reload();
  await labels(/zone=a/);
  assert.deepEqual(
    view.running("web").map(({ id }) => id),
    [task?.id],
  );
});

test("a file that cannot be read changes nothing, and says where", async () => {
  write("label: {zone: b}", "no-such-key: 1");
  await reload();
  const log = () => lab.host("h2").run("cat", ["/var/lib/swarm/swarmd.log"]);
  await waitFor(
    "the complaint",
    async () => /swarmd\.yml:2:1: no-such-key is not known/.test(await log()),
    { timeoutMs: deadlineMs },
  );
  await labels(/zone=a/);
});
