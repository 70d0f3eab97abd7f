/** What a node offers beside CPU and memory, who gets it, who waits for it, and who gives way. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";

const image = "registry:5000/busybox:1";
const deadlineMs = 20_000;

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "scheduling",
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

async function create(name: string, ...flags: readonly string[]): Promise<void> {
  const script = "echo got=$DOCKER_RESOURCE_GPU; exec sleep 1000";
  const common = ["--detach", "--name", name, "--stop-grace-period", "0s"];
  await swarmctl("service", "create", ...common, ...flags, image, "sh", "-c", script);
}

/** The pieces that the service's containers were told, in order. */
async function granted(service: string, count: number): Promise<readonly string[]> {
  return await waitFor(
    `${count} containers of ${service} to say what they got`,
    async () => {
      const log = await swarmctl("service", "logs", "--raw", service);
      const pieces = [...log.matchAll(/^got=(.*)$/gm)].map(([, piece = ""]) => piece);
      return pieces.length === count && pieces.toSorted((a, b) => a.localeCompare(b));
    },
    { timeoutMs: deadlineMs },
  );
}

async function waiting(service: string, why: RegExp): Promise<void> {
  const waits = () =>
    view
      .tasks(service)
      .find(({ status }) => status?.state === TaskState.PENDING && why.test(status.err));
  await view.until(`a task of ${service} to wait: ${why}`, waits, deadlineMs);
}

test("a node's pieces are told in node inspect, granted one by one, and whoever comes too late says what lacks", async () => {
  const worker = lab.host("h2");
  await worker.swarmd.stop();
  const flags = ["--generic-resource", "gpu=UUID1,gpu=UUID2", "--label", "disk=fast"];
  await worker.startSwarmd(undefined, flags);
  const told = await waitFor(
    "the node to tell its pieces",
    async () => {
      const text = await swarmctl("node", "inspect", "--pretty", "h2");
      return text.includes("UUID2") && text;
    },
    { timeoutMs: deadlineMs },
  );
  assert.match(told, /disk=fast/);
  const flagsOfService = [
    "--generic-resource",
    "gpu=1",
    "--constraint",
    "engine.labels.disk==fast",
  ];
  await create("low", "--replicas", "3", ...flagsOfService);
  assert.deepEqual(await granted("low", 2), ["UUID1", "UUID2"]);
  const why =
    /^no suitable node \((?=.*insufficient gpu on 1 node)(?=.*scheduling constraints not satisfied on 1 node)/;
  await waiting("low", why);
});

test("a higher priority takes the piece of a lower one, which says for whom", async () => {
  await swarmctl("cluster", "update", "--preemption", "true");
  await create("high", "--priority", "5", "--generic-resource", "gpu=1");
  const [piece = ""] = await granted("high", 1);
  assert.match(piece, /^UUID[12]$/);
  const ps = await swarmctl("service", "ps", "--no-trunc", "low");
  assert.match(ps, /preempted: gives way to high\.1 of priority 5/);
  assert.equal(view.running("low").length, 1);
  await waiting("low", /insufficient gpu on 1 node/);
  await swarmctl("service", "rm", "high");
  await view.until("the lower to have it back", () => view.running("low").length === 2, deadlineMs);
});

test("a mistyped constraint is refused with what was meant", async () => {
  const flags = ["--constraint", "node.lables.disk==ssd"];
  await assert.rejects(create("typo", ...flags), /did you mean "node\.labels\.disk"\?/);
});
