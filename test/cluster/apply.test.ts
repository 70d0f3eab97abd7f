/** `swarmctl cluster apply` over real ssh: hosts with nothing on them become a cluster, change with the file, and go again. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { signalInside } from "#lab/box.ts";
import { waitFor } from "#lab/wait.ts";
import { BareHosts } from "../bare/bare-hosts.ts";

const timeout = 400_000;
const image = "registry:5000/busybox:1";

let bare: BareHosts;

before(
  async () => {
    bare = await BareHosts.open({ name: "apply", hosts: 3 });
    const [, second] = bare.hosts;
    assert(second !== undefined);
    await bare.addSudoer(second, "admin");
  },
  { timeout },
);

after(async () => {
  await bare?.[Symbol.asyncDispose]();
});

interface FileHost {
  readonly roles?: string;
  readonly labels?: string;
  readonly ssh?: string;
}

/** The path of a file with these hosts, by their number. */
async function fileWith(hosts: Readonly<Record<number, FileHost>>, more = ""): Promise<string> {
  const { folder } = bare;
  const lines = Object.entries(hosts).map(([number, { roles, labels, ssh }]) => {
    const parts = [
      `address: 172.31.0.${number}`,
      `name: b${number}`,
      ...(roles === undefined ? [] : [`roles: [${roles}]`]),
      ...(labels === undefined ? [] : [`labels: {${labels}}`]),
      ...(ssh === undefined ? [] : [`ssh: {${ssh}}`]),
    ];
    return `  - {${parts.join(", ")}}`;
  });
  const ssh = `ssh: {user: root, key: ${folder}/id, config: ${folder}/known_config}`;
  const text = `cluster: prod\n${ssh}\npackage: ${bare.packages}\nhosts:\n${lines.join("\n")}\n${more}`;
  const path = join(folder, "cluster.yml");
  await writeFile(path, text);
  return path;
}

const both = { roles: "manager, worker" };
/** All of the second is done by a user who is not root: it is installed, joins, and is promoted through sudo. */
const three = {
  1: { ...both, labels: "zone: a" },
  2: { ...both, labels: "zone: b", ssh: "user: admin" },
  3: both,
};
const sealed = "options: {encrypted: true, default-address-pool: 10.20.0.0/16}\n";

async function apply(path: string, ...flags: readonly string[]) {
  return await bare.swarmctl(["cluster", "apply", "-f", path, ...flags]);
}

async function ask(...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await bare.swarmctl(args);
  assert.equal(status, 0, stderr);
  return stdout;
}

async function nothingIsInstalled(): Promise<void> {
  for (const { box } of bare.hosts) {
    assert.equal((await box.exec("test", ["-e", "/usr/lib/swarm"])).status, 1);
  }
}

test("apply, what is wrong with ssh is named host by host, and nothing is changed", {
  timeout,
}, async () => {
  const { folder } = bare;
  const path = await fileWith({
    1: { ...both, ssh: `config: ${folder}/unknown_config` },
    2: { ssh: `config: ${folder}/wrong_config` },
    3: { ssh: `key: ${folder}/other_id, user: nobody` },
    99: {},
  });
  const { status, stdout, stderr } = await apply(path);
  assert.equal(status, 1);
  assert.match(stdout, /^b1 +ssh .*its host key is not known here/m);
  assert.match(
    stdout,
    /^b2 +ssh .*host key is not the one in known_hosts.*ssh-keygen -R 172\.31\.0\.2/m,
  );
  assert.match(stdout, /^b3 +ssh .*refuses the user "nobody".*ssh-copy-id/m);
  assert.match(stdout, /^b99 +ssh .*(no way to it|does not answer)/m);
  assert.match(stderr, /4 checks fail; nothing was changed/);
  await nothingIsInstalled();
});

test("apply, a user who may not become root is told which line is missing", {
  timeout,
}, async () => {
  const [first] = bare.hosts;
  await first?.box.run("useradd", ["--no-create-home", "--shell", "/bin/sh", "ops"]);
  // Without a password, which is not the same as locked.
  await first?.box.run("usermod", ["--password", "*", "ops"]);
  const { status, stdout } = await apply(await fileWith({ 1: { ...both, ssh: "user: ops" } }));
  assert.equal(status, 1);
  assert.match(stdout, /sudo refuses the user "ops" .*\/etc\/sudoers\.d\/swarm/);
});

