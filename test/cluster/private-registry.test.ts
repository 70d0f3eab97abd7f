/** A registry that asks who is there: users log in and give the nodes their login; all tasks run what the tag stood for. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import { ClusterView } from "#lab/cluster-view.ts";
import { Daemon } from "#lab/daemon.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { registryAddress } from "#lab/lan.ts";
import { account, accountAuth, accountLine } from "#registry/testing/test-registry.ts";
import { untilAnswers, untilInfo } from "./managed.ts";
import { pushImage } from "./pushed-image.ts";

const registry = "registry:5001";
const image = `${registry}/app:1`;

let lab: Lab;
let host: Host;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({ name: "private-registry", workers: 1, ownedByThisProcess: true });
  host = lab.host("h1");
  await startPrivateRegistry();
  for (const { swarmd } of lab.hosts) await swarmd.stop();
  const flags = ["--insecure-registry", registry];
  await Promise.all(lab.hosts.map((each) => each.startSwarmd(undefined, flags)));
  await untilAnswers(host, "node", "ls", "-q");
  view = await ClusterView.open(host);
  const areReady = () => view.nodes.every(({ status }) => status?.state === NodeState.READY);
  for (const each of lab.hosts)
    await untilInfo(each, "to be back", ({ connected }) => connected === true);
  await view.until("both nodes to be ready", areReady, 20_000);
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

/** With the images of the lab's own registry, for one account alone. */
async function startPrivateRegistry(): Promise<void> {
  const { box } = lab.lan;
  const passwords = join(box.folder, "htpasswd");
  const config = join(box.folder, "private-registry.yml");
  await writeFile(passwords, accountLine);
  const content = {
    version: "0.1",
    storage: { filesystem: { rootdirectory: lab.registry.storageRoot } },
    http: { addr: `${registryAddress}:5001`, secret: "of no use" },
    auth: { htpasswd: { realm: "lab", path: passwords } },
  };
  await writeFile(config, JSON.stringify(content));
  const daemon = new Daemon(box, {
    name: "private-registry",
    argv: ["docker-registry", "serve", config],
    logPath: join(box.folder, "private-registry.log"),
  });
  await daemon.start();
  const listens = async () => (await readFile(daemon.logPath, "utf8")).includes("listening on");
  await daemon.ready(listens, { timeoutMs: 20_000 });
}

function swarmctl(...args: readonly string[]) {
  return host.exec("env", ["DOCKER_CONFIG=/run/login", "swarmctl", ...args]);
}

async function ok(...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await swarmctl(...args);
  assert.equal(status, 0, stderr);
  return stdout;
}

async function digestsOnHosts(): Promise<readonly boolean[][]> {
  const index = "/var/lib/swarm/agent/image/index.json";
  return await Promise.all(
    lab.hosts.map(async (each) => {
      const { stdout } = await each.exec("cat", [index]);
      return pushed.map((digest) => stdout.includes(digest));
    }),
  );
}

const pushed: string[] = [];

async function push(): Promise<void> {
  pushed.push((await pushImage(lab, "app")).manifestDigest);
}

const flags = ["-d", "--restart-delay", "200ms", "--stop-grace-period", "1s", "--name", "web"];
const command = [image, "sleep", "1000"];

test("without a login, a service is created with a warning, and its task says what is missing", async () => {
  await push();
  const { status, stderr } = await swarmctl("service", "create", ...flags, ...command);
  assert.equal(status, 0);
  assert.match(stderr, /^image registry:5001\/app:1 could not be accessed on a registry to record/);
  const missing = () =>
    view.tasks("web").find(({ status }) => /asks for credentials/.test(status?.err ?? ""));
  await view.until("the task to ask for credentials", () => missing() !== undefined, 10_000);
  await ok("service", "rm", "web");
});

test("with a login, replicas run one image though its tag has moved, and the login stays hidden", async () => {
  const { username, password } = account;
  await ok("login", "--insecure", "-u", username, "-p", password, registry);
  await ok("service", "create", ...flags, "--with-registry-auth", ...command);
  await view.until("one task to run", () => view.running("web").length === 1, 20_000);
  await push();
  await ok("service", "scale", "-d", "web=2");
  await view.until("two tasks to run", () => view.running("web").length === 2, 20_000);
  const nodes = new Set(view.running("web").map(({ nodeId }) => nodeId));
  assert.equal(nodes.size, 2);
  assert.deepEqual(await digestsOnHosts(), [
    [true, false],
    [true, false],
  ]);
  const shown = await ok("service", "inspect", "web");
  assert.match(shown, new RegExp(`"registry:5001/app:1@${pushed[0]}"`));
  const inspected = await ok("task", "inspect", view.running("web")[0]?.id ?? "");
  for (const text of [shown, inspected]) {
    assert.ok(!text.includes("registryAuth") && !text.includes(accountAuth));
  }
  assert.match(await ok("service", "ls"), / registry:5001\/app:1\s/);
  assert.match(await ok("service", "ps", "web"), / registry:5001\/app:1\s/);
});

test("an update without a login uses the one that is there", async () => {
  await ok("service", "update", "-d", "--image", image, "web");
  const isUpdated = ({ spec }: Task) =>
    spec?.runtime.case === "container" && spec.runtime.value.image === `${image}@${pushed[1]}`;
  const updated = () => view.running("web").filter(isUpdated);
  await view.until("both tasks to run the new image", () => updated().length === 2, 30_000);
});

test("neither swarmd nor its manager writes the login to its log", async () => {
  for (const { dataRoot } of lab.hosts) {
    const log = await readFile(join(dataRoot, "swarmd.log"), "utf8");
    assert.ok(log.length > 0 && !log.includes(accountAuth) && !log.includes(account.password));
  }
});
