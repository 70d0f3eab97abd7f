/** Hosts come into a cluster, become managers and workers, leave it and are removed, while its containers run on. */
import assert from "node:assert/strict";
import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";
import { NodeRole, NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  containersOf,
  type Info,
  infoOf,
  joinToken,
  managersSeenBy,
  NodeWitness,
  nodeOf,
  swarmctl,
  untilAnswers,
  untilInfo,
  untilManagers,
} from "./managed.ts";
import { assertRefuses } from "./refusal.ts";

const waitMs = 30_000;

let lab: Lab;
let h1: Host;
let h2: Host;
let h3: Host;
let h4: Host;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "membership",
    workers: 3,
    images: ["busybox"],
    cluster: false,
    ownedByThisProcess: true,
  });
  [h1, h2, h3, h4] = [lab.host("h1"), lab.host("h2"), lab.host("h3"), lab.host("h4")];
  await Promise.all(lab.hosts.map((host) => host.startSwarmd()));
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

const refuses = (host: Host, args: readonly string[], says: string | RegExp) =>
  assertRefuses(host, ["swarmctl", ...args], { status: 1, says });

const enter = (host: Host, token: string) =>
  swarmctl(host, "cluster", "join", "--token", token, h1.address);

const says =
  (words: RegExp) =>
  ({ error = "" }: Info) =>
    words.test(error);

test("init takes its flags, and who joins is what its token says", async () => {
  const address = `${h1.address}:2377`;
  const flags = ["--advertise-addr", h1.address, "--listen-addr", address, "--cert-expiry", "48h"];
  const said = await swarmctl(h1, "cluster", "init", ...flags);
  assert.match(said, new RegExp(`cluster join --token SWMTKN-1-\\w{50}-\\w{25} ${address}$`, "m"));
  assert.match(await h1.run("ss", ["-Htln"]), new RegExp(` ${address} `));
  assert.match(await swarmctl(h1, "cluster", "info"), /^Certificate: .* (47|48) hours from now$/m);
  const [worker, manager] = [await joinToken(h1, "worker"), await joinToken(h1, "manager")];
  const joined = await Promise.all([enter(h2, manager), enter(h3, manager), enter(h4, worker)]);
  const roles = joined.map((words) => / joined a swarm as a (\w+)\.$/.exec(words)?.[1]);
  assert.deepEqual(roles, ["manager", "manager", "worker"]);
  const seen = { h1: "Leader", h2: "Reachable", h3: "Reachable", h4: "" };
  for (const host of [h1, h3]) assert.deepEqual(await managersSeenBy(host), seen);
  await refuses(h4, ["node", "ls"], /^This host is not a manager; run the command on one of: /);
  view = await ClusterView.open(h1, h2);
});

test("a worker becomes a manager and a worker again: its container and its node do not notice", async () => {
  const image = ["--stop-grace-period", "1s", "registry:5000/busybox:1", "sleep", "100000"];
  await swarmctl(h1, "service", "create", "-d", "--name", "web", "--replicas", "4", ...image);
  await view.until("web to run", () => view.running("web").length === 4, waitMs);
  const containers = containersOf(view, "web");
  assert.deepEqual(Object.keys(containers).toSorted(), ["h1", "h2", "h3", "h4"]);
  using witness = new NodeWitness(view);
  const promoted = await swarmctl(h2, "node", "promote", "h4");
  assert.equal(promoted, "Node h4 promoted to a manager in the swarm.");
  const isManager = () => nodeOf(view, h4)?.managerStatus !== undefined;
  await view.until("h4 to be a manager", isManager, waitMs);
  await untilAnswers(h4, "node", "ls");
  assert.equal((await managersSeenBy(h4))["h4"], "Reachable");
  assert.equal(await swarmctl(h4, "node", "promote", "h4"), "Node h4 is already a manager.");
  assert.equal(await swarmctl(h1, "node", "demote", "h4"), "Manager h4 demoted in the swarm.");
  const isWorker = () => nodeOf(view, h4)?.role === NodeRole.WORKER && !isManager();
  await view.until("h4 to be a worker", isWorker, waitMs);
  const managerEnded = async () =>
    (await h4.exec("pgrep", ["-f", "[m]anager/main.ts"])).status === 1 &&
    !existsSync(join(h4.dataRoot, "manager"));
  await waitFor("the manager of h4 to end", managerEnded, { timeoutMs: waitMs });
  await untilInfo(h4, "to be with a manager", ({ connected }) => connected === true);
  assert.deepEqual(containersOf(view, "web"), containers);
  assert.deepEqual(witness.troubled, []);
});

test("what would cost the managers their quorum is refused with the numbers", async () => {
  await h3.swarmd.stop();
  await untilManagers(h1, "h3 lost", (seen) => seen["h3"] === "Unreachable");
  await refuses(
    h1,
    ["node", "demote", "h2"],
    'Cannot demote node "h2": the managers would lose their quorum: of the 2 that would be left 2 must be reachable, and 1 is',
  );
  await refuses(
    h2,
    ["cluster", "leave"],
    /^Cannot leave the cluster: this node is a manager\. Without it 1 of 3 managers are left, and 2 are needed: /,
  );
  const removal = 'Cannot remove node "h2": it is a manager';
  await refuses(h1, ["node", "rm", "h2"], new RegExp(`^${removal}: demote it first`));
  await refuses(h1, ["node", "rm", "-f", "h2"], `${removal} that can be reached: demote it first`);
  assert.equal((await managersSeenBy(h1))["h2"], "Reachable");
});

