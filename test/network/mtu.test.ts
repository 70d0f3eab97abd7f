/** 5: what fits into a network's packets, and what happens to the rest. The numbers are those of the prototype's checks. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { pings } from "./claims.ts";
import { Cluster, hostServicePort } from "./cluster.ts";
import { hostAddress } from "./lan.ts";
import { Tap } from "./tap.ts";

/** IPv4's and ICMP's. */
const headerBytes = 28;

/** The LAN's 1,500 bytes less 50 of VXLAN, and less 60 of WireGuard in encrypted networks. */
const plainMtu = 1450;
const encryptedMtu = 1390;

describe("network, MTU", { concurrency: false }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.open();
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  const whole = (task: string, address: string, bytes: number) =>
    pings(cluster, task, "-M", "do", "-s", String(bytes - headerBytes), address);

  test("5.1, 5.2 1,450 bytes pass across hosts unfragmented, 1,451 do not", async () => {
    assert(await whole("a1", "10.100.1.12", plainMtu));
    assert(!(await whole("a1", "10.100.1.12", plainMtu + 1)));
  });

  test("5.3 much tcp makes no fragments between hosts", async () => {
    await noFragments("a1", "10.100.1.12");
  });

  test("5.4, 5.5 encrypted, 1,390 bytes pass and 1,391 do not", async () => {
    assert(await whole("e1", "10.100.4.12", encryptedMtu));
    assert(!(await whole("e1", "10.100.4.12", encryptedMtu + 1)));
  });

  test("5.6 encrypted, much tcp makes no fragments between hosts", async () => {
    await noFragments("e1", "10.100.4.12");
  });

  test("5.7 datagrams larger than the MTU pass a published port into the encrypted network", async () => {
    const target = { protocol: "udp", address: hostAddress(1), port: 9095 } as const;
    const flow = await cluster.probe("far").hold(target);
    // The first may be lost for the news of the path's MTU, and the second meet that news.
    await flow.exchange(1472);
    await flow.exchange(1472);
    assert.match(await flow.exchange(1472), /^e2 \S+ \d+ 1472$/);
    assert.match(await flow.exchange(8000), /^e2 \S+ \d+ 8000$/);
    await flow.close();
  });

  async function noFragments(task: string, address: string): Promise<void> {
    const match = `ip daddr ${hostAddress(2)} ip frag-off & 0x3fff != 0`;
    await using fragments = await Tap.onLan(cluster, "h1", match);
    await cluster.probe(task).pour({ protocol: "tcp", address, port: 80 }, "x".repeat(1000), 3000);
    assert.equal(await fragments.count(), 0);
    await cluster.probe("h1").datagram(hostAddress(2), hostServicePort, Buffer.alloc(3000));
    assert.equal(await fragments.count(), 3, "control: a large datagram of the host's is counted");
  }
});
