/** Faults of a network that are made here, and found by trace, inspect and check. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";

const image = "registry:5000/busybox:1";
const timeout = 60_000;
const server = "echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp";

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "netfaults",
    managers: 1,
    workers: 1,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  view = await ClusterView.open(lab.host("h1"));
  await lab.host("h1").run("swarmctl", ["network", "create", "net"]);
  await lab.host("h1").run("swarmctl", ["network", "create", "other"]);
  const flags = ["--network", "net", "--replicas", "2"];
  await create("web", ...flags, image, "sh", "-c", server);
  // Where it is asked about: what a host has no task of, it does not know.
  const here = ["--constraint", "node.hostname==h1"];
  await create("alone", "--network", "other", ...here, image, "sleep", "1000");
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

async function create(name: string, ...rest: readonly string[]): Promise<void> {
  await lab.host("h1").run("swarmctl", ["service", "create", "--name", name, ...rest]);
}

async function swarmctl(
  ...args: readonly string[]
): Promise<{ status: number | null; said: string }> {
  const { status, stdout, stderr } = await lab.host("h1").exec("swarmctl", args);
  return { status, said: stdout + stderr };
}

/** The slot of "web" that runs on the host. */
function slotOn(hostname: string): string {
  const task = view.running("web").find((one) => view.hostnameOf(one) === hostname);
  assert(task !== undefined, `web runs on ${hostname}`);
  return `web.${task.slot}`;
}

test("network trace, an open way is walked to its end", { timeout }, async () => {
  const { status, said } = await swarmctl("network", "trace", slotOn("h1"), "web:80");
  assert.match(said, /"web" is 10\./);
  assert.match(said, /answers a connection to port 80/);
  assert.equal(status, 0, said);
  const across = await swarmctl("network", "trace", slotOn("h1"), `${slotOn("h2")}:80`);
  assert.match(across.said, /^h1 +ok +sw-vx0 carries it to 172\.31\.0\.2/m);
  assert.match(across.said, /^h2 +ok +something listens on port 80/m);
});

test("network trace, the step that fails says what is wrong", { timeout }, async () => {
  const from = slotOn("h1");
  const cases: readonly [destination: string, words: RegExp][] = [
    [`${slotOn("h2")}:81`, /^h2 +FAIL +nothing listens on port 81 in the task: its ports are 80$/m],
    ["nosuch:80", /^h1 +FAIL +no network of the task has the name "nosuch"/m],
    ["alone.1", /^h1 +FAIL +10\.\S+ is on network "other", and the task is not/m],
    ["10.0.16.250", /^h1 +FAIL +10\.0\.16\.250 is an address of network "net" that no task has/m],
  ];
  for (const [destination, words] of cases) {
    const { status, said } = await swarmctl("network", "trace", from, destination);
    assert.match(said, words);
    assert.equal(status, 1, said);
  }
});

test("network trace, a rule that somebody removed is missed where it was", {
  timeout,
}, async () => {
  const element = "element inet swarm samenet { 10.0.16.0/24 . 10.0.16.0/24 }";
  await lab.host("h2").run("nft", [`delete ${element}`]);
  const { said } = await swarmctl("network", "trace", slotOn("h2"), slotOn("h1"));
  assert.match(said, /^h2 +FAIL +this host's rules refuse 10\.\S+ → 10\.\S+: it is put back/m);
  await lab.host("h2").run("nft", [`add ${element}`]);
});

test("system check, packets that do not pass between hosts are named", { timeout }, async () => {
  const whole = await swarmctl("system", "check", "--mesh");
  assert.equal(whole.status, 0, whole.said);
  assert.match(whole.said, /^h1 +h2 +overlay +ok +1450 bytes, 0% lost/m);
  const block =
    "add table inet block; add chain inet block in { type filter hook input priority -10; }; ";
  await lab.host("h2").run("nft", [`${block} add rule inet block in udp dport 4789 drop`]);
  const blocked = await swarmctl("system", "check", "--mesh");
  assert.equal(blocked.status, 1);
  assert.match(
    blocked.said,
    /^h1 +h2 +overlay +FAIL +4789\/udp from 172\.31\.0\.1 to 172\.31\.0\.2 does not arrive/m,
  );
  assert.match(blocked.said, /^h1 +h2 +tcp 172\.31\.0\.2:2378 +ok/m);
  const silent = await swarmctl("network", "trace", slotOn("h1"), `${slotOn("h2")}:80`);
  assert.match(silent.said, /nothing answered: see whether packets pass/);
  assert.equal(silent.status, 1);
  await lab.host("h2").run("nft", ["delete table inet block"]);
});

test("network inspect -v, each host says what it knows", { timeout }, async () => {
  const { said } = await swarmctl("network", "inspect", "-v", "net");
  const [network] = JSON.parse(said) as readonly Record<string, never>[];
  assert.deepEqual(Object.keys(network?.["hosts"] ?? {}), ["h1", "h2"]);
  for (const host of Object.values<Record<string, unknown>>(network?.["hosts"] ?? {})) {
    assert.deepEqual(host["missing"], []);
    assert.deepEqual(host["leftOver"], []);
    assert.equal(host["serving"], 2);
  }
});
