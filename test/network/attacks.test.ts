/** 2: networks are apart, and nobody pretends to be somebody else. The numbers are those of the prototype's checks. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { taskMac } from "#agent/network/attachment.ts";
import { forgedVxlan } from "#agent/network/testing/forged-vxlan.ts";
import { isRefused, pings } from "./claims.ts";
import { Cluster, hostServicePort } from "./cluster.ts";
import { hostAddress, hostMac } from "./lan.ts";
import { sendRaw } from "./raw-packet.ts";
import { gatewayMac, gateways } from "./scene.ts";
import { Tap } from "./tap.ts";

/** What VXLAN devices send is marked so; see ruleset.ts. */
const guardMark = "0x20";

describe("network, attacks", { concurrency: false }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.open();
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  test("2.1, 2.2 tasks of two networks do not reach each other, on one host or two", async () => {
    assert(!(await pings(cluster, "a1", "10.100.2.11")));
    assert(!(await pings(cluster, "a1", "10.100.2.12")));
    assert(await pings(cluster, "b1", "10.100.2.12"), "control: within the network it answers");
  });

  test("2.3 a task of another network is refused at once", async () => {
    const a1 = cluster.probe("a1");
    await isRefused(a1, { protocol: "tcp", address: "10.100.2.11", port: 80 });
    await isRefused(a1, { protocol: "tcp", address: "10.100.2.12", port: 80 });
    await isRefused(a1, { protocol: "udp", address: "10.100.2.12", port: 80 });
  });

  test("2.4, 2.5 a LAN host can neither route into a network nor ask a gateway's DNS", async () => {
    await using _route = await routeThroughHost();
    const client = cluster.probe("cl");
    await isRefused(client, { protocol: "tcp", address: "10.100.1.12", port: 80 });
    const server = gateways.front;
    const answers = (["udp", "tcp"] as const).map((protocol) =>
      client.resolve({ protocol, server, name: "a1", type: "A" }),
    );
    for (const answer of await Promise.all(answers)) {
      assert.match(answer, /^(timeout|ECONNREFUSED|EHOSTUNREACH)$/);
    }
  });

  test("2.6 a LAN host cannot use a task's address as its own", async () => {
    await using _route = await routeThroughHost();
    await using sent = await Tap.onLan(cluster, "cl", "ip saddr 10.100.1.11");
    await using arrived = await Tap.inTask(cluster, "a1b", "ip saddr 10.100.1.11");
    const ip = (...args: string[]) => cluster.lan.client.run("ip", args);
    await ip("addr", "add", "10.100.1.11/32", "dev", "lo");
    await ip("route", "replace", "10.100.1.21/32", "via", hostAddress(1), "src", "10.100.1.11");
    await cluster.probe("cl").datagram("10.100.1.21", 80, Buffer.from("x"));
    await ip("route", "del", "10.100.1.21/32");
    await ip("addr", "del", "10.100.1.11/32", "dev", "lo");
    assert.equal(await sent.count(), 1);
    assert.equal(await arrived.count(), 0);
    assert(await pings(cluster, "a1", "10.100.1.21"));
    assert.equal(await arrived.count(), 1, "control: the address's owner arrives");
  });

  test("2.7 a spoofed source is dropped at the task's link: a free, another task's, the host's", async () => {
    const port = 7777;
    await using arrived = await Tap.inTask(cluster, "a1b", `udp dport ${port}`);
    const destination = "10.100.1.21";
    for (const source of ["10.100.1.77", "10.100.1.12", hostAddress(1)]) {
      await sendRaw(cluster, "a1", { source, destination, port });
    }
    assert.equal(await arrived.count(), 0);
    await sendRaw(cluster, "a1", { source: "10.100.1.11", destination, port });
    assert.equal(await arrived.count(), 1, "control: the same packet with its own source arrives");
    // Its own, but of its other network: each address belongs to one link.
    await sendRaw(cluster, "m2", { source: "10.100.2.41", destination, port });
    assert.equal(await arrived.count(), 1);
    await sendRaw(cluster, "m2", { source: "10.100.1.41", destination, port });
    assert.equal(await arrived.count(), 2, "control: the link's own address arrives");
  });

  test("2.8 a task does not reach its host's 127.0.0.1", async () => {
    const { namespace } = cluster.host(1);
    const packet = { source: "10.100.1.11", port: hostServicePort };
    await using arrived = await Tap.inHost(namespace, `udp dport ${hostServicePort}`);
    await sendRaw(cluster, "a1", { ...packet, destination: "127.0.0.1" });
    assert.equal(await arrived.count(), 0);
    await sendRaw(cluster, "a1", { ...packet, destination: hostAddress(1) });
    assert.equal(await arrived.count(), 1, "control: the host's LAN address is reached");
  });

  test("2.9 a task of an open network reaches a service of its host", async () => {
    const answer = await cluster.probe("a1").ask("tcp", hostAddress(1), hostServicePort);
    assert.equal(answer, "h1 10.100.1.11");
  });

  test("2.10, 2.11 a task of a closed network does not, and has DNS and ping of its host", async () => {
    const i1 = cluster.probe("i1");
    const address = hostAddress(1);
    await isRefused(i1, { protocol: "tcp", address, port: hostServicePort });
    const query = { protocol: "udp", server: gateways.inner, name: "i2", type: "A" } as const;
    assert.equal(await i1.resolve(query), "10.100.3.12");
    assert(await pings(cluster, "i1", gateways.inner));
  });

  test("2.12, 2.13 forged VXLAN from a task, the LAN or a host's own process is dropped", async () => {
    const forged = forgedVxlan({
      vni: 4096,
      mac: hostMac(2),
      source: "10.100.1.11",
      destination: "10.100.1.12",
      port: 7777,
    });
    await using arrived = await Tap.inTask(cluster, "a2", "udp dport 7777");
    for (const name of ["a1", "i1", "e1", "u1", "p1", "cl", "h1"]) {
      await cluster.probe(name).datagram(hostAddress(2), 4789, forged);
    }
    assert.equal(await arrived.count(), 0);
    const { namespace } = cluster.host(1);
    const mark = `table inet control { chain out { type filter hook output priority -400; udp dport 4789 meta mark set ${guardMark}; }; }`;
    await namespace.run("nft", ["-f", "-"], { input: mark });
    await cluster.probe("h1").datagram(hostAddress(2), 4789, forged);
    await namespace.run("nft", ["delete", "table", "inet", "control"]);
    assert.equal(
      await arrived.count(),
      1,
      "control: with the guard's mark the same packet is taken",
    );
  });

  test("2.14 a task and its host have no link-local addresses to talk with", async () => {
    const linkLocal = "fe80::6e:ffff:feff:ffff";
    const { stdout } = await cluster.host(1).namespace.run("ip", ["-j", "link"]);
    const links = JSON.parse(stdout) as { readonly ifname: string }[];
    const veth = links.find(({ ifname }) => ifname.startsWith("swv-a100"))?.ifname ?? "";
    await cluster.inTask("a1", "ip", "addr", "add", "fe80::99/64", "dev", "eth0", "nodad");
    const neighbour = [
      "replace",
      linkLocal,
      "lladdr",
      gatewayMac,
      "dev",
      "eth0",
      "nud",
      "permanent",
    ];
    await cluster.inTask("a1", "ip", "neigh", ...neighbour);
    const ip = (...args: string[]) => cluster.host(1).namespace.run("ip", args);
    await ip("addr", "add", `${linkLocal}/64`, "dev", veth, "nodad");
    await ip("neigh", "replace", "fe80::99", "lladdr", taskMac("10.100.1.11"), "dev", veth);
    const reach = () => pings(cluster, "a1", "-6", "-I", "fe80::99%eth0", `${linkLocal}%eth0`);
    const reached = await reach();
    const rule = "insert rule inet swarm raw_pre ip6 saddr fe80::/10 accept";
    await cluster.host(1).namespace.run("nft", ["-f", "-"], { input: rule });
    const reachedWithout = await reach();
    await ip("addr", "del", `${linkLocal}/64`, "dev", veth);
    await cluster.inTask("a1", "ip", "addr", "del", "fe80::99/64", "dev", "eth0");
    await cluster.inTask("a1", "ip", "neigh", "del", linkLocal, "dev", "eth0");
    await removeFirstRule("raw_pre");
    assert(!reached);
    assert(reachedWithout, "control: without the rules they do");
  });

  async function removeFirstRule(chain: string): Promise<void> {
    const { namespace } = cluster.host(1);
    const { stdout } = await namespace.run("nft", ["-a", "list", "chain", "inet", "swarm", chain]);
    const handle = /accept # handle (\d+)/.exec(stdout)?.[1] ?? "";
    await namespace.run("nft", ["delete", "rule", "inet", "swarm", chain, "handle", handle]);
  }

  /** The client believes that host 1 is the way to every network. */
  async function routeThroughHost(): Promise<AsyncDisposable> {
    const route = ["10.100.0.0/16", "via", hostAddress(1)];
    await cluster.lan.client.run("ip", ["route", "add", ...route]);
    return {
      async [Symbol.asyncDispose]() {
        await cluster.lan.client.run("ip", ["route", "del", ...route]);
      },
    };
  }
});
