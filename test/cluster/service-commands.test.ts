/** `swarmctl service …` on real hosts: plans come true, waits end with the truth, and who stops waiting stops nothing. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { UpdateState } from "#proto/gen/swarm/v1/types_pb.ts";
import { swarmctl as ask } from "./managed.ts";

const image = "registry:5000/busybox:1";
const waitMs = 30_000;
const timeout = 60_000;

let lab: Lab;
let host: Host;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "service-commands",
    managers: 1,
    workers: 1,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  host = lab.host("h1");
  view = await ClusterView.open(host);
  await service("create -d --name web --replicas 2 --stop-grace-period 0s", image, "sleep", "1000");
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

const words = (text: string) => ["service", ...text.split(" ")];

async function service(text: string, ...more: readonly string[]): Promise<string> {
  return await ask(host, ...words(text), ...more);
}

const idsOf = (name: string) =>
  view
    .running(name)
    .map(({ id }) => id)
    .toSorted();

async function untilRuns(name: string, count: number): Promise<string[]> {
  await view.until(`${count} tasks of ${name}`, () => idsOf(name).length === count, waitMs);
  return idsOf(name);
}

test("a plan names the tasks that the update then replaces", { timeout }, async () => {
  const before = await untilRuns("web", 2);
  const label = "--label-add tier=front";
  const harmless = await host.exec("swarmctl", words(`plan --detailed-exitcode ${label} web`));
  assert.equal(harmless.status, 2);
  assert.match(
    harmless.stdout,
    /\+ annotations\.labels\[tier\]: "front"\n {2}no task would restart/,
  );
  await service(`update -q ${label} web`);
  assert.deepEqual(idsOf("web"), before);
  const again = await host.exec("swarmctl", words(`plan --detailed-exitcode ${label} web`));
  assert.deepEqual([again.status, again.stdout], [0, "service web would not change\n"]);

  const flags = "--env-add A=1 --update-parallelism 0 --update-monitor 1s";
  const plan = JSON.parse(await service(`plan --format json ${flags} web`));
  assert.deepEqual(plan.replacedTasks.toSorted(), ["web.1", "web.2"]);
  assert.deepEqual(idsOf("web"), before);
  await service(`update -q ${flags} web`);
  const after = await untilRuns("web", 2);
  assert.ok(after.every((id) => !before.includes(id)));
});

test("Ctrl-C ends the wait, and the update goes on", { timeout }, async () => {
  const before = await untilRuns("web", 2);
  const update = words("update --env-add B=2 --update-monitor 3s web");
  const interrupt = ["--preserve-status", "-s", "INT", "1.5", "swarmctl", ...update];
  const { status, stderr } = await host.exec("timeout", interrupt);
  assert.deepEqual(
    [status, stderr],
    [130, 'Operation continuing in background: see "swarmctl service ps web"\n'],
  );
  const stateOf = () => view.service("web")?.updateStatus?.state;
  await view.until("the update to end", () => stateOf() === UpdateState.COMPLETED, waitMs);
  assert.ok(idsOf("web").every((id) => !before.includes(id)));
});

test("what cannot run ends with 1 and the reason", { timeout }, async () => {
  const pinned = words("create --name pinned --timeout 3s --constraint node.labels.none==x");
  const { status, stderr } = await host.exec("swarmctl", [...pinned, image]);
  assert.equal(status, 1);
  assert.match(stderr, /0 of 1 tasks run \(pinned\.1: no suitable node \(.*2 nodes\)\)/);
  const text = await service("ps --no-trunc --format {{.Error}} pinned");
  assert.match(text, /^"no suitable node \(/);

  const job = words("create --name bad --mode replicated-job --restart-condition none");
  const failed = await host.exec("swarmctl", [...job, image, "sh", "-c", "exit 3"]);
  assert.equal(failed.status, 1);
  assert.match(failed.stderr, /bad\.1 is not restarted: exit code 3/);
});

test("lists tell Docker's numbers, and filters choose", { timeout }, async () => {
  await service("create --name done --mode replicated-job --replicas 2", image, "true");
  const format = "{{.Name}} {{.Mode}} {{.Replicas}}";
  assert.deepEqual(
    (
      await ask(host, "service", "ls", "-f", "name=done", "-f", "name=web", "--format", format)
    ).split("\n"),
    ["done replicated job 0/2 (2/2 completed)", "web replicated 2/2"],
  );
  const ids = await service("ps -q -f desired-state=running web");
  assert.deepEqual(ids.split("\n").toSorted(), idsOf("web"));
});
