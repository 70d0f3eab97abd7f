/** Hosts that give each other layers: the registry is asked about once, and need not be there for hosts that come later. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";
import { swarmctl } from "./managed.ts";
import { type PushedImage, pushImage } from "./pushed-image.ts";

let lab: Lab;
let view: ClusterView;
let image: PushedImage;

before(async () => {
  lab = await Lab.up({ name: "layer-peers", workers: 3, ownedByThisProcess: true });
  view = await ClusterView.open(lab.host("h1"));
  image = await pushImage(lab, "large", randomBytes(20_000_000));
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

/** From the start of the registry's log on, how often hosts asked for the layer. */
async function timesFetched(): Promise<number> {
  const log = await readFile(lab.registry.logPath, "utf8");
  const request = `"GET /v2/large/blobs/${image.layerDigest} `;
  return log.split("\n").filter((line) => line.includes(request)).length;
}

test("three hosts that start one image take its layer from the registry once", async () => {
  const h1 = lab.host("h1");
  await swarmctl(h1, "node", "update", "--availability", "drain", "h4");
  const flags = ["-d", "--name", "web", "--replicas", "3", "--stop-grace-period", "1s"];
  await swarmctl(h1, "service", "create", ...flags, image.reference, "sleep", "1000");
  await view.until("three tasks to run", () => view.running("web").length === 3, 60_000);
  assert.equal(new Set(view.running("web").map(({ nodeId }) => nodeId)).size, 3);
  assert.equal(await timesFetched(), 1);
});

test("without a registry, a host that never had the image runs it", async () => {
  const h1 = lab.host("h1");
  await lab.registry.stop();
  await swarmctl(h1, "node", "update", "--availability", "active", "h4");
  await swarmctl(h1, "service", "scale", "-d", "web=4");
  const runsOnH4 = () => view.running("web").some((task) => view.hostnameOf(task) === "h4");
  await view.until("a task to run on h4", runsOnH4, 60_000);
  assert.equal(await timesFetched(), 1);
});
