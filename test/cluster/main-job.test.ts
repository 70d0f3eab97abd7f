/** What the product is for, on three real hosts: tasks run, find each other, and come back, whatever dies. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";
import { untilNothingRemains } from "./remains.ts";

const image = "registry:5000/busybox:1";
const serve = [
  "sh",
  "-c",
  "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 80 -h /www",
];
/** Prints a number each 50 ms: a gap in the log is a number that is missing. */
const count = ["sh", "-c", "i=0; while true; do i=$((i+1)); echo $i; sleep 0.05; done"];

/** Three hosts unpack a large image onto one disk. */
const imageMs = 90_000;

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "main-job",
    managers: 1,
    workers: 2,
    images: ["busybox", "debian"],
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

async function create(name: string, flags: readonly string[], command: readonly string[]) {
  await swarmctl(
    "service",
    "create",
    "--name",
    name,
    "--restart-delay",
    "0s",
    "--stop-grace-period",
    "1s",
    ...flags,
    image,
    ...command,
  );
}

/** Runs a command in a task's container, from its host. */
async function inTask(task: Task, ...command: readonly string[]): Promise<string> {
  const pid = task.status?.container?.pid ?? 0;
  const enter = ["-t", String(pid), "-m", "-n", "-u", "--", ...command];
  return await lab.host(view.hostnameOf(task)).run("nsenter", enter);
}

function only(tasks: readonly Task[]): Task {
  const [task] = tasks;
  assert.ok(task !== undefined, "there is a task");
  return task;
}

async function firstRunning(service: string): Promise<Task> {
  return await view.until(`${service} to run`, () => view.running(service)[0], 20_000);
}

test("a service's tasks spread over the hosts and answer by name from every other host", async () => {
  await swarmctl("network", "create", "web-net");
  await create("web", ["--network", "web-net", "--replicas", "3"], serve);
  await create("asker", ["--network", "web-net"], ["sleep", "100000"]);
  const webs = await view.until(
    "web to run",
    () => view.running("web").length === 3 && view.running("web"),
    20_000,
  );
  assert.deepEqual(webs.map((task) => view.hostnameOf(task)).toSorted(), ["h1", "h2", "h3"]);
  const asker = await firstRunning("asker");
  const names = new Set<string>();
  await waitFor(
    "an answer from each task",
    async () => names.add((await inTask(asker, "wget", "-qO-", "http://web/")).trim()).size === 3,
    { timeoutMs: 20_000 },
  );
  assert.deepEqual([...names].toSorted(), webs.map((task) => task.id.slice(0, 12)).toSorted());
});

