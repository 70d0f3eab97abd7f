/** 3: a service's address leads to its tasks. The numbers are those of the prototype's checks. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isRefused, pings } from "./claims.ts";
import { Cluster } from "./cluster.ts";
import type { KeptFlow } from "./probe-handle.ts";
import { backVip, vip } from "./scene.ts";

const protocols = ["tcp", "udp"] as const;

describe("network, service addresses", { concurrency: false }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.open();
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  for (const protocol of protocols) {
    test(`3.1 ${protocol} from a task meets every backend, which sees the true source`, async () => {
      const answers = await cluster.probe("a1b").askMany({ protocol, address: vip, port: 80 }, 40);
      assert.deepEqual(answers, ["a1 10.100.1.21", "a2 10.100.1.21", "a3 10.100.1.21"]);
    });

    test(`3.2 ${protocol} from a backend meets every backend, itself too`, async () => {
      const answers = await cluster.probe("a1").askMany({ protocol, address: vip, port: 80 }, 40);
      assert.deepEqual(answers, ["a1 10.100.1.1", "a2 10.100.1.11", "a3 10.100.1.11"]);
    });
  }

  test("3.3 the address serves every port that the tasks serve", async () => {
    const target = { protocol: "tcp", address: vip, port: 7070 } as const;
    const answers = await cluster.probe("a1b").askMany(target, 40);
    assert.deepEqual(answers, ["a1 10.100.1.21", "a2 10.100.1.21", "a3 10.100.1.21"]);
  });

  test("3.4 a backend answers ping", async () => {
    assert(await pings(cluster, "a1b", vip));
  });

  test("3.5 the address of another network is refused at once", async () => {
    await isRefused(cluster.probe("b1"), { protocol: "tcp", address: vip, port: 80 });
  });

  test("3.6 a service of a task on two networks has an address on the second", async () => {
    assert.equal(await cluster.probe("b1").ask("tcp", backVip, 80), "m2 10.100.2.11");
  });

  test("3.7, 3.8, 3.9 a drained backend gets nothing new, its tcp and udp flows live", async () => {
    const flows = await holdOn("a2");
    await cluster.serve({ a1: true, a2: false, a3: true });
    const answers = await cluster
      .probe("a1b")
      .askMany({ protocol: "tcp", address: vip, port: 80 }, 40);
    assert.deepEqual(answers, ["a1 10.100.1.21", "a3 10.100.1.21"]);
    for (const flow of flows) {
      assert.match(await flow.exchange(), /^a2 /);
      assert.match(await flow.exchange(), /^a2 /);
      await flow.close();
    }
    await cluster.serve({ a2: true });
  });

  test("3.10, 3.11 when a backend dies its udp flows move to a live one, its tcp flows end at once", async () => {
    const [tcp, udp] = await holdOn("a2");
    assert(tcp !== undefined && udp !== undefined);
    await cluster.serve({ a1: true, a3: true });
    // As with its host: nobody hears of it from the task.
    await cluster.inTask("a2", "ip", "link", "set", "eth0", "down");
    const dead = await cluster.end("a2");
    assert.match(await udp.exchange(), /^a[13] /);
    assert.match(await tcp.exchange(), /^(ECONNRESET|EHOSTUNREACH|ECONNREFUSED)$/);
    await Promise.all([tcp.close(), udp.close()]);
    await cluster.add(dead);
    await cluster.serve({ a2: true });
  });

  test("3.12 changes of backends under load lose no connection", async () => {
    const target = { protocol: "tcp", address: vip, port: 80 } as const;
    const seen = new Set<string>();
    for (let change = 0; change < 40; change += 1) {
      const [answers] = await Promise.all([
        cluster.probe("a1b").askMany(target, 15),
        cluster.serve({ a3: change % 2 === 1 }),
      ]);
      for (const answer of answers) seen.add(answer);
    }
    assert.deepEqual([...seen].toSorted(), ["a1 10.100.1.21", "a2 10.100.1.21", "a3 10.100.1.21"]);
  });

  test("3.13 an address without a backend refuses at once", async () => {
    await cluster.serve({ a1: false, a2: false, a3: false });
    for (const protocol of protocols) {
      await isRefused(cluster.probe("a1b"), { protocol, address: vip, port: 80 });
    }
    await cluster.serve({ a1: true, a2: true, a3: true });
  });

  test("3.14 a closed udp port of the backends is refused at once", async () => {
    await isRefused(cluster.probe("a1b"), { protocol: "udp", address: vip, port: 9999 });
  });

  /** A tcp and an udp flow of a1b's through the address, to the one backend that serves. */
  async function holdOn(backend: string): Promise<readonly KeptFlow[]> {
    await cluster.serve({ a1: backend === "a1", a2: backend === "a2", a3: backend === "a3" });
    const flows: KeptFlow[] = [];
    for (const protocol of protocols) {
      const flow = await cluster.probe("a1b").hold({ protocol, address: vip, port: 80 });
      assert.equal(flow.first.split(" ", 1)[0], backend);
      flows.push(flow);
    }
    return flows;
  }
});
