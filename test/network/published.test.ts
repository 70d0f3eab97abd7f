/** 4: published ports answer on every host and keep the client's address. The numbers are those of the prototype's checks. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isRefused } from "./claims.ts";
import { Cluster, hostServicePort } from "./cluster.ts";
import { clientAddress, farAddress, hostAddress, hostMac } from "./lan.ts";
import { vip } from "./scene.ts";
import { Tap } from "./tap.ts";

const protocols = ["tcp", "udp"] as const;
const hosts = [1, 2, 3] as const;

const seenBy = (names: readonly string[], source: string) =>
  names.map((name) => `${name} ${source}`);
const all = ["a1", "a2", "a3"];

describe("network, published ports", { concurrency: false }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.open();
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  for (const protocol of protocols) {
    test(`4.1 ${protocol}: a LAN client meets every task through every host`, async () => {
      for (const number of hosts) {
        const target = { protocol, address: hostAddress(number), port: 8080 };
        const answers = await cluster.probe("cl").askMany(target, 40);
        assert.deepEqual(answers, seenBy(all, clientAddress), `host ${number}`);
      }
    });

    test(`4.2 ${protocol}: a routed client meets a task on host 2 through every host`, async () => {
      for (const number of hosts) {
        const answer = await cluster.probe("far").ask(protocol, hostAddress(number), 9092);
        assert.equal(answer, `c2 ${farAddress}`, `host ${number}`);
      }
    });

    test(`4.3 ${protocol}: the published port may be the task's own`, async () => {
      for (const number of hosts) {
        const target = { protocol, address: hostAddress(number), port: 7070 };
        const answers = await cluster.probe("far").askMany(target, 40);
        assert.deepEqual(answers, seenBy(all, farAddress), `host ${number}`);
      }
    });

    test(`4.4 ${protocol}: a host asks itself, by 127.0.0.1 and by its own address`, async () => {
      for (const number of hosts) {
        for (const address of ["127.0.0.1", hostAddress(number)]) {
          const target = { protocol, address, port: 8080 };
          const answers = await cluster.probe(`h${number}`).askMany(target, 40);
          assert.deepEqual(answers, seenBy(all, hostAddress(number)), `h${number} → ${address}`);
        }
      }
    });

    test(`4.5 ${protocol}: a task on host 1 reaches a backend there through every host`, async () => {
      for (const name of ["c1", "a1b", "b1"]) {
        for (const number of hosts) {
          const answer = await cluster.probe(name).ask(protocol, hostAddress(number), 9091);
          assert.match(answer, /^c1 (172\.31\.99\.[123]|10\.100\.1\.1)$/, `${name} → h${number}`);
        }
      }
    });

    test(`4.6 ${protocol}: a task on host 1 reaches a backend on host 2 through every host`, async () => {
      for (const name of ["c1", "a1b", "b1"]) {
        for (const number of hosts) {
          const answer = await cluster.probe(name).ask(protocol, hostAddress(number), 9092);
          assert.match(answer, /^c2 172\.31\.99\.[123]$/, `${name} → h${number}`);
        }
      }
    });

    test(`4.7 ${protocol}: a host reaches its own task through another host, which is the source then`, async () => {
      const answer = await cluster.probe("h1").ask(protocol, hostAddress(3), 9091);
      assert.equal(answer, `c1 ${hostAddress(3)}`);
    });

    test(`4.8 ${protocol}: a service of an internal network is published all the same`, async () => {
      const answer = await cluster.probe("far").ask(protocol, hostAddress(1), 9093);
      assert.equal(answer, `i2 ${farAddress}`);
    });

    test(`${protocol}: a service on no overlay is published through the ingress network`, async () => {
      for (const number of hosts) {
        const target = { protocol, address: hostAddress(number), port: 9100 };
        const answers = await cluster.probe("far").askMany(target, 30);
        assert.deepEqual(answers, seenBy(["p1", "p2"], farAddress), `host ${number}`);
      }
    });

    test(`4.9 ${protocol}: one client port through two hosts to one task is two flows`, async () => {
      assert.deepEqual(await clash(protocol), seenBy(["c2", "c2"], farAddress));
    });

    test(`4.14 ${protocol}: a port of mode host is reached from outside on its task's host`, async () => {
      const answer = await cluster.probe("far").ask(protocol, hostAddress(2), 9098);
      assert.equal(answer, `c2 ${farAddress}`);
    });

    test(`4.15 ${protocol}: a port of mode host is reached from its host`, async () => {
      for (const address of ["127.0.0.1", hostAddress(2)]) {
        const answer = await cluster.probe("h2").ask(protocol, address, 9098);
        assert.equal(answer, `c2 ${hostAddress(2)}`, address);
      }
    });

    test(`4.16 ${protocol}: a port of mode host is no other host's`, async () => {
      await isRefused(cluster.probe("far"), { protocol, address: hostAddress(1), port: 9098 });
    });

    test(`4.17 ${protocol}: host_ip 127.0.0.1 is for the host alone`, async () => {
      const answer = await cluster.probe("h2").ask(protocol, "127.0.0.1", 9097);
      assert.equal(answer, `c2 ${hostAddress(2)}`);
      await isRefused(cluster.probe("far"), { protocol, address: hostAddress(2), port: 9097 });
    });

    test(`4.18 ${protocol}: a port on one address of the host is not on another`, async () => {
      const answer = await cluster.probe("far").ask(protocol, hostAddress(2), 9096);
      assert.equal(answer, `c2 ${farAddress}`);
      await isRefused(cluster.probe("h2"), { protocol, address: "127.0.0.1", port: 9096 });
    });
  }

  test("4.9 control: with a mark of the flow in the place of zones one client works, two equal ports do not", async () => {
    const { namespace } = cluster.host(2);
    const marks = [1, 3].map((number) => `${hostMac(number)} : ${(number | 0x4000) * 2 ** 16}`);
    const input = `\
insert rule inet swarm raw_pre iifname "sw-vx0" accept
flush chain inet swarm mangle_pre
add rule inet swarm mangle_pre iifname "sw-vx0" ct mark set ether saddr map { ${marks.join(", ")} }
add rule inet swarm mangle_pre meta mark set ct mark
`;
    await namespace.run("nft", ["-f", "-"], { input });
    assert.equal(await cluster.probe("far").ask("tcp", hostAddress(1), 9092), `c2 ${farAddress}`);
    assert.notDeepEqual(await clash("tcp").catch(() => []), seenBy(["c2", "c2"], farAddress));
    await namespace.run("nft", ["delete", "table", "inet", "swarm"]);
    await cluster.host(2).call({ kind: "repair" });
    assert.deepEqual(await clash("tcp"), seenBy(["c2", "c2"], farAddress));
  });

  test("4.10 replies return through the host that was asked", async () => {
    const far = cluster.probe("far");
    await using direct = await Tap.onLan(cluster, "h2", `ip daddr ${farAddress}`);
    for (const protocol of protocols) {
      const target = { protocol, address: hostAddress(1), port: 9092 };
      assert.deepEqual(await far.askMany(target, 5), [`c2 ${farAddress}`]);
    }
    assert.equal(await direct.count(), 0);
    await far.ask("udp", hostAddress(2), hostServicePort);
    assert.equal(await direct.count(), 1, "control: the host's own answer goes straight");
  });

  test("4.11 a closed udp port of a backend elsewhere is refused", async () => {
    const target = { protocol: "udp", address: hostAddress(1), port: 9099 } as const;
    await isRefused(cluster.probe("far"), target);
  });

  test("4.12 datagrams larger than the overlay's MTU pass after the first, fragments too", async () => {
    const target = { protocol: "udp", address: hostAddress(1), port: 9092 } as const;
    const flow = await cluster.probe("far").hold(target);
    // The first may be lost for the news of the path's MTU, and the second meet that news.
    await flow.exchange(1472);
    await flow.exchange(1472);
    assert.match(await flow.exchange(1472), /^c2 \S+ \d+ 1472$/);
    assert.match(await flow.exchange(8000), /^c2 \S+ \d+ 8000$/);
    await flow.close();
  });

  test("4.13 hosts that check reverse paths strictly take everything", async () => {
    const strict = (value: number) =>
      Promise.all(
        cluster.lan.hosts.map(({ namespace }) => {
          const names = ["all", "eth0"].map((name) => `net.ipv4.conf.${name}.rp_filter=${value}`);
          return namespace.run("sysctl", ["-qw", ...names]);
        }),
      );
    await strict(1);
    for (const protocol of protocols) {
      const target = { protocol, address: hostAddress(1), port: 8080 };
      const answers = await cluster.probe("far").askMany(target, 40);
      assert.deepEqual(answers, seenBy(all, farAddress));
    }
    await strict(0);
  });

  test("4.19, 4.20 a drained backend gets nothing new through the mesh, its flows live", async () => {
    const far = cluster.probe("far");
    const targets = protocols.map((protocol) => ({
      protocol,
      address: hostAddress(1),
      port: 9092,
    }));
    const flows = await Promise.all(targets.map((target) => far.hold(target)));
    await cluster.serve({ c2: false, c3: true });
    for (const target of targets) {
      assert.deepEqual(await far.askMany(target, 5), [`c3 ${farAddress}`]);
    }
    for (const flow of flows) {
      assert.match(await flow.exchange(), /^c2 /);
      await flow.close();
    }
    await cluster.serve({ c2: true, c3: false });
  });

  test("with affinity a client stays on its backend, through every host, as long as that serves", async () => {
    const far = cluster.probe("far");
    const met = async () => {
      const answers = await Promise.all(
        hosts.map((number) =>
          far.askMany({ protocol: "tcp", address: hostAddress(number), port: 9101 }, 15),
        ),
      );
      const names = new Set(answers.flat().map((answer) => answer.split(" ", 1).join()));
      assert.equal(names.size, 1, [...names].join(" and "));
      return [...names].join();
    };
    const first = await met();
    assert.match(first, /^b[12]$/);
    await cluster.serve({ [first]: false });
    const second = await met();
    assert.notEqual(second, first);
    await cluster.serve({ [first]: true });
    assert.equal(await met(), first, "the same addresses, the same backend");
  });

  test("a lost host's tasks get nothing new once the others are told", async () => {
    await using _lost = await cluster.lose(3);
    for (const protocol of protocols) {
      for (const number of [1, 2]) {
        const target = { protocol, address: hostAddress(number), port: 8080 };
        const answers = await cluster.probe("far").askMany(target, 40);
        assert.deepEqual(answers, seenBy(["a1", "a2"], farAddress), `host ${number}`);
      }
      const answers = await cluster.probe("a1b").askMany({ protocol, address: vip, port: 80 }, 40);
      assert.deepEqual(answers, seenBy(["a1", "a2"], "10.100.1.21"));
    }
  });

  test("4.21 a port without a backend refuses at once", async () => {
    await cluster.serve({ c2: false, c3: false });
    for (const protocol of protocols) {
      for (const name of ["far", "h1", "a1", "b1"]) {
        await isRefused(cluster.probe(name), { protocol, address: hostAddress(1), port: 9092 });
      }
    }
    await cluster.serve({ c2: true });
  });

  test("4.22 an udp flow that began when nobody served reaches the first who does", async () => {
    await cluster.serve({ c2: false });
    const target = {
      protocol: "udp",
      address: hostAddress(1),
      port: 9092,
      localPort: 40_555,
    } as const;
    await isRefused(cluster.probe("far"), target);
    await cluster.serve({ c2: true });
    assert.deepEqual(await cluster.probe("far").askMany(target, 1), [`c2 ${farAddress}`]);
  });

  /** Two flows from one port, through two hosts; both answer twice. */
  async function clash(protocol: "tcp" | "udp"): Promise<readonly string[]> {
    const far = cluster.probe("far");
    const [first, third] = [1, 3].map((number) => ({
      protocol,
      address: hostAddress(number),
      port: 9092,
      localPort: 41_000,
    }));
    assert(first !== undefined && third !== undefined);
    await using stack = new AsyncDisposableStack();
    const one = await far.hold(first);
    stack.defer(() => one.close());
    const other = await far.hold(third);
    stack.defer(() => other.close());
    await one.exchange();
    await other.exchange();
    const answers = [await one.exchange(), await other.exchange()];
    return answers.map((answer) => answer.split(" ").slice(0, 2).join(" "));
  }
});
