/** What is left to do when managers lock themselves, lose their disk's room or their log, or are lost for good. */
import assert from "node:assert/strict";
import { copyFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  containersOf,
  infoOf,
  joinToken,
  managersSeenBy,
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
/** Belongs to no cluster until one is restored on it. */
let spare: Host;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "recovery",
    managers: 3,
    workers: 1,
    images: ["busybox"],
    cluster: false,
    ownedByThisProcess: true,
  });
  [h1, h2, h3, spare] = [lab.host("h1"), lab.host("h2"), lab.host("h3"), lab.host("h4")];
  await Promise.all(lab.hosts.map((host) => host.startSwarmd()));
  await swarmctl(h1, "cluster", "init");
  const token = await joinToken(h1, "manager");
  await Promise.all([h2, h3].map((host) => enter(host, token)));
  view = await ClusterView.open(h1, h2);
  const image = ["--stop-grace-period", "1s", "registry:5000/busybox:1", "sleep", "100000"];
  await swarmctl(h1, "service", "create", "-d", "--name", "web", "--replicas", "3", ...image);
  await view.until("web to run", () => view.running("web").length === 3, waitMs);
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

const enter = (host: Host, token: string) =>
  swarmctl(host, "cluster", "join", "--token", token, h1.address);

const refuses = (host: Host, args: readonly string[], says: string | RegExp, input = "") =>
  assertRefuses(host, ["swarmctl", ...args], { status: 1, says, input });

const unlock = (host: Host, key: string) =>
  host.run("swarmctl", ["cluster", "unlock"], { input: `${key}\n` });

const isReachable = (host: Host) => (seen: Readonly<Record<string, string>>) =>
  seen[host.name] === "Reachable" || seen[host.name] === "Leader";

/** Resolves when swarmd or the manager of the host has written this. */
async function said(host: Host, words: RegExp): Promise<void> {
  const look = async () => words.test(await host.run("cat", ["/var/lib/swarm/swarmd.log"]));
  await waitFor(`${host.name} to say ${words}`, look, { timeoutMs: waitMs });
}

test("managers that lock themselves wait for their key, and their containers do not", async () => {
  const words = await swarmctl(h1, "cluster", "update", "--autolock");
  const [key = ""] = /SWMKEY-1-\S{43}/.exec(words) ?? [];
  assert.equal(await swarmctl(h2, "cluster", "unlock-key", "-q"), key);
  const sealed = async () =>
    (await h3.run("head", ["-1", "/var/lib/swarm/certificates/node.key"])).includes("SEALED");
  await waitFor("h3 to seal its key", sealed, { timeoutMs: waitMs });
  const container = await h3.run("pgrep", ["-fx", "sleep 100000"]);
  await h3.swarmd.stop();
  await h3.startSwarmd();
  await untilInfo(h3, "to be locked", ({ locked }) => locked === true);
  const lines = await swarmctl(h3, "cluster", "info");
  assert.match(lines, /^Swarm: locked: run "swarmctl cluster unlock"$/m);
  assert.equal(await h3.run("pgrep", ["-fx", "sleep 100000"]), container);
  await refuses(
    h3,
    ["node", "ls"],
    'This host\'s manager is locked: run "swarmctl cluster unlock" first',
  );
  const wrong = `SWMKEY-1-${"A".repeat(43)}`;
  await refuses(
    h3,
    ["cluster", "unlock"],
    /^Cannot unlock the manager: the unlock key is wrong; if it was changed shortly before /,
    `${wrong}\n`,
  );
  await refuses(
    h3,
    ["cluster", "unlock"],
    /^Cannot unlock the manager: this is not an unlock key: /,
    "x\n",
  );
  const rotated = await swarmctl(h1, "cluster", "unlock-key", "--rotate", "-q");
  assert.notEqual(rotated, key);
  // It was locked when the key changed: the one before holds here.
  await unlock(h3, key);
  await untilManagers(h3, "itself back", isReachable(h3));
  const log = await h3.run("cat", ["/var/lib/swarm/swarmd.log"]);
  for (const secret of [key, rotated]) assert(!log.includes(secret), "the log tells the key");
  await swarmctl(h1, "cluster", "update", "--autolock=false");
  assert.equal(await swarmctl(h1, "cluster", "unlock-key", "-q").catch(() => ""), "");
  const open = async () => !(await sealed());
  await waitFor("h3 to have its key open", open, { timeoutMs: waitMs });
  await h3.swarmd.stop();
  await h3.startSwarmd();
  await untilManagers(h3, "itself back without a key", isReachable(h3));
});

