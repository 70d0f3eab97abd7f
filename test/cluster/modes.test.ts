/** Global services, jobs and schedules on real hosts: they follow nodes, complete for good, and run when it is time. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { RunState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { swarmctl as ask } from "./managed.ts";

const image = "registry:5000/busybox:1";
const waitMs = 30_000;
const timeout = 60_000;

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "modes",
    managers: 1,
    workers: 2,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  view = await ClusterView.open(lab.host("h1"));
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

const swarmctl = (...args: readonly string[]) => ask(lab.host("h1"), ...args);

const homes = (name: string) =>
  view
    .running(name)
    .map((task) => view.hostnameOf(task))
    .toSorted()
    .join(" ");

const completed = (name: string): readonly Task[] =>
  view.tasks(name).filter(({ status }) => status?.state === TaskState.COMPLETE);

test("a global service follows nodes' labels and availability", { timeout }, async () => {
  await swarmctl("node", "update", "--label-add", "rack=a", "h1");
  await swarmctl("node", "update", "--label-add", "rack=a", "h3");
  const flags = ["--name", "all", "--mode", "global", "--constraint", "node.labels.rack==a"];
  await swarmctl(
    "service",
    "create",
    ...flags,
    "--stop-grace-period",
    "0s",
    image,
    "sleep",
    "1000",
  );
  assert.equal(homes("all"), "h1 h3");
  await swarmctl("node", "update", "--label-add", "rack=a", "h2");
  await view.until("h2 to have a task", () => homes("all") === "h1 h2 h3", waitMs);
  await swarmctl("node", "update", "--label-rm", "rack", "h1");
  await swarmctl("node", "update", "--availability", "drain", "h3");
  await view.until("h2 alone to have one", () => homes("all") === "h2", waitMs);
  assert.match(await swarmctl("service", "ls", "--filter", "name=all"), /global +1\/1/);
  await swarmctl("node", "update", "--availability", "active", "h3");
  await view.until("h3 to have one again", () => homes("all") === "h2 h3", waitMs);
  await swarmctl("service", "rm", "all");
});

test("a job waits for another, completes, and stays complete when a host loses its power", {
  timeout,
}, async () => {
  const job = ["--mode", "replicated-job"];
  const waiting = ["--name", "second", "--replicas", "4", "--max-concurrent", "2"];
  const first = ["--name", "first", "--replicas", "1", ...job, image, "sleep", "2"];
  const second = ["-d", "--depends-on", "first:completed", ...waiting, ...job];
  await swarmctl("service", "create", ...second, image, "sleep", "1");
  const says = (task: Task | undefined) => task?.status?.message ?? "";
  const message = "waiting for service first, which does not exist";
  await view.until("it to wait", () => says(view.tasks("second")[0]) === message, waitMs);
  await swarmctl("service", "create", ...first);
  assert.equal(completed("first").length, 1);
  const four = () => completed("second").length === 4;
  await view.until("its completion", four, waitMs);
  const before = view.tasks("second").map(({ id }) => id);
  await lab.host("h2").kill();
  await lab.host("h2").start();
  await swarmctl(
    "service",
    "create",
    "--name",
    "after",
    "--mode",
    "global",
    image,
    "sleep",
    "1000",
  );
  assert.deepEqual(
    view.tasks("second").map(({ id }) => id),
    before,
  );
  assert.ok(four());
});

test("a job with a schedule runs at the minute, once", { timeout: 120_000 }, async () => {
  const flags = ["-d", "--name", "tick", "--mode", "replicated-job", "--schedule", "* * * * *"];
  await swarmctl("service", "create", ...flags, image, "true");
  assert.deepEqual(view.tasks("tick"), []);
  const runs = () => view.service("tick")?.scheduleStatus?.runs ?? [];
  await view.until("a run", () => runs()[0]?.state === RunState.COMPLETED, 70_000);
  const [run] = runs();
  assert.equal(msFromTimestamp(run?.scheduledAt) % 60_000, 0);
  assert.equal(completed("tick").length, 1);
  assert.equal(view.tasks("tick").length, 1);
  await swarmctl("service", "run-now", "tick");
  const byHand = () =>
    runs().some(
      ({ scheduledAt, state }) => scheduledAt === undefined && state === RunState.COMPLETED,
    );
  await view.until("the run by hand", byHand, waitMs);
});