test("apply, a port that is taken, and two hosts with one hostname and machine-id", {
  timeout,
}, async () => {
  const [first, second] = bare.hosts;
  assert(first !== undefined && second !== undefined);
  const taker = first.box.spawn("python3", ["-m", "http.server", "2377"], { stdio: "ignore" });
  const machineId = await second.box.run("cat", ["/etc/machine-id"]);
  try {
    await first.box.exec("sh", ["-c", "cat >/etc/machine-id"], { input: machineId });
    await first.box.run("hostname", ["h2"]);
    const taken = await first.box.exec("sh", [
      "-c",
      "until ss -ltnH | grep -q :2377; do sleep 0.1; done",
    ]);
    assert.equal(taken.status, 0);
    const { status, stdout } = await apply(await fileWith(three));
    assert.equal(status, 1);
    assert.match(stdout, /^b1 +port:2377\/tcp /m);
    assert.match(stdout, /^b2 +machine-id .* is also that of b1/m);
    assert.match(stdout, /^b2 +hostname +h2 is also that of b1/m);
    await nothingIsInstalled();
  } finally {
    signalInside(taker, "SIGKILL");
    await once(taker, "close");
    await first.box.run("hostname", ["h1"]);
    await first.box.exec("sh", ["-c", "echo 11111111111111111111111111111111 >/etc/machine-id"]);
  }
});

test("apply, a dry run prints the plan, and changes nothing", { timeout }, async () => {
  const { status, stdout, stderr } = await apply(await fileWith(three, sealed), "--dry-run");
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^1 +b1 +install swarm 1\.0\.0$/m);
  assert.match(stdout, /^2 +b1 +begin the cluster$/m);
  assert.match(stdout, /^3 +b3 +join the cluster$/m);
  assert.match(stdout, /^4 +b2 +label zone=b$/m);
  await nothingIsInstalled();
});

test("apply, Ctrl-C ends it and all that it has started here", { timeout }, async () => {
  const home = `HOME=${join(bare.folder, "home")}`;
  const args = ["swarmctl", "cluster", "apply", "-f", await fileWith(three, sealed)];
  const child = bare.operator.spawn("env", [home, ...args], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const seen = new Promise<void>((resolve) => {
    let text = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("installing")) resolve();
    });
  });
  await seen;
  signalInside(child, "SIGINT");
  const [status] = (await once(child, "close")) as [number];
  assert.equal(status, 130);
  assert.equal((await bare.operator.exec("pgrep", ["-x", "ssh"])).stdout, "");
});

test("apply, from where it was broken off to a cluster; the token is in no command line", {
  timeout,
}, async () => {
  const [, second] = bare.hosts;
  assert(second !== undefined);
  // As if install.sh had been killed between two of its renames.
  await second.box.run("mkdir", ["-p", "/usr/lib/swarm.installing/new"]);
  const script =
    "while sleep 0.05; do cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'SWMTKN-1-[0-9a-z][0-9a-z]*'; done";
  const watchers = [second, bare.operator].map(({ box }) =>
    box.spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "ignore"] }),
  );
  let seen = "";
  for (const { stdout } of watchers)
    stdout?.on("data", (chunk: Buffer) => (seen += chunk.toString()));
  const { status, stdout, stderr } = await apply(await fileWith(three, sealed));
  for (const watcher of watchers) signalInside(watcher, "SIGKILL");
  assert.equal(status, 0, stdout + stderr);
  assert.equal(seen, "");
  assert.doesNotMatch(stdout + stderr, /SWMTKN/);
  assert.match(stderr, /The context "prod" leads to the cluster, and is in use/);
  const nodes = await ask(
    "node",
    "ls",
    "--format",
    "{{.Hostname}} {{.ManagerStatus}} {{.EngineVersion}}",
  );
  assert.deepEqual(
    nodes
      .trim()
      .split("\n")
      .toSorted()
      .map((line) => line.replace(/Leader|Reachable/, "ok")),
    ["h1 ok 1.0.0", "h2 ok 1.0.0", "h3 ok 1.0.0"],
  );
});

