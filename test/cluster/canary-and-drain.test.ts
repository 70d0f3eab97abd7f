/** Updates with canaries, drains and rebalances on several managers: nothing is down that need not be, whoever leads. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";
import { UpdateState } from "#proto/gen/swarm/v1/types_pb.ts";
import { swarmctl, untilAnswers, untilManagers } from "./managed.ts";

const image = "registry:5000/busybox:1";
const waitMs = 30_000;
const timeout = 120_000;

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "canary",
    managers: 3,
    workers: 0,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  view = await ClusterView.open(...lab.hosts);
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

const stop = ["--stop-signal=KILL", "--update-monitor=200ms", "--rollback-monitor=200ms"];

async function createService(name: string, ...flags: readonly string[]): Promise<void> {
  const command = [image, "sleep", "100000"];
  await swarmctl(
    lab.host("h1"),
    "service",
    "create",
    "--name",
    name,
    ...stop,
    ...flags,
    ...command,
  );
}

function stateOf(name: string): UpdateState | undefined {
  return view.service(name)?.updateStatus?.state;
}

/** How many run with the value. */
function countOf(name: string, value: string): number {
  return view.running(name).filter(({ spec }) => {
    const env = spec?.runtime.case === "container" ? spec.runtime.value.env : [];
    return env.includes(`V=${value}`);
  }).length;
}

test("canaries wait for a promotion, through another leader, too", { timeout }, async () => {
  await createService("web", "--replicas=3", "--env=V=1", "--update-canary=1");
  await swarmctl(lab.host("h1"), "service", "update", "--env-add=V=2", "web");
  assert.equal(stateOf("web"), UpdateState.CANARY);
  assert.deepEqual([countOf("web", "1"), countOf("web", "2")], [2, 1]);
  assert.match(
    view.service("web")?.updateStatus?.message ?? "",
    /^update waits with 1 of 3 tasks changed: go on with "swarmctl service promote web"/,
  );

  const seen = await untilManagers(lab.host("h1"), "a leader", (now) =>
    Object.values(now).includes("Leader"),
  );
  const leader = lab.hosts.find(({ name }) => seen[name] === "Leader");
  const other = lab.hosts.find(({ name }) => seen[name] !== "Leader");
  assert(leader !== undefined && other !== undefined);
  let most = 0;
  using _watch = view.onChange(() => (most = Math.max(most, countOf("web", "2"))));
  await leader.kill();
  await untilAnswers(other, "node", "ls", "-q");
  const three = () =>
    view.running("web").length === 3 &&
    view.running("web").every((task) => view.hostnameOf(task) !== leader.name);
  await view.until("three tasks on the others", three, waitMs);
  assert.deepEqual([countOf("web", "1"), countOf("web", "2")], [2, 1]);
  assert.equal(stateOf("web"), UpdateState.CANARY);
  assert.equal(most, 1, "a lost task is made again as it was");

  await swarmctl(other, "service", "promote", "web");
  assert.equal(stateOf("web"), UpdateState.COMPLETED);
  assert.equal(countOf("web", "2"), 3);
  await leader.start();
  await untilAnswers(leader, "node", "ls", "-q");
});

test("a canary that ends takes the update back", { timeout }, async () => {
  const h1 = lab.host("h1");
  await createService("bad", "--replicas=2", "--env=V=1", "--update-canary=1");
  const failing = ["--env-add=V=2", "--args=sh -c 'sleep 2; exit 7'"];
  await swarmctl(h1, "service", "update", "-d", ...failing, "bad");
  const waits = () => stateOf("bad") === UpdateState.CANARY && countOf("bad", "2") === 1;
  await view.until("the canary to run", waits, waitMs);
  const back = () => stateOf("bad") === UpdateState.ROLLBACK_STARTED && view.service("bad");
  const service = await view.until("the canary to fail", back, waitMs);
  const words = /^update rolled back due to failure or early termination of task \S+: exit code 7$/;
  assert.match(service.updateStatus?.message ?? "", words);
  const done = () => stateOf("bad") === UpdateState.ROLLBACK_COMPLETED;
  await view.until("the update to be taken back", done, waitMs);
  assert.equal(countOf("bad", "1"), 2);
});

test("a drain in start-first order is no outage for one replica, and a rebalance evens out", {
  timeout,
}, async () => {
  const h1 = lab.host("h1");
  await createService("one", "--update-order=start-first");
  await createService("four", "--replicas=6", "--update-parallelism=2");
  const [task] = view.running("one");
  assert(task !== undefined);
  const drained = lab.host(view.hostnameOf(task));
  let least = Infinity;
  let leastOfFour = Infinity;
  {
    using _watch = view.onChange(() => {
      least = Math.min(least, view.running("one").length);
      leastOfFour = Math.min(leastOfFour, view.running("four").length);
    });
    await swarmctl(h1, "node", "update", "--availability=drain", drained.name);
    const moved = () =>
      view.running("one").length === 1 &&
      view.running("four").length === 6 &&
      [...view.running("one"), ...view.running("four")].every(
        (one) => view.hostnameOf(one) !== drained.name,
      );
    await view.until("the node to be left", moved, waitMs);
  }
  assert.equal(least, 1);
  assert.ok(leastOfFour >= 4, `${leastOfFour} of 6`);
  const listed = await swarmctl(
    h1,
    "node",
    "ps",
    "-q",
    "--filter=desired-state=running",
    drained.name,
  );
  assert.equal(listed, "");

  await swarmctl(h1, "node", "update", "--availability=active", drained.name);
  await swarmctl(h1, "service", "rebalance", "four");
  const counts = Map.groupBy(view.running("four"), (one) => view.hostnameOf(one));
  assert.deepEqual(
    [...counts.values()].map(({ length }) => length),
    [2, 2, 2],
  );
});