test("a manager whose disk is full leaves the lead to others, and is back when there is room", async () => {
  const folder = "/var/lib/swarm/manager";
  const aside = "/var/lib/swarm/aside";
  await h1.swarmd.stop();
  await h1.run("sh", [
    "-c",
    `cp -a ${folder} ${aside} && mount -t tmpfs -o size=8m,mode=0700 log ${folder} && cp -a ${aside}/. ${folder}`,
  ]);
  await h1.startSwarmd();
  await untilManagers(h1, "itself back", isReachable(h1));
  await h1.exec("dd", ["if=/dev/zero", `of=${folder}/fill`, "bs=64k"]);
  const value = "x".repeat(400_000);
  const write = async (turn: number) => {
    await h2.run("swarmctl", ["config", "create", `large${turn}`, "-"], { input: value });
  };
  for (const turn of [1, 2, 3]) await write(turn);
  await said(h1, /disk is full|no space is left|the disk .* full/i);
  const leader = Object.entries(await managersSeenBy(h2)).find(([, word]) => word === "Leader");
  assert.notEqual(leader?.[0], "h1");
  assert.equal(view.running("web").length, 3);
  await h1.run("rm", [`${folder}/fill`]);
  await untilAnswers(h1, "config", "inspect", "large3");
  await untilManagers(h1, "itself back", isReachable(h1));
  await h1.swarmd.stop();
  await h1.run("sh", [
    "-c",
    `cp -a ${folder}/. ${aside} && umount ${folder} && cp -a ${aside}/. ${folder}`,
  ]);
  await h1.startSwarmd();
  await untilManagers(h1, "itself on its disk", isReachable(h1));
});

test("a manager with a damaged log names the record, and joins anew", async () => {
  await h3.swarmd.stop();
  const database = new DatabaseSync(join(h3.dataRoot, "manager", "log.db"));
  const last = database.prepare("SELECT max(entry) AS entry FROM entries").get();
  const entry = Number(last?.["entry"]);
  database.exec(`UPDATE entries SET sealed = x'00' WHERE entry = ${entry}`);
  database.close();
  await h3.startSwarmd();
  await said(
    h3,
    new RegExp(
      `log "/var/lib/swarm/manager/log.db" is damaged: entry ${entry} does not match its seal; at another manager, demote this one and promote it again`,
    ),
  );
  await untilManagers(h1, "h3 lost", (seen) => seen["h3"] === "Unreachable");
  await swarmctl(h1, "node", "rm", "--force", "h3");
  await swarmctl(h3, "cluster", "leave", "--force");
  await enter(h3, await joinToken(h1, "manager"));
  assert.ok(isReachable(h3)(await managersSeenBy(h3)));
});

test("a backup of the living cluster becomes one of its own on another host", async () => {
  await view.until("web to run", () => view.running("web").length === 3, waitMs);
  const [file, copy] = ["/var/lib/swarm/backup", join(spare.dataRoot, "backup")];
  assert.match(await swarmctl(h2, "cluster", "backup", file), /^Wrote .*: \d+ bytes\.$/);
  const written = join(h2.dataRoot, "backup");
  assert.equal(statSync(written).mode & 0o777, 0o600);
  copyFileSync(written, copy);
  const containers = containersOf(view, "web");
  await refuses(
    h3,
    ["cluster", "restore", "/etc/passwd"],
    /^Cannot restore the cluster: this host belongs to cluster \w{25} already/,
  );
  await refuses(
    spare,
    ["cluster", "restore", "/etc/passwd"],
    /^Cannot restore the cluster: .*backup/,
  );
  assert.equal((await infoOf(spare)).nodeId, undefined);
  assert.match(
    await swarmctl(spare, "cluster", "restore", file),
    /is its only manager, at 172\.31\.0\.4:2377\.$/m,
  );
  assert.match(await swarmctl(spare, "service", "ls"), / web /);
  using restored = await ClusterView.open(spare);
  const ready = restored.nodes.filter(({ status }) => status?.state === NodeState.READY);
  await restored.until("web to run", () => restored.running("web").length === 3, waitMs);
  for (const task of restored.running("web")) assert.equal(restored.hostnameOf(task), "h4");
  assert.deepEqual(
    ready.map(({ description }) => description?.hostname),
    ["h4"],
  );
  assert.deepEqual(Object.keys(await managersSeenBy(h1)), ["h1", "h2", "h3"]);
  assert.deepEqual(containersOf(view, "web"), containers);
  await swarmctl(spare, "cluster", "leave", "--force");
});

test("one manager that survives goes on alone, and others join it", async () => {
  const container = await h1.run("pgrep", ["-fx", "sleep 100000"]);
  await Promise.all([h2.kill(), h3.kill()]);
  const forced = await swarmctl(h1, "cluster", "init", "--force-new-cluster");
  assert.match(forced, /is now a manager\.$/m);
  assert.equal((await managersSeenBy(h1))["h1"], "Leader");
  assert.equal(await h1.run("pgrep", ["-fx", "sleep 100000"]), container);
  using alone = await ClusterView.open(h1);
  await alone.until("web to run", () => alone.running("web").length === 3, waitMs);
  // It finds itself a worker: its log is of a life that is over.
  await h2.start();
  const isReady = () => nodeOf(alone, h2)?.status?.state === NodeState.READY;
  await alone.until("h2 to be back", isReady, waitMs);
  assert.equal((await managersSeenBy(h1))["h2"], "");
  const isWorker = async () => (await h2.exec("ls", ["/var/lib/swarm/manager"])).status !== 0;
  await waitFor("h2 to be a worker", isWorker, { timeoutMs: waitMs });
  await enter(spare, await joinToken(h1, "manager"));
  await swarmctl(h1, "node", "promote", "h2");
  await untilManagers(h2, "itself a manager", isReachable(h2));
  const seen = await managersSeenBy(spare);
  assert.deepEqual(seen, { h1: "Leader", h2: "Reachable", h3: "", h4: "Reachable" });
});
