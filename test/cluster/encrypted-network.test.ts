/** An encrypted network as users meet it: keys of all hosts are renewed under flows, and swarmd is killed under them. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";

const image = "registry:5000/busybox:1";
const timeoutMs = 30_000;

let lab: Lab;
let manager: Host;
let worker: Host;

before(async () => {
  lab = await Lab.up({
    name: "encrypted-network",
    managers: 1,
    workers: 1,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  [manager, worker] = [lab.host("h1"), lab.host("h2")];
  await manager.run("swarmctl", ["network", "create", "--opt", "encrypted", "secret"]);
  const flags = ["-d", "--name", "web", "--network", "secret", "--replicas", "2"];
  await manager.run("swarmctl", ["service", "create", ...flags, image, "sleep", "3600"]);
  for (const host of [manager, worker]) {
    await waitFor("a task on each host", () => inTask(host, "true"), { timeoutMs });
  }
});

after(async () => {
  await lab?.down();
});

/** What a command of the host says inside the one task's network; false: there is no task yet. */
async function inTask(host: Host, ...command: readonly string[]): Promise<string | false> {
  const [id] = (await host.run("ip", ["netns", "list"])).split(/\s/);
  if (id === undefined || id === "") return false;
  const args = [`--net=/run/netns/${id}`, ...command];
  const { status, stdout } = await host.exec("nsenter", args, { timeoutMs });
  return status === 0 && `${stdout}\n`;
}

async function addressOf(host: Host): Promise<string> {
  const said = await inTask(host, "ip", "-4", "-br", "addr", "show", "eth0");
  const address = /(\d+\.\d+\.\d+\.\d+)\//.exec(said || "")?.[1];
  assert(address !== undefined);
  return address;
}

async function show(host: Host, what: string): Promise<string> {
  return (await host.run("wg", ["show", "sw-wg0", what])).trim();
}

test("pings and a connection live through the renewal of every host's key", async () => {
  const target = await addressOf(worker);
  const keysBefore = [await show(manager, "public-key"), await show(worker, "public-key")];
  const pings = inTask(manager, "ping", "-c100", "-i0.1", target);
  const lines = Array.from({ length: 90 }, (_, index) => `${index}`);
  const received = inTask(worker, "socat", "-u", "TCP-LISTEN:7000,reuseaddr", "STDOUT");
  const script = `for i in ${lines.join(" ")}; do echo $i; sleep 0.1; done`;
  const sink = `TCP:${target}:7000,retry=50,interval=0.1`;
  const sent = inTask(manager, "sh", "-c", `(${script}) | socat -u STDIN ${sink}`);
  await manager.run("swarmctl", ["network", "rotate-keys"]);
  for (const [host, peer] of [
    [manager, worker],
    [worker, manager],
  ] as const) {
    const renewed = async () => {
      const key = await show(peer, "public-key");
      return !keysBefore.includes(key) && (await show(host, "peers")) === key;
    };
    await waitFor("both keys to be renewed", renewed, { timeoutMs });
  }
  const got = Number(/(\d+) received/.exec((await pings) || "")?.[1]);
  // Two gaps, one for each host's key, of the time that its news takes.
  assert(got >= 90, `${got} of 100`);
  assert.notEqual(await sent, false);
  assert.deepEqual(((await received) || "").trim().split("\n"), lines);
});

test("flows do not notice that swarmd is killed, and a new one keeps the link", async () => {
  const index = () => worker.run("cat", ["/sys/class/net/sw-wg0/ifindex"]);
  const before = await index();
  const target = await addressOf(worker);
  await worker.swarmd.kill();
  assert.match((await inTask(manager, "ping", "-c5", "-i0.2", target)) || "", / 5 received/);
  await worker.startSwarmd();
  // Where that took long the node was down, and its tasks' routes were gone.
  const reached = () => inTask(manager, "ping", "-c1", "-W1", target);
  await waitFor("the task to be reached", reached, { timeoutMs });
  assert.equal(await index(), before);
});

test("a host's private key is in no log line", async () => {
  const stored = await worker.run("cat", ["/var/lib/swarm/agent/encryption/keys.json"]);
  const key = /"privateKey":"([^"]{44})"/.exec(stored)?.[1];
  assert(key !== undefined);
  const log = await readFile(join(worker.dataRoot, "swarmd.log"), "utf8");
  assert(log.includes("renewing this host's key"));
  assert(!log.includes(key));
});

test("with the last task of an encrypted network the link goes", async () => {
  await manager.run("swarmctl", ["service", "rm", "web"]);
  for (const host of [manager, worker]) {
    const gone = async () => {
      const link = await host.run("ip", ["-br", "link", "show"]);
      const routes = await host.run("ip", ["route", "show"]);
      const { status } = await host.exec("pgrep", ["wireguard-go"]);
      return !link.includes("sw-wg0") && !routes.includes("169.254.64.0") && status === 1;
    };
    await waitFor("the link, its routes and its process to go", gone, { timeoutMs });
  }
});
