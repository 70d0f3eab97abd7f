/** A cluster is looked after from elsewhere with a user's certificate and nothing less, and its root is renewed while it lives. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { containersOf, infoOf, joinToken, NodeWitness, swarmctl } from "./managed.ts";
import { assertRefuses } from "./refusal.ts";

const waitMs = 30_000;
/** Hosts share the machine's home folders; what a host's user keeps is kept apart. */
const config = "/var/lib/swarm/config";

let lab: Lab;
let manager: Host;
let worker: Host;
/** The one manager of another cluster. */
let foreign: Host;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "remote",
    workers: 3,
    images: ["busybox"],
    cluster: false,
    ownedByThisProcess: true,
  });
  [manager, worker, foreign] = [lab.host("h1"), lab.host("h2"), lab.host("h4")];
  await Promise.all(lab.hosts.map((host) => host.startSwarmd()));
  await Promise.all([manager, foreign].map((host) => swarmctl(host, "cluster", "init")));
  const tokens = [await joinToken(manager, "worker"), await joinToken(manager, "manager")] as const;
  await enter(worker, tokens[0]);
  await enter(lab.host("h3"), tokens[1]);
  view = await ClusterView.open(manager);
  const image = ["--stop-grace-period", "1s", "registry:5000/busybox:1", "sleep", "100000"];
  await swarmctl(manager, "service", "create", "-d", "--name", "web", "--replicas", "3", ...image);
  await view.until("web to run", () => view.running("web").length === 3, waitMs);
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

const enter = (host: Host, token: string) =>
  swarmctl(host, "cluster", "join", "--token", token, manager.address);

const asUser = (args: readonly string[]) =>
  [`XDG_CONFIG_HOME=${config}`, "swarmctl", ...args] as const;

const user = async (host: Host, ...args: readonly string[]) =>
  (await host.run("env", asUser(args))).trimEnd();

async function refusesUser(host: Host, args: readonly string[], says: RegExp): Promise<void> {
  const { status, stdout, stderr } = await host.exec("env", asUser(args));
  assert.match(stderr.trimEnd(), says);
  assert.deepEqual([status, stdout, stderr.trimEnd().split("\n").length], [1, "", 1]);
}

test("a context goes from a manager to another host, whose user looks after the cluster with it", async () => {
  await user(manager, "context", "create", "ops");
  const file = "/var/lib/swarm/ops.swarmcontext";
  await user(manager, "context", "export", "ops", file);
  const written = join(manager.dataRoot, "ops.swarmcontext");
  assert.equal(statSync(written).mode & 0o777, 0o600);
  copyFileSync(written, join(worker.dataRoot, "ops.swarmcontext"));
  await refusesUser(worker, ["node", "ls"], /^swarmctl: This host is not a manager/);
  await user(worker, "context", "import", "prod", file);
  assert.match(await user(worker, "--context", "prod", "node", "ls"), / h1 .* Leader /);
  await user(worker, "context", "use", "prod");
  assert.match(await user(worker, "context", "ls"), /^prod \* /m);
  await user(worker, "node", "update", "--label-add", "by=prod", "h2");
  const h3 = lab.host("h3").address;
  assert.match(await user(worker, "--host", h3, "service", "ls"), / web /);
  assert.doesNotMatch(await user(worker, "context", "inspect", "prod"), /PRIVATE KEY/);
});

test("who is no user of this cluster gets nothing from its managers", async () => {
  await refusesUser(
    worker,
    ["--host", foreign.address, "node", "ls"],
    /^swarmctl: Cannot trust the manager: /,
  );
  await refusesUser(
    worker,
    ["--host", `${worker.address}:2377`, "node", "ls"],
    /^swarmctl: Cannot reach a manager at 172\.31\.0\.2:2377 \(the connection was refused\)$/,
  );
  const saved = JSON.parse(
    readFileSync(join(worker.dataRoot, "ops.swarmcontext"), "utf8"),
  ) as object;
  const read = (name: string) => readFileSync(join(worker.dataRoot, "certificates", name), "utf8");
  const context = { ...saved, certificate: read("node.crt"), key: read("node.key") };
  const text = JSON.stringify(context);
  writeFileSync(join(worker.dataRoot, "node.swarmcontext"), text);
  await refusesUser(
    worker,
    ["context", "import", "node", "/var/lib/swarm/node.swarmcontext"],
    /its certificate is not a user's$/,
  );
  // What the import refuses is put there by hand: the manager refuses it, too.
  const folder = join(worker.dataRoot, "config", "swarm", "contexts");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "node.json"), text, { mode: 0o600 });
  await refusesUser(
    worker,
    ["--context", "node", "node", "ls"],
    /^swarmctl: \w+ is for users: the certificate is a node's$/,
  );
});

test("the root is renewed while the cluster lives: certificates and tokens are new, containers are not", async () => {
  using witness = new NodeWitness(view);
  const containers = containersOf(view, "web");
  const [root, token] = [
    await swarmctl(manager, "cluster", "ca"),
    await joinToken(manager, "worker"),
  ];
  assert.match(root, /^-----BEGIN CERTIFICATE-----\n[\s\S]*\n-----END CERTIFICATE-----$/);
  const renewed = await swarmctl(manager, "cluster", "ca", "--rotate", "-q");
  assert.notEqual(renewed, root);
  assert.equal(await swarmctl(lab.host("h3"), "cluster", "ca"), renewed);
  for (const host of [manager, worker, lab.host("h3")]) {
    const certificates = join(host.dataRoot, "certificates", "ca.crt");
    assert.equal(readFileSync(certificates, "utf8").trim(), renewed, host.name);
    assert.equal((await infoOf(host)).connected, true, host.name);
  }
  assert.deepEqual(containersOf(view, "web"), containers);
  assert.deepEqual(witness.troubled, []);
  await swarmctl(foreign, "cluster", "leave", "--force");
  await assertRefuses(foreign, ["swarmctl", "cluster", "join", "--token", token, manager.address], {
    status: 1,
    says: /^Cannot join a cluster: the join token is not of the cluster that answers at .* its root certificate was rotated since; /,
  });
  await enter(foreign, await joinToken(manager, "worker"));
  await refusesUser(worker, ["node", "ls"], /^swarmctl: Cannot trust the manager: /);
});
