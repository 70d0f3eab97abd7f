/** Networks, addresses and published ports as users meet them: what swarmctl takes, shows and refuses. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";

const image = "registry:5000/busybox:1";
const sleep = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"];

let lab: Lab;
let host: Host;

before(async () => {
  lab = await Lab.up({
    name: "networks",
    managers: 1,
    workers: 0,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  host = lab.host("h1");
});

after(async () => {
  await lab?.down();
});

async function swarmctl(...args: readonly string[]): Promise<string> {
  return await host.run("swarmctl", args);
}

/** Of words without spaces. */
async function run(line: string, ...more: readonly string[]): Promise<string> {
  return await swarmctl(...line.split(" "), ...more);
}

async function refusal(line: string, ...more: readonly string[]): Promise<string> {
  const { status, stderr } = await host.exec("swarmctl", [...line.split(" "), ...more]);
  assert.equal(status, 1, stderr);
  return stderr;
}

interface Inspected {
  readonly ipam?: { readonly configs: readonly { readonly subnet: string }[] };
  readonly endpoint?: {
    readonly virtualIps?: readonly { readonly networkId: string; readonly address: string }[];
    readonly ports?: readonly { readonly publishedPort: number }[];
  };
}

async function inspect(noun: "network" | "service", name: string): Promise<Inspected> {
  const [object] = JSON.parse(await swarmctl(noun, "inspect", name)) as Inspected[];
  assert.ok(object);
  return object;
}

async function until<T>(what: string, look: () => Promise<T | false>): Promise<T> {
  return await waitFor(what, look, { timeoutMs: 20_000 });
}

async function vipsOf(service: string): Promise<readonly string[]> {
  const { endpoint } = await inspect("service", service);
  return (endpoint?.virtualIps ?? []).map(({ address }) => address);
}

test("a cluster begins with its ingress network and those of each host", async () => {
  const listed = await until("the ingress network to have its subnets", async () => {
    const text = await run("network ls");
    return text.includes("/64") && text;
  });
  const rows = listed.trimEnd().split("\n").slice(1);
  assert.deepEqual(
    rows.map((row) => row.split(/\s{2,}/).slice(1, 4)),
    [
      ["bridge", "bridge", "local"],
      ["host", "host", "local"],
      ["ingress", "overlay", "swarm"],
      ["none", "none", "local"],
    ],
  );
  assert.match(listed, / 10\.0\.0\.0\/20, fd[0-9a-f:]+::\/64$/m);
});

test("what cannot be is refused with what to do instead", async () => {
  await run("network create --subnet 10.70.0.0/24 front");
  for (const [line, message] of [
    [
      "network create --subnet 10.70.0.128/25 other",
      /overlaps with 10\.70\.0\.0\/24 of network "front"/,
    ],
    [
      "network create --subnet 172.31.0.0/16 other",
      /has 172\.31\.0\.\d+ in it, an address of node/,
    ],
    ["network create --ingress other", /has an ingress network, "ingress".*remove it first/],
    ["network create bridge", /"bridge" is a network that every host has/],
    ["network rm host", /Cannot remove network "host": every host has it of its own/],
    [
      `service create -d --name x --network ingress ${image}`,
      /which no service names: publish a port/,
    ],
    [`service create -d --name x --network host -p 80:80 ${image}`, /the host's own already/],
    [`service create -d --name x --endpoint-mode dnsrr -p 80:80 ${image}`, /use mode=host/],
    [
      `service create -d --name x --network name=front,ip=10.71.0.5 ${image}`,
      /is 10\.71\.0\.5: network "front" gives/,
    ],
  ] as const) {
    assert.match(await refusal(line), message);
  }
});

test("ports are published once, chosen where none is said, and shown", async () => {
  const flags = "--network front -p 8080:80 -p 81";
  await run(`service create -d --name web ${flags} ${image}`, ...sleep);
  const shown = await until("the ports to be given", async () => {
    const text = await run("service ls");
    return text.includes("*:30000->81/tcp") && text;
  });
  assert.match(shown, /\*:8080->80\/tcp, \*:30000->81\/tcp$/m);
  assert.match(
    await refusal(`service create -d --name shop -p 8080:80 ${image}`),
    /port 8080\/tcp is already published by service "web"/,
  );
  const pretty = await run("service inspect --pretty web");
  assert.match(
    pretty,
    /^Virtual IPs\n {2}front: +10\.70\.0\.2\/24\nPorts\n {2}PublishedPort: +8080$/m,
  );
});

test("a service's virtual address stays over updates and goes with the network", async () => {
  await run("network create --ipv6 --subnet 10.72.0.0/24 --subnet fd00:72::/64 back");
  await run("service update -d --network-add back --publish-rm 81 web");
  const both = await until("the addresses on the other network", async () => {
    const vips = await vipsOf("web");
    return vips.length === 3 && vips;
  });
  assert.deepEqual(both, ["10.70.0.2/24", "10.72.0.2/24", "fd00:72::2/64"]);
  await run("service update -d --network-rm back web");
  await until("the addresses to go", async () => (await vipsOf("web")).length === 1);
  assert.deepEqual(await vipsOf("web"), ["10.70.0.2/24"]);
  assert.match(await run("service ls"), /\*:8080->80\/tcp$/m);
});

test("a task that finds no address says so, and gets the next one that comes free", async () => {
  await run("network create --subnet 10.73.0.0/29 small");
  await run(`service create -d --name many --network small --replicas 5 ${image}`, ...sleep);
  // A row's end: the error stands before the ports, of which there are none.
  const waiting = await until("a task to say that the network is full", async () => {
    const text = await run("service ps --no-trunc many");
    return text.includes("has no free address") && text;
  });
  const words = 'network "small" has no free address: 5 of 5 in 10.73.0.0/29 are in use';
  assert.equal(waiting.split(words).length, 2, waiting);
  await run("service scale -d many=4");
  await run(`service create -d --name last --network small ${image}`, ...sleep);
  const own = "has no free address for the service itself: 5 of 5 in 10.73.0.0/29 are in use";
  await until("the new service to say the same", async () =>
    (await run("service ps --no-trunc last")).includes(own),
  );
  await run("service rm many");
  await until("the new service to run", async () =>
    (await run("service ps last")).includes("Running  "),
  );
  assert.equal((await vipsOf("last")).length, 1);
});

test("the ingress network goes when nothing needs it, and comes back as the user wants it", async () => {
  await run(`service create -d --name plain -p 9000:80 ${image}`, ...sleep);
  assert.match(await refusal("network rm ingress"), /is used by service "plain"/);
  await run("service rm plain");
  await until("the ingress network to be free", async () => {
    return (await host.exec("swarmctl", ["network", "rm", "ingress"])).status === 0;
  });
  assert.match(
    await refusal(`service create -d --name plain -p 9000:80 ${image}`),
    /the cluster has no ingress network.*network create --ingress/,
  );
  await run("network create --ingress --subnet 10.74.0.0/24 mesh");
  await run(`service create -d --name plain -p 9000:80 ${image}`, ...sleep);
  const { ipam } = await inspect("network", "mesh");
  assert.deepEqual(
    ipam?.configs.map(({ subnet }) => subnet),
    ["10.74.0.0/24"],
  );
});