test("a task on another network reaches neither name nor address", async () => {
  await swarmctl("network", "create", "other-net");
  await create("stranger", ["--network", "other-net"], ["sleep", "100000"]);
  const stranger = await firstRunning("stranger");
  const [address] = only(view.running("web")).networks[0]?.addresses ?? [];
  const target = String(address).split("/")[0];
  await assert.rejects(inTask(stranger, "nslookup", "web"), /can't find web/);
  await assert.rejects(inTask(stranger, "wget", "-qO-", `http://${target}/`), /wget/);
  await swarmctl("service", "rm", "stranger");
});

test("a killed container is back in place, with its address, and its attempts are shown", async () => {
  const task = only(view.running("web"));
  const host = lab.host(view.hostnameOf(task));
  await host.run("kill", ["-9", String(task.status?.container?.pid)]);
  const again = await view.until(
    "the container to be back",
    () => view.running("web").find(({ id, status }) => id === task.id && status?.attempt === 2),
    5_000,
  );
  assert.equal(again.networks[0]?.addresses[0], task.networks[0]?.addresses[0]);
  assert.match(await swarmctl("service", "ps", "web", "--no-trunc"), /SIGKILL|137/);
  const asker = only(view.running("asker"));
  assert.match(await inTask(asker, "wget", "-qO-", "http://web/"), /^[0-9a-z]{12}/);
});

test("containers do not notice that swarmd is killed and started again", async () => {
  // A manager dies with its swarmd, and the view with the only manager.
  await create("counter", ["--constraint", "node.role==worker"], count);
  const task = await firstRunning("counter");
  const host = lab.host(view.hostnameOf(task));
  await host.swarmd.kill();
  await host.startSwarmd();
  await view.until(
    "the node to be ready",
    () => view.nodes.every(({ status }) => status?.state === NodeState.READY),
    10_000,
  );
  const now = only(view.running("counter"));
  assert.equal(now.id, task.id);
  assert.equal(now.status?.container?.pid, task.status?.container?.pid);
  assert.equal(now.status?.attempt, 1);
  const lines = (await swarmctl("service", "logs", "--raw", "counter")).trim().split("\n");
  assert.deepEqual(
    lines,
    lines.map((_, index) => String(index + 1)),
  );
  assert.ok(lines.length > 10);
});

test("a container that ends while swarmd is away is started again when swarmd is back", async () => {
  const task = only(view.running("counter"));
  const host = lab.host(view.hostnameOf(task));
  await host.swarmd.kill();
  await host.run("kill", ["-9", String(task.status?.container?.pid)]);
  await host.startSwarmd();
  const again = await view.until(
    "the second attempt",
    () => view.running("counter").find(({ status }) => status?.attempt === 2),
    10_000,
  );
  assert.equal(again.id, task.id);
});

test("a killed manager comes back with everything it acknowledged", async () => {
  const manager = lab.host("h1");
  const acknowledged: string[] = [];
  for (let round = 0; round < 3; round++) {
    const name = `kept-${round}`;
    await swarmctl("network", "create", name);
    await manager.run("sh", ["-c", "pkill -9 -f '[m]anager/main.ts'"]);
    acknowledged.push(name);
    await waitFor(
      "the manager to serve again",
      async () => (await manager.exec("swarmctl", ["network", "ls"])).status === 0,
      { timeoutMs: 15_000 },
    );
    const listed = await swarmctl("network", "ls");
    for (const kept of acknowledged) assert.match(listed, new RegExp(`\\b${kept}\\b`));
  }
  view[Symbol.dispose]();
  view = await ClusterView.open(manager);
  assert.equal(view.running("web").length, 3);
  await view.until(
    "all nodes to be ready",
    () => view.nodes.every(({ status }) => status?.state === NodeState.READY),
    10_000,
  );
  await swarmctl("network", "rm", ...acknowledged);
});

test("local restarts go on while the manager is away", async () => {
  const task = await view.until(
    "a task on a worker",
    () => view.running("web").find((candidate) => view.hostnameOf(candidate) !== "h1"),
    5_000,
  );
  const host = lab.host(view.hostnameOf(task));
  const oldPid = String(task.status?.container?.pid);
  await lab.cut(host.name);
  await host.run("kill", ["-9", oldPid]);
  const pidFile = ["-f", `[h]ttpd -f -p 80`];
  await waitFor(
    "a new container without a manager",
    async () => {
      const { stdout } = await host.exec("pgrep", pidFile);
      return stdout.trim() !== "" && !stdout.trim().split("\n").includes(oldPid);
    },
    { timeoutMs: 5_000 },
  );
  await lab.heal();
  await view.until(
    "all nodes to be ready and three web tasks to run",
    () =>
      view.nodes.every(({ status }) => status?.state === NodeState.READY) &&
      view.running("web").length === 3,
    20_000,
  );
});

test("a lost host's tasks run elsewhere, and its own are gone when it returns", async () => {
  const victim = lab.host("h3");
  await victim.kill();
  await view.until(
    "h3 to be down",
    () =>
      view.nodes.some(
        ({ description, status }) =>
          description?.hostname === "h3" && status?.state === NodeState.DOWN,
      ),
    10_000,
  );
  await view.until(
    "three tasks on two hosts",
    () => {
      const tasks = view.running("web").filter((task) => view.hostnameOf(task) !== "h3");
      return tasks.length === 3;
    },
    10_000,
  );
  const asker = await view.until(
    "the asker to run",
    () => view.running("asker").find((task) => view.hostnameOf(task) !== "h3"),
    10_000,
  );
  assert.match(await inTask(asker, "wget", "-qO-", "http://web/"), /^[0-9a-z]{12}/);
  await victim.start();
  await view.until(
    "h3 to be ready",
    () => view.nodes.every(({ status }) => status?.state === NodeState.READY),
    15_000,
  );
  await waitFor(
    "no container on h3 but what is assigned to it",
    async () => {
      const { stdout } = await victim.exec("sh", ["-c", "pgrep conmon | wc -l"]);
      const assigned = ["web", "asker", "counter"].flatMap((name) => view.running(name));
      return Number(stdout) === assigned.filter((task) => view.hostnameOf(task) === "h3").length;
    },
    { timeoutMs: 15_000 },
  );
});

test("scaling and updating change what they should and nothing else", async () => {
  const kept = new Set(view.running("web").map(({ id }) => id));
  await swarmctl("service", "scale", "web=5");
  await view.until("five tasks", () => view.running("web").length === 5, 20_000);
  for (const id of kept) assert.ok(view.running("web").some((task) => task.id === id));
  await swarmctl("service", "scale", "web=2");
  await view.until("two tasks", () => view.running("web").length === 2, 20_000);
  assert.match(await swarmctl("service", "ls"), /web\s+replicated\s+2\/2/);
});

test("a second deploy of the same stack changes nothing", async () => {
  const file = new URL("../../stacks/hello.yml", import.meta.url).pathname;
  await swarmctl("stack", "deploy", "-c", file, "hello");
  await view.until("the stack to run", () => view.running("hello_web").length === 3, imageMs);
  const before = new Map(view.running("hello_web").map((task) => [task.id, task.status?.attempt]));
  const index = view.service("hello_web")?.meta?.version?.index;
  const said = await swarmctl("stack", "deploy", "-c", file, "hello");
  assert.doesNotMatch(said, /Creating|Updating/);
  assert.equal(view.service("hello_web")?.meta?.version?.index, index);
  assert.deepEqual(
    new Map(view.running("hello_web").map((task) => [task.id, task.status?.attempt])),
    before,
  );
  await swarmctl("stack", "rm", "hello");
  await view.until("the stack to be gone", () => view.tasks("hello_web").length === 0, 30_000);
});

test("removed services leave nothing on any host", async () => {
  await swarmctl("service", "rm", "web", "asker", "counter");
  await view.until(
    "all tasks to be gone",
    () => ["web", "asker", "counter"].every((name) => view.tasks(name).length === 0),
    30_000,
  );
  await untilNothingRemains(lab);
});

test("states are as Swarm names them", async () => {
  await swarmctl(
    "service",
    "create",
    "-d",
    "--name",
    "done",
    "--restart-condition",
    "none",
    image,
    "true",
  );
  const task = await view.until(
    "the task to complete",
    () => view.tasks("done").find(({ status }) => status?.state === TaskState.COMPLETE),
    15_000,
  );
  assert.equal(task.status?.container?.exitCode, 0);
  assert.match(await swarmctl("service", "ps", "done"), /Complete/);
  await swarmctl("service", "rm", "done");
});
