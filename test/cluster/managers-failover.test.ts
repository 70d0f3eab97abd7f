/** Managers are lost, stopped and cut off: the others go on, no other node looks down, and no container notices. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  containersOf,
  NodeWitness,
  nodeOf,
  swarmctl,
  untilAnswers,
  untilManagers,
} from "./managed.ts";
import { assertRefuses } from "./refusal.ts";

const replicas = 5;
const waitMs = 30_000;
/** Of a new leader, an election and what swarmctl itself takes on a busy machine included. */
const failoverMs = 8_000;

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({ name: "failover", managers: 3, workers: 2, ownedByThisProcess: true });
  view = await ClusterView.open(lab.host("h1"), lab.host("h2"), lab.host("h3"));
  const flags = ["-d", "--name", "web", "--replicas", String(replicas)];
  const image = ["--stop-grace-period", "1s", "registry:5000/busybox:1", "sleep", "100000"];
  await swarmctl(lab.host("h1"), "service", "create", ...flags, ...image);
  await allRun();
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

async function allRun(): Promise<void> {
  await view.until("web to run", () => view.running("web").length === replicas, waitMs);
}

/** The leader, and the two managers beside it. */
async function managers(): Promise<readonly [leader: Host, other: Host, another: Host]> {
  const seen = await untilManagers(lab.host("h1"), "three managers", (now) => {
    const words = Object.values(now).filter((word) => word !== "");
    return words.toSorted().join() === "Leader,Reachable,Reachable";
  });
  const leader = lab.hosts.find(({ name }) => seen[name] === "Leader");
  const [other, another] = lab.hosts.filter(({ name }) => seen[name] === "Reachable");
  assert(leader !== undefined && other !== undefined && another !== undefined);
  return [leader, other, another];
}

async function untilReady(host: Host): Promise<void> {
  const isSo = () => nodeOf(view, host)?.status?.state === NodeState.READY;
  await view.until(`${host.name} to be ready`, isSo, waitMs);
}

/** What runs on other hosts than these. */
function besides(...hosts: readonly Host[]): readonly (readonly [hostname: string, pid: number])[] {
  const names = new Set(hosts.map(({ name }) => name));
  return Object.entries(containersOf(view, "web")).filter(([name]) => !names.has(name));
}

test("a leader that loses power is replaced within a moment, and its host alone looks down", async () => {
  const [leader, other, another] = await managers();
  using followed = await ClusterView.open(other);
  using witness = new NodeWitness(followed);
  const containers = besides(leader);
  assert.equal(containers.length, replicas - 1);
  await leader.kill();
  const startMs = performance.now();
  await swarmctl(other, "node", "update", "--label-add", "after=kill", "self");
  assert(performance.now() - startMs < failoverMs, "the next write takes long");
  await swarmctl(another, "service", "ls");
  await followed.until(
    "the lost task to run elsewhere",
    () =>
      nodeOf(followed, leader)?.status?.state === NodeState.DOWN &&
      followed.running("web").length === replicas,
    waitMs,
  );
  assert.deepEqual(witness.troubled, [leader.name]);
  const moved = followed.running("web").filter((task) => followed.hostnameOf(task) !== leader.name);
  const pids = new Set(moved.map(({ status }) => status?.container?.pid));
  for (const [name, pid] of containers) assert(pids.has(pid), `${name}: ${pid}`);
  await leader.start();
  await untilReady(leader);
  const isBack = (seen: Readonly<Record<string, string>>) => seen[leader.name] === "Reachable";
  await untilManagers(leader, "itself take part again", isBack);
});

test("a leader that is stopped hands over first: the next write waits for nobody", async () => {
  const [leader, other] = await managers();
  using witness = new NodeWitness(view);
  const stopped = leader.swarmd.stop();
  const startMs = performance.now();
  for (const turn of [1, 2, 3]) {
    await swarmctl(other, "node", "update", "--label-add", `turn=${turn}`, "self");
  }
  assert(performance.now() - startMs < failoverMs, "writes wait");
  await stopped;
  await leader.startSwarmd();
  await untilReady(leader);
  assert.deepEqual(
    witness.troubled.filter((name) => name !== leader.name),
    [],
  );
});

test("a leader that is cut off gives up, is replaced, and follows when it is back", async () => {
  const [leader, other, another] = await managers();
  using followed = await ClusterView.open(another);
  using witness = new NodeWitness(followed);
  const onOthers = besides(leader);
  await lab.cut(leader.name);
  const isLost = (seen: Readonly<Record<string, string>>) => seen[leader.name] === "Unreachable";
  await untilManagers(other, "the leader lost", isLost);
  await followed.until(
    "the node that is cut off to be down",
    () => nodeOf(followed, leader)?.status?.state === NodeState.DOWN,
    waitMs,
  );
  await lab.heal();
  await followed.until(
    "it to be ready again",
    () => nodeOf(followed, leader)?.status?.state === NodeState.READY,
    waitMs,
  );
  const follows = (seen: Readonly<Record<string, string>>) => seen[leader.name] === "Reachable";
  await untilManagers(leader, "itself follow", follows);
  assert.deepEqual(witness.troubled, [leader.name]);
  const left = containersOf(followed, "web");
  for (const [name, pid] of onOthers) assert.equal(left[name], pid, name);
});

test("without a majority writes are refused with the numbers, and containers go on", async () => {
  const [leader, other, survivor] = await managers();
  const containers = besides(leader, other);
  await Promise.all([leader.swarmd.stop(), other.swarmd.stop()]);
  const startMs = performance.now();
  const refused = assertRefuses(survivor, ["swarmctl", "service", "scale", "-d", "web=9"], {
    status: 1,
    says: /^The swarm does not have a leader: 1 of 3 managers can be reached, and a majority is 2\. Check that .*--force-new-cluster" here$/,
    timeoutMs: 40_000,
  });
  assert.match(await swarmctl(survivor, "node", "ls", "--stale"), / h5 /);
  assert.match(await swarmctl(survivor, "service", "ps", "--stale", "web"), / Running /);
  assert.match(
    await swarmctl(survivor, "cluster", "info"),
    /^Managers: unknown \(no leader answers within 3 s\)$/m,
  );
  await refused;
  assert(performance.now() - startMs < 35_000);
  await other.startSwarmd();
  const said = await untilAnswers(survivor, "service", "scale", "-d", "web=6");
  assert.equal(said, "web scaled to 6");
  await leader.startSwarmd();
  using followed = await ClusterView.open(survivor);
  await followed.until("six to run", () => followed.running("web").length === 6, waitMs);
  const pids = new Set(followed.running("web").map(({ status }) => status?.container?.pid));
  for (const [name, pid] of containers) assert(pids.has(pid), `${name}: ${pid}`);
});