test("apply, a second run finds nothing to do", { timeout }, async () => {
  const { status, stdout, stderr } = await apply(await fileWith(three, sealed));
  assert.equal(status, 0, stderr);
  assert.equal(stdout, "Nothing to do.\n");
});

test("apply, what a cluster began with is refused by name", { timeout }, async () => {
  const other = "options: {default-address-pool: 10.30.0.0/16}\n";
  const { status, stdout } = await apply(await fileWith(three, other));
  assert.equal(status, 1);
  assert.match(stdout, /^cluster +default-address-pool +is chosen when a cluster begins/m);
});

test("the cluster is reached by its context and by ssh, and its networks are encrypted", {
  timeout,
}, async () => {
  await ask("network", "create", "back");
  assert.match(await ask("network", "inspect", "back"), /"encrypted": true/i);
  await ask(
    "service",
    "create",
    "--name",
    "web",
    "--replicas",
    "3",
    "--network",
    "back",
    image,
    "sleep",
    "1000",
  );
  const config = join(bare.folder, "known_config");
  const home = join(bare.folder, "home");
  await bare.operator.run("sh", [
    "-c",
    `mkdir -p ${home}/.ssh && cp ${bare.folder}/id ${home}/.ssh/id_ed25519`,
  ]);
  const ssh = `#!/bin/sh\nexec /usr/bin/ssh -F ${config} -i ${home}/.ssh/id_ed25519 "$@"\n`;
  await writeFile(join(bare.folder, "ssh"), ssh, { mode: 0o755 });
  const line = `HOME=${home} PATH=${bare.folder}:$PATH swarmctl --host ssh://admin@172.31.0.2 service ls -q`;
  const { status, stdout, stderr } = await bare.operator.exec("sh", ["-c", line]);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^[a-z0-9]{12,}\n$/);
});

test("apply, a host that is gone from the file hands its tasks over, leaves and is cleaned", {
  timeout,
}, async () => {
  const [, , third] = bare.hosts;
  const path = await fileWith({ 1: three[1], 2: three[2] }, sealed);
  const asked = await apply(path);
  assert.equal(asked.status, 1, asked.stdout);
  assert.match(asked.stderr, /h3 \(172\.31\.0\.3\)[^]*Their volumes, images and logs are deleted/);
  const { status, stdout, stderr } = await apply(path, "--yes");
  assert.equal(status, 0, stdout + stderr);
  const order = ["handing over its tasks", "becoming a worker", "leaving", "removed"];
  const places = order.map((words) => stdout.indexOf(`h3  ${words}`));
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  );
  assert(!places.includes(-1), stdout);
  const tasks = await ask(
    "service",
    "ps",
    "web",
    "--filter",
    "desired-state=running",
    "--format",
    "{{.Node}}",
  );
  assert.doesNotMatch(tasks, /h3/);
  assert.doesNotMatch(await ask("node", "ls"), /h3/);
  assert.equal((await third?.box.exec("test", ["-e", "/usr/lib/swarm"]))?.status, 1);
  assert.equal((await third?.box.exec("ls", ["-A", "/var/lib/swarm"]))?.stdout, "");
});

test("apply, the host joins again; one that is off is left out where that is wished", {
  timeout,
}, async () => {
  const path = await fileWith(three, sealed);
  const back = await apply(path);
  assert.equal(back.status, 0, back.stdout + back.stderr);
  await bare.lab.host("h3").kill();
  await waitFor(
    "h3 to be down",
    async () => /h3 +Down/.test((await bare.swarmctl(["node", "ls"])).stdout),
    { timeoutMs: 60_000 },
  );
  const refused = await apply(path);
  assert.equal(refused.status, 1);
  assert.match(refused.stdout, /^b3 +ssh /m);
  const { status, stdout, stderr } = await apply(path, "--skip-unreachable");
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /Nothing to do/);
  assert.match(stderr, /^b3 +ssh /m);
});
