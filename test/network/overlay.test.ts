/** 1: tasks of one network reach each other, wherever they are. The numbers in the names are those of the prototype's checks. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isRefused, pings } from "./claims.ts";
import { Cluster, hostServicePort } from "./cluster.ts";
import { clientAddress, farAddress, hostAddress } from "./lan.ts";
import { gatewayMac, gateways, networks } from "./scene.ts";
import { Tap } from "./tap.ts";

describe("network, overlay", { concurrency: false }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.open();
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  test("1.1 tasks on one host reach each other", async () => {
    assert(await pings(cluster, "a1", "10.100.1.21"));
  });

  test("1.2 tasks on two hosts reach each other", async () => {
    assert(await pings(cluster, "a1", "10.100.1.12"));
  });

  test("1.3 tcp and udp across hosts carry the true source", async () => {
    const a1 = cluster.probe("a1");
    assert.equal(await a1.ask("tcp", "10.100.1.12", 80), "a2 10.100.1.11");
    assert.equal(await a1.ask("udp", "10.100.1.12", 80), "a2 10.100.1.11");
  });

  test("1.4, 1.5 the gateway answers ARP and ping on the task's own host, nothing crosses the LAN", async () => {
    await using onLan = await Tap.onLan(cluster, "h1", "udp dport 4789");
    const neighbour = [gateways.front, "dev", "eth0"];
    await cluster.inTask("a1", "ip", "neigh", "del", ...neighbour);
    assert(await pings(cluster, "a1", gateways.front));
    assert.equal(await onLan.count(), 0);
    const permanent = ["lladdr", gatewayMac, "nud", "permanent"];
    await cluster.inTask("a1", "ip", "neigh", "replace", ...neighbour, ...permanent);
    assert(await pings(cluster, "a1", "10.100.1.12"));
    assert.equal(await onLan.count(), 1, "control: a task on another host is met over the LAN");
  });

  test("1.6 VXLAN knows peers and no tasks", async () => {
    const { stdout } = await cluster
      .host(1)
      .namespace.run("bridge", ["-j", "fdb", "show", "dev", "sw-vx0"]);
    const entries = (JSON.parse(stdout) as { readonly dst?: string }[]).flatMap((e) => e.dst ?? []);
    assert.deepEqual(entries.toSorted(), [hostAddress(2), hostAddress(3)]);
  });

  test("1.7 an unknown address of the subnet is refused at once", async () => {
    for (const protocol of ["tcp", "udp"] as const) {
      await isRefused(cluster.probe("a1"), { protocol, address: "10.100.1.99", port: 80 });
    }
  });

  test("1.8 what leaves the network comes from the host's address", async () => {
    assert.equal(await cluster.probe("a1").ask("tcp", clientAddress, 80), `cl ${hostAddress(1)}`);
  });

  test("1.9, 1.10 a user's own /28 with its gateway at the end is a network like any other", async () => {
    const u1 = cluster.probe("u1");
    assert.equal(await u1.ask("tcp", "172.31.77.18", 80), "u2 172.31.77.17");
    assert.equal(await u1.ask("tcp", clientAddress, 80), `cl ${hostAddress(1)}`);
    assert(await pings(cluster, "u1", gateways.own));
  });

  test("1.11 an internal network works across hosts", async () => {
    assert(await pings(cluster, "i1", "10.100.3.12"));
  });

  test("1.12, 1.13 an internal network leads neither out nor to the host nor to a published port", async () => {
    const i1 = cluster.probe("i1");
    await isRefused(i1, { protocol: "tcp", address: clientAddress, port: 80 });
    await isRefused(i1, { protocol: "tcp", address: hostAddress(1), port: hostServicePort });
    await isRefused(i1, { protocol: "tcp", address: hostAddress(1), port: 8080 });
  });

  test("1.14, 1.15 a task on two networks reaches both", async () => {
    assert(await pings(cluster, "m2", "10.100.2.11"));
    assert(await pings(cluster, "m2", "10.100.1.11"));
  });

  test("1.16 a task on two networks is reached on both", async () => {
    assert.equal(await cluster.probe("a1").ask("tcp", "10.100.1.41", 80), "m2 10.100.1.11");
    assert.equal(await cluster.probe("b1").ask("tcp", "10.100.2.41", 80), "m2 10.100.2.11");
  });

  test("1.17 a task on two networks is reached by tcp through a port published on its second", async () => {
    const far = cluster.probe("far");
    assert.equal(await far.ask("tcp", hostAddress(1), 9094), `m2 ${farAddress}`);
    // A server of datagrams answers from the task's first address: managers publish on the network of the default route.
    assert.equal(await far.ask("udp", hostAddress(3), 9094), "timeout");
    const rules = async () => {
      const { stdout } = await cluster.inTask("m2", "ip", "-4", "rule", "show");
      return stdout.split("\n").filter((line) => line.includes("10.100.2.41"));
    };
    const [rule = ""] = await rules();
    const [priority = "", ...words] = rule.split(/:?\s+/);
    await cluster.inTask("m2", "ip", "rule", "del", "pref", priority);
    const without = await far.ask("tcp", hostAddress(1), 9094);
    await cluster.inTask("m2", "ip", "rule", "add", "pref", priority, ...words);
    assert.equal(without, "timeout", "control: the rule of its source sends the answer back");
    assert.equal(await far.ask("tcp", hostAddress(1), 9094), `m2 ${farAddress}`);
  });

  test("1.18 an address that moved to another host is found there by the first packet", async () => {
    await cluster.move("b2", 3);
    assert(await pings(cluster, "b1", "10.100.2.12"));
    assert.equal(await cluster.probe("m2").ask("tcp", "10.100.2.12", 80), "b2 10.100.2.41");
    await cluster.move("b2", 2);
    assert(await pings(cluster, "b1", "10.100.2.12"));
  });

  test("1.19 a network whose subnet overlaps another's is refused, the others are carried", async () => {
    const host = cluster.host(1);
    const state = cluster.state(host);
    const twin = { ...networks.front, id: "twin" };
    const call = {
      kind: "apply",
      state: { ...state, networks: [...state.networks, twin] },
    } as const;
    const answer = await host.tryCall(call);
    assert.equal(answer.kind === "failed" ? answer.code : "", "failed-precondition");
    await cluster.apply();
    assert(await pings(cluster, "a1", "10.100.1.12"));
  });
});
