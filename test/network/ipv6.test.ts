/** 8: the same with IPv6, over the same devices. The numbers are those of the prototype's checks. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isRefused, pings } from "./claims.ts";
import { Cluster, hostServicePort } from "./cluster.ts";
import { clientAddress6, farAddress6, hostAddress6 } from "./lan.ts";
import { sendRaw } from "./raw-packet.ts";
import { gateway6, vip6 } from "./scene.ts";
import { Tap } from "./tap.ts";

const protocols = ["tcp", "udp"] as const;
const hosts = [1, 2, 3] as const;

describe("network, IPv6", { concurrency: false }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.open();
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  test("8.1, 8.2 tasks reach each other on one host and across hosts", async () => {
    assert(await pings(cluster, "a1", "fd00:64:1::21"));
    assert(await pings(cluster, "a1", "fd00:64:1::12"));
  });

  test("8.3, 8.4 tasks of two networks do not, and are refused at once", async () => {
    for (const address of ["fd00:64:2::11", "fd00:64:2::12"]) {
      assert(!(await pings(cluster, "a1", address)));
      await isRefused(cluster.probe("a1"), { protocol: "tcp", address, port: 80 });
    }
    assert(await pings(cluster, "b1", "fd00:64:2::12"), "control: within the network it answers");
  });

  for (const protocol of protocols) {
    test(`8.5 ${protocol}: a service's address meets every backend, with the true source`, async () => {
      const target = { protocol, address: vip6, port: 80 };
      const answers = await cluster.probe("a1b").askMany(target, 40);
      assert.deepEqual(answers, ["a1 fd00:64:1::21", "a2 fd00:64:1::21", "a3 fd00:64:1::21"]);
    });

    test(`8.6 ${protocol}: a backend meets itself, too`, async () => {
      const target = { protocol, address: vip6, port: 80 };
      const answers = await cluster.probe("a1").askMany(target, 40);
      assert.deepEqual(answers, [`a1 ${gateway6}`, "a2 fd00:64:1::11", "a3 fd00:64:1::11"]);
    });

    test(`8.7 ${protocol}: a routed client meets a task on host 2 through every host`, async () => {
      for (const number of hosts) {
        const answer = await cluster.probe("far").ask(protocol, hostAddress6(number), 9092);
        assert.equal(answer, `c2 ${farAddress6}`, `host ${number}`);
      }
    });

    test(`8.8 ${protocol}: a host asks itself by its own address`, async () => {
      const answer = await cluster.probe("h1").ask(protocol, hostAddress6(1), 9092);
      assert.equal(answer, `c2 ${hostAddress6(1)}`);
    });

    test(`8.9 ${protocol}: ::1 is refused at once, so that "localhost" falls back to 127.0.0.1`, async () => {
      await isRefused(cluster.probe("h1"), { protocol, address: "::1", port: 9092 });
    });
  }

  test("8.10 what leaves the network comes from the host's address", async () => {
    const answer = await cluster.probe("a1").ask("tcp", clientAddress6, 80);
    assert.equal(answer, `cl ${hostAddress6(1)}`);
  });

  test("8.11 a spoofed source is dropped at the task's link", async () => {
    const packet = { destination: "fd00:64:1::21", port: 7777 };
    await using arrived = await Tap.inTask(cluster, "a1b", "udp dport 7777");
    for (const source of ["fd00:64:1::77", "fd00:64:1::12", hostAddress6(1), "fe80::99"]) {
      await sendRaw(cluster, "a1", { ...packet, source });
    }
    assert.equal(await arrived.count(), 0);
    await sendRaw(cluster, "a1", { ...packet, source: "fd00:64:1::11" });
    assert.equal(await arrived.count(), 1, "control: the same packet with its own source arrives");
  });

  test("8.12 one client port through two hosts to one task is two flows", async () => {
    const far = cluster.probe("far");
    const target = { protocol: "tcp", port: 9092, localPort: 41_006 } as const;
    const one = await far.hold({ ...target, address: hostAddress6(1) });
    const other = await far.hold({ ...target, address: hostAddress6(3) });
    for (const flow of [one, other, one, other]) assert.match(await flow.exchange(), /^c2 fd98/);
    await Promise.all([one.close(), other.close()]);
  });

  test("8.13 1,450 bytes pass across hosts, 1,451 do not", async () => {
    const whole = (bytes: number) =>
      pings(cluster, "a1", "-6", "-M", "do", "-s", String(bytes - 48), "fd00:64:1::12");
    assert(await whole(1450));
    assert(!(await whole(1451)));
  });

  test("an internal network leads neither out nor to the host nor to a published port", async () => {
    const i1 = cluster.probe("i1");
    assert(await pings(cluster, "i1", "fd00:64:3::12"));
    await isRefused(i1, { protocol: "tcp", address: clientAddress6, port: 80 });
    await isRefused(i1, { protocol: "tcp", address: hostAddress6(1), port: hostServicePort });
    await isRefused(i1, { protocol: "tcp", address: hostAddress6(1), port: 8080 });
  });

  test("an unknown address, an address without a backend and a port without one refuse at once", async () => {
    const a1 = cluster.probe("a1");
    await isRefused(a1, { protocol: "tcp", address: "fd00:64:1::99", port: 80 });
    await cluster.serve({ a1: false, a2: false, a3: false });
    for (const protocol of protocols) {
      await isRefused(a1, { protocol, address: vip6, port: 80 });
      await isRefused(cluster.probe("far"), { protocol, address: hostAddress6(1), port: 8080 });
    }
    await cluster.serve({ a1: true, a2: true, a3: true });
  });

  test("a LAN host can neither route into a network nor use a task's address", async () => {
    const ip = (...args: string[]) => cluster.lan.client.run("ip", args);
    await ip("-6", "route", "add", "fd00:64::/32", "via", hostAddress6(1));
    await isRefused(cluster.probe("cl"), { protocol: "tcp", address: "fd00:64:1::12", port: 80 });
    await using arrived = await Tap.inTask(cluster, "a1b", "ip6 saddr fd00:64:1::11");
    await ip("addr", "add", "fd00:64:1::11/128", "dev", "lo", "nodad");
    const route = ["fd00:64:1::21/128", "via", hostAddress6(1), "src", "fd00:64:1::11"];
    await ip("-6", "route", "replace", ...route);
    await using sent = await Tap.onLan(cluster, "cl", "ip6 saddr fd00:64:1::11 udp dport 80");
    await cluster.probe("cl").datagram("fd00:64:1::21", 80, Buffer.from("x"));
    await ip("-6", "route", "del", "fd00:64:1::21/128");
    await ip("addr", "del", "fd00:64:1::11/128", "dev", "lo");
    await ip("-6", "route", "del", "fd00:64::/32");
    assert.equal(await sent.count(), 1);
    assert.equal(await arrived.count(), 0);
  });
});
