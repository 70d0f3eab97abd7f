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

  const repair = () => Promise.all(cluster.lan.hosts.map((host) => host.call({ kind: "repair" })));
  const mesh = () => cluster.probe("far").ask("tcp", hostAddress(1), 9092);
  const overlay = () => cluster.probe("a1").ask("tcp", "10.100.1.12", 80);

  test("its policy stops what it does not know, until a repair has used its chain for others", async () => {
    assert.match(await overlay(), /^(timeout|E[A-Z]+)$/, "control: without them it is stopped");
    await repair();
    assert.equal(await overlay(), "a2 10.100.1.11");
    assert.equal(await mesh(), `c2 ${farAddress}`);
    assert.equal(await cluster.probe("a1").ask("tcp", clientAddress, 80), `cl ${hostAddress(1)}`);
    assert(!(await pings(cluster, "a1", "10.100.2.11")));
  });

  test("further repairs and changes leave its rules as they are, and a host that leaves takes ours away", async () => {
    const { namespace } = cluster.host(1);
    const rules = async () => {
      const { stdout } = await namespace.run("iptables-save", []);
      return withoutCounters(stdout.replaceAll(/^#.*$/gm, ""));
    };
    const before = await rules();
    assert.match(before, /-A FORWARD -j DOCKER-USER/);
    await namespace.run("nft", ["delete", "table", "inet", "swarm"]);
    await repair();
    await cluster.serve({ a2: false });
    await cluster.serve({ a2: true });
    assert.equal(await rules(), before);
    assert.equal(await mesh(), `c2 ${farAddress}`);
    await cluster.host(1).call({ kind: "cleanup" });
    const ours = before.split("\n").filter((line) => line.includes("--comment swarm"));
    assert.equal(ours.length, 4);
    assert.deepEqual(
      (await rules()).split("\n"),
      before.split("\n").filter((line) => !ours.includes(line)),
    );
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