test("a manager that is lost is removed by force, and its log cannot come back", async () => {
  assert.equal(await swarmctl(h1, "node", "rm", "--force", "h3"), "h3");
  await h3.startSwarmd();
  await untilInfo(h3, "to say that it was removed", says(/removed from the cluster/));
  assert.deepEqual(Object.keys(await managersSeenBy(h1)), ["h1", "h2", "h4"]);
  assert.equal(await swarmctl(h3, "cluster", "leave", "--force"), "Node left the swarm.");
  assert.equal((await infoOf(h3)).nodeId, undefined);
});

test("who left joins again, as what its new token says", async () => {
  const former = nodeOf(view, h3)?.id;
  await enter(h3, await joinToken(h1, "worker"));
  const back = await view.until("h3 to be back", () => nodeOf(view, h3), waitMs);
  assert.notEqual(back.id, former);
  await refuses(
    h1,
    ["node", "rm", "h4"],
    /^node "h4" is not down: .*leave" on it, or remove it by force$/,
  );
  assert.equal(await swarmctl(h4, "cluster", "leave"), "Node left the swarm.");
  const isDown = () => nodeOf(view, h4)?.status?.state === NodeState.DOWN;
  await view.until("h4 to be down", isDown, waitMs);
  assert.equal(await swarmctl(h1, "node", "rm", "h4"), "h4");
  await enter(h4, await joinToken(h2, "manager"));
  assert.equal((await managersSeenBy(h4))["h4"], "Reachable");
});

test("a worker that is removed while it is up says so, and nobody lets it in again", async () => {
  assert.equal(await swarmctl(h2, "node", "rm", "--force", "h3"), "h3");
  await untilInfo(h3, "to say that it was removed", says(/removed from the cluster/));
  await h3.swarmd.stop();
  await h3.startSwarmd();
  await untilInfo(h3, "to say so again", says(/removed from the cluster/));
  assert.equal(await swarmctl(h3, "cluster", "leave"), "Node left the swarm.");
});

test("a token that was renewed lets nobody in, and those who are in do not notice", async () => {
  using witness = new NodeWitness(view);
  const old = await joinToken(h1, "worker");
  const renewed = await swarmctl(h2, "cluster", "join-token", "--rotate", "-q", "worker");
  assert.notEqual(renewed, old);
  const join = ["cluster", "join", h1.address, "--token"];
  await refuses(
    h3,
    [...join, old],
    "Cannot join a cluster: the join token is no token of this cluster: it may have been rotated, or is mistyped; copy it anew from a manager",
  );
  assert.equal((await infoOf(h3)).nodeId, undefined);
  await enter(h3, renewed);
  await view.until(
    "h3 to be ready",
    () => nodeOf(view, h3)?.status?.state === NodeState.READY,
    waitMs,
  );
  await refuses(
    h3,
    [...join, renewed],
    /^Cannot join a cluster: this host belongs to cluster \w{25} already/,
  );
  assert.deepEqual(
    witness.troubled.filter((name) => name !== "h3"),
    [],
  );
});

test("of two hosts with one identity both hear of it, and the one that leaves ends it", async () => {
  const { nodeId } = await infoOf(h3);
  await swarmctl(h4, "cluster", "leave", "--force");
  await untilManagers(h1, "h4 lost", (seen) => seen["h4"] === "Unreachable");
  await swarmctl(h1, "node", "rm", "--force", "h4");
  await h4.swarmd.stop();
  for (const name of ["node.json", "certificates"]) {
    cpSync(join(h3.dataRoot, name), join(h4.dataRoot, name), { recursive: true });
  }
  await h4.startSwarmd();
  await Promise.any(
    [h3, h4].map((host) => untilInfo(host, "to hear of it", says(/two hosts use one identity/))),
  );
  assert.equal((await infoOf(h4)).nodeId, nodeId);
  await swarmctl(h4, "cluster", "leave");
  await untilInfo(h3, "to be in peace", ({ connected }) => connected === true);
});

test("the last manager stays, unless the cluster shall end", async () => {
  assert.equal(await swarmctl(h1, "node", "demote", "h2"), "Manager h2 demoted in the swarm.");
  const isAlone = () => nodeOf(view, h2)?.managerStatus === undefined;
  await view.until("h2 to be a worker", isAlone, waitMs);
  await refuses(
    h1,
    ["node", "demote", "self"],
    /^Cannot demote node "h1": it is the last manager; promote another node first$/,
  );
  await refuses(
    h1,
    ["cluster", "leave"],
    "Cannot leave the cluster: this node is a manager. It is the last one: leaving erases the state of the whole cluster. Use --force to do so.",
  );
  assert.equal(await swarmctl(h1, "cluster", "leave", "--force"), "Node left the swarm.");
  assert.equal(await swarmctl(h1, "cluster", "info"), "Swarm: inactive\nVersion: 0.1.0");
  await swarmctl(h1, "cluster", "init");
});
