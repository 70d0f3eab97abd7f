/** Hosts that cannot join: why is said in a sentence and in time, no host is let in half, and the good way works still. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { assertRefuses } from "./refusal.ts";

let lab: Lab;
let manager: Host;
let other: Host;
let joining: Host;
let token: string;

before(async () => {
  lab = await Lab.up({
    name: "join-faults",
    workers: 2,
    images: [],
    cluster: false,
    ownedByThisProcess: true,
  });
  [manager, other, joining] = [lab.host("h1"), lab.host("h2"), lab.host("h3")];
  await Promise.all(lab.hosts.map((host) => host.startSwarmd()));
  await Promise.all([manager, other].map((host) => host.run("swarmctl", ["cluster", "init"])));
  token = await workerToken(manager);
});

after(async () => {
  await lab?.down();
});

async function workerToken(host: Host): Promise<string> {
  return (await host.run("swarmctl", ["cluster", "join-token", "-q", "worker"])).trim();
}

async function refuses(withToken: string, at: string, says: string): Promise<void> {
  const command = ["swarmctl", "cluster", "join", "--token", withToken, at] as const;
  await assertRefuses(joining, command, { status: 1, says: `Cannot join a cluster: ${says}` });
  assert.ok(!existsSync(join(joining.dataRoot, "node.json")));
  assert.match((await joining.exec("swarmctl", ["node", "ls"])).stderr, /belongs to no cluster/);
}

test("a malformed token", async () => {
  const says =
    "the join token is malformed: it has the form SWMTKN-1-<50 characters>-<25 characters>; copy it anew from a manager";
  await refuses("SWMTKN-1-abc", manager.address, says);
  await refuses(`${token}x`, manager.address, says);
});

test("a token whose secret is mistyped", async () => {
  const mistyped = token.slice(0, -1) + (token.endsWith("0") ? "1" : "0");
  const says =
    "the join token is no token of this cluster: it may have been rotated, or is mistyped; copy it anew from a manager";
  await refuses(mistyped, manager.address, says);
});

test("another cluster's token", async () => {
  const says = `the join token is not of the cluster that answers at ${manager.address}:2377: it is another cluster's, or its root certificate was rotated since; print a new one with "swarmctl cluster join-token" on a manager of the cluster that is meant`;
  await refuses(await workerToken(other), manager.address, says);
});

const silence =
  "check the address, that swarmd runs there as a manager, and that no firewall closes the port";

test("a host where no manager is", async () => {
  const address = `${joining.address}:2377`;
  const why = `connect ECONNREFUSED ${address}`;
  const says = `manager ${address} cannot be reached: ${silence} (${why})`;
  await refuses(token, joining.address, says);
});

test("a manager that is cut off", async () => {
  await lab.cut(manager.name);
  const startedAt = performance.now();
  const why = "there was no answer within 5 s";
  const says = `manager ${manager.address}:2377 cannot be reached: ${silence} (${why})`;
  await refuses(token, manager.address, says);
  assert.ok(performance.now() - startedAt < 8_000);
  await lab.heal();
});

test("an address that is none", async () => {
  const says =
    'manager "h1:port" is not an address: write HOST or HOST:PORT, such as 192.0.2.1:2377';
  await refuses(token, "h1:port", says);
});

test("a host that belongs to a cluster already", async () => {
  await assertRefuses(other, ["swarmctl", "cluster", "join", "--token", token, manager.address], {
    status: 1,
    says: /^Cannot join a cluster: this host belongs to cluster \w{25} already: leave that first$/,
  });
});

test("after all this the host joins, and is the only one that did", async () => {
  await joining.run("swarmctl", ["cluster", "join", "--token", token, manager.address]);
  const listed = await manager.run("swarmctl", ["node", "ls"]);
  assert.deepEqual(listed.match(/\bh[123]\b/g), ["h1", "h3"]);
});
