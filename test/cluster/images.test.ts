/** Images as a user of the cluster handles them: brought to all nodes, saved, removed, loaded and run without a registry. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { ClusterView } from "#lab/cluster-view.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { swarmctl } from "./managed.ts";

const image = "registry:5000/busybox:1";
const archive = "/run/busybox.tar";

let lab: Lab;
let host: Host;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({ name: "images", workers: 1, ownedByThisProcess: true });
  host = lab.host("h1");
  view = await ClusterView.open(host);
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

async function rows(...flags: readonly string[]): Promise<readonly string[]> {
  const [, ...lines] = (await swarmctl(host, "image", "ls", ...flags)).split("\n");
  return lines.map((line) =>
    line
      .split(/\s{3,}/)
      .slice(0, 3)
      .join(" "),
  );
}

test("images, are pulled, shown, saved and removed on all nodes or on one", async () => {
  assert.equal(await swarmctl(host, "image", "pull", image), image);
  const row = (name: string) => `${name} registry:5000/busybox 1`;
  assert.deepEqual(await rows(), [row("h1"), row("h2")]);
  const id = await swarmctl(host, "image", "ls", "-q", "--no-trunc");
  assert.match(id, /^sha256:[0-9a-f]{64}$/);
  const [about] = JSON.parse(await swarmctl(host, "image", "inspect", image)) as {
    nodes: string[];
  }[];
  assert.deepEqual(about?.nodes, ["h1", "h2"]);
  assert.match(await swarmctl(host, "image", "history", "-q", "--no-trunc", image), /sha256:/);
  await swarmctl(host, "image", "save", "-o", archive, image);
  const usage = await swarmctl(host, "system", "df", "--node", "h2");
  assert.match(usage, /h2 +Images +1 +0 +[0-9.]+MB +[0-9.]+MB \(100%\)/);
  assert.match(await swarmctl(host, "image", "rm", "--node", "h1", image), /^Untagged: registry/);
  assert.deepEqual(await rows(), [row("h2")]);
  assert.match(await swarmctl(host, "system", "prune", "-a", "-f"), /^Deleted Images:\nsha256:/);
  assert.deepEqual(await rows(), []);
});

test("an image that was loaded, runs on all nodes while there is no registry", async () => {
  await lab.registry.stop();
  const loaded = await swarmctl(host, "image", "load", archive);
  assert.deepEqual(loaded.split("\n"), [
    `h1: Loaded image: ${image}`,
    `h2: Loaded image: ${image}`,
  ]);
  const flags = ["-d", "--name", "web", "--replicas", "2", "--stop-grace-period", "1s"];
  await swarmctl(host, "service", "create", ...flags, image, "sleep", "1000");
  const run = () => {
    const tasks = view.tasks("web").filter(({ status }) => status?.state === TaskState.RUNNING);
    return new Set(tasks.map(({ nodeId }) => nodeId)).size === 2;
  };
  await view.until("a task to run on each node", run, 60_000);
  const { status, stderr } = await host.exec("swarmctl", ["image", "rm", "-f", image]);
  assert.equal(status, 1);
  assert.match(stderr, /Node "h[12]": image "registry:5000\/busybox:1" is in use by task/);
  await swarmctl(host, "image", "prune", "-a", "-f");
  assert.equal((await rows("--filter", "in-use=true")).length, 2);
});
