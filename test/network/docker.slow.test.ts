/** A real dockerd on every host: its rules stay as it made them, and networks go on once it is told of our links. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import type { Namespace } from "#agent/network/testing/namespace.ts";
import { ensurePeerRoot } from "#bench/peer/root.ts";
import { pings } from "./claims.ts";
import { Cluster } from "./cluster.ts";
import { clientAddress, farAddress, hostAddress } from "./lan.ts";

/**
 * Becomes dockerd of the root $1. Its data live in memory, and all its mounts end with the namespace. Where nobody forwarded
 * before it, it sets the policy to drop.
 */
const script = `
set -eu
root=$1
sysctl -qw net.ipv4.ip_forward=0
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
for folder in proc sys dev run; do mount --rbind "/$folder" "$root/$folder"; done
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/var/lib/docker"
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" dockerd --host unix:///run/docker.sock 2>&1
`;

describe("network, beside Docker", { concurrency: false }, () => {
  const stack = new AsyncDisposableStack();
  let cluster: Cluster;
  before(async () => {
    const root = await ensurePeerRoot();
    cluster = stack.use(await Cluster.open());
    await Promise.all(
      cluster.lan.hosts.map(async ({ namespace }) => {
        const daemon = start(namespace, root);
        stack.defer(() => stop(daemon));
        await ready(daemon);
      }),
    );
  });
  after(async () => {
    await stack.disposeAsync();
  });

  const everywhere = (command: string, ...args: string[]) =>
    Promise.all(cluster.lan.hosts.map(({ namespace }) => namespace.run(command, args)));
  const mesh = () => cluster.probe("far").ask("tcp", hostAddress(1), 9092);
  const overlay = () => cluster.probe("a1").ask("tcp", "10.100.1.12", 80);

  test("its policy stops what it does not know; four rules in DOCKER-USER let it pass", async () => {
    assert.match(await overlay(), /^(timeout|E[A-Z]+)$/, "control: without them it is stopped");
    for (const link of ["v-+", "sw-+"]) {
      for (const way of ["-i", "-o"]) {
        await everywhere("iptables", "-I", "DOCKER-USER", way, link, "-j", "ACCEPT");
      }
    }
    assert.equal(await overlay(), "a2 10.100.1.11");
    assert.equal(await mesh(), `c2 ${farAddress}`);
    assert.equal(await cluster.probe("a1").ask("tcp", clientAddress, 80), `cl ${hostAddress(1)}`);
    assert(!(await pings(cluster, "a1", "10.100.2.11")));
  });

  test("a repair and a change of ours leave its rules as they are", async () => {
    const { namespace } = cluster.host(1);
    const rules = async () =>
      (await namespace.run("iptables-save", [])).stdout.replace(/^#.*$/gm, "");
    const before = await rules();
    assert.match(before, /-A FORWARD -j DOCKER-USER/);
    await namespace.run("nft", ["delete", "table", "inet", "swarm"]);
    await cluster.host(1).call({ kind: "repair" });
    await cluster.serve({ a2: false });
    await cluster.serve({ a2: true });
    assert.equal(withoutCounters(await rules()), withoutCounters(before));
    assert.equal(await mesh(), `c2 ${farAddress}`);
  });
});

function withoutCounters(rules: string): string {
  return rules.replaceAll(/\[\d+:\d+\]/g, "");
}

function start(namespace: Namespace, root: string): ChildProcess {
  return namespace.start("sh", ["-c", script, "sh", root], "pipe");
}

async function ready(daemon: ChildProcess): Promise<void> {
  assert(daemon.stdout !== null);
  let said = "";
  for await (const data of daemon.stdout.iterator({ destroyOnReturn: false })) {
    said += String(data);
    if (said.includes("API listen on")) break;
  }
  assert.match(said, /API listen on/, `dockerd ended: ${said}`);
  daemon.stdout.resume();
}

/** Of its own accord: killed, it would leave containerd behind. */
async function stop(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null) return;
  const closed = once(daemon, "close");
  daemon.kill("SIGTERM");
  await closed;
}
