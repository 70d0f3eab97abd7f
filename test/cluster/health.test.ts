/** Health across hosts: who is not healthy is not found by name, on whatever host the asker is. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { Health, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";

const image = "registry:5000/busybox:1";
const deadlineMs = 20_000;
const deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"];

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "health",
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

/** In the container, as far as its file system and network go. */
async function inTask(task: Task, ...command: readonly string[]): Promise<string> {
  const { status, stdout } = await lab
    .host(view.hostnameOf(task))
    .exec("nsenter", ["--net", "--mount", `--target=${task.status?.container?.pid}`, ...command]);
  return `${status} ${stdout}`;
}

function addressOf(task: Task): string {
  return task.networks[0]?.addresses[0]?.replace(/\/.*/, "") ?? "";
}

/** Until the name "tasks.web" has these addresses and no others, whichever of the tasks asks. */
async function untilAllFind(askers: readonly Task[], wanted: readonly Task[]): Promise<void> {
  const addresses = wanted.map(addressOf).toSorted(inOrder).join();
  for (const asker of askers) {
    const finds = async () => {
      const said = await inTask(asker, "busybox", "nslookup", "-type=a", "tasks.web");
      const answer = said.split("Name:").slice(1).join("");
      const found = [...answer.matchAll(/Address: *([0-9.]+)/g)].map(([, address = ""]) => address);
      return found.toSorted(inOrder).join() === addresses;
    };
    await waitFor(`tasks.web to be ${addresses || "nowhere"}`, finds, { timeoutMs: deadlineMs });
  }
}

function inOrder(a: string, b: string): number {
  return a < b ? -1 : 1;
}

test("a task is found by name from when it is healthy until it is unhealthy, and is stopped after that", async () => {
  await swarmctl("network", "create", "net");
  const asking = ["--network", "net", "--replicas", "2", image, "sleep", "1000"];
  await swarmctl("service", "create", "--name", "asker", ...asking);
  const flags =
    "--replicas 2 --health-interval 200ms --health-retries 2 --health-start-period 60s --health-start-interval 200ms " +
    "--stop-grace-period 5s --restart-delay 0s --detach";
  const named = ["--name", "web", "--network", "net", "--health-cmd", "test -e /well"];
  await swarmctl("service", "create", ...named, ...flags.split(" "), image, ...deaf);
  const starting = await view.until(
    "both to be checked",
    () => {
      const tasks = view.tasks("web");
      const checked = tasks.filter((task) => task.status?.container?.health === Health.STARTING);
      return checked.length === 2 && checked;
    },
    deadlineMs,
  );
  const [first, second] = starting;
  assert.ok(first !== undefined && second !== undefined);
  assert.equal(first.status?.state, TaskState.STARTING);
  const askers = view.running("asker");
  assert.equal(new Set(askers.map((task) => task.nodeId)).size, 2);
  const untilFound = (...wanted: readonly Task[]) => untilAllFind(askers, wanted);
  await untilFound();
  await inTask(first, "busybox", "touch", "/well");
  await view.until("one to run", () => view.running("web").length === 1, deadlineMs);
  await untilFound(first);
  await inTask(second, "busybox", "touch", "/well");
  await view.until("both to run", () => view.running("web").length === 2, deadlineMs);
  await untilFound(first, second);
  await inTask(first, "busybox", "rm", "/well");
  const ill = await view.until(
    "it to be unhealthy",
    () => view.tasks("web").find(({ status }) => status?.container?.health === Health.UNHEALTHY),
    deadlineMs,
  );
  assert.equal(ill.id, first.id);
  assert.equal(ill.status?.state, TaskState.RUNNING);
  await untilFound(second);
  // It is deaf to its stop signal: out of DNS, it still runs.
  const now = view.tasks("web").find(({ id }) => id === first.id);
  assert.equal(now?.status?.attempt, 1);
  const again = await view.until(
    "it to be started again",
    () => view.tasks("web").find(({ id, status }) => id === first.id && status?.attempt === 2),
    deadlineMs,
  );
  assert.match(again.status?.attempts[0]?.reason ?? "", /^unhealthy: /);
});
