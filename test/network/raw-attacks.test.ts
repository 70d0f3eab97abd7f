/** What a task with a raw socket, which is Docker's default, could try besides false sources; and what its host is spared. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { NetworkStatus } from "#agent/network/network-driver.ts";
import { forgedVxlan, portUnreachable } from "#agent/network/testing/forged-vxlan.ts";
import { parseAddress } from "#proto/ipv4.ts";
import { pings } from "./claims.ts";
import { Cluster, hostServicePort } from "./cluster.ts";
import { clientAddress, hostAddress, hostAddress6, hostMac } from "./lan.ts";
import { sendFrame, sendRaw } from "./raw-packet.ts";
import { gateway6, gateways } from "./scene.ts";
import { Tap } from "./tap.ts";

describe("network, attacks with raw packets", { concurrency: false }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.open();
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  test("a task without a source does not reach its host by broadcast or multicast", async () => {
    const { namespace } = cluster.host(1);
    await using arrived = await Tap.inHost(namespace, `udp dport ${hostServicePort}`);
    for (const destination of ["255.255.255.255", "224.0.0.1"]) {
      for (const source of ["0.0.0.0", "10.100.3.11"]) {
        await sendRaw(cluster, "i1", { source, destination, port: hostServicePort });
      }
    }
    assert.equal(await arrived.count(), 0);
  });

  test("a task does not fill its host's table of neighbours", async () => {
    const { namespace } = cluster.host(1);
    for (const last of [201, 202]) {
      const asked = arpRequest(`10.100.1.${last}`, gateways.front);
      await sendFrame(cluster, "a1", "0806", asked);
    }
    const { stdout } = await namespace.run("ip", ["neigh", "show"]);
    assert.doesNotMatch(stdout, /10\.100\.1\.20[12] /);
    assert.match(stdout, /10\.100\.1\.11 .* PERMANENT/);
    assert(await pings(cluster, "a1", gateways.front));
  });

  test("a task sends no errors about flows of tasks on other networks", async () => {
    const other = { protocol: "udp", address: "10.100.2.12", port: 80, localPort: 5555 } as const;
    const flow = await cluster.probe("b1").hold(other);
    const about = { source: "10.100.2.11", destination: other.address, port: other.port };
    await using arrived = await Tap.inTask(cluster, "b1", "icmp type destination-unreachable");
    await sendFrame(cluster, "a1", "0800", portUnreachable("10.100.1.11", about));
    assert.equal(await arrived.count(), 0);
    await sendFrame(cluster, "b2", "0800", portUnreachable(other.address, about));
    assert.equal(await arrived.count(), 1, "control: the flow's other end may");
    await flow.close();
  });

  test("a task of an internal network sends none about its host's flows", async () => {
    const client = { protocol: "udp", address: clientAddress, port: 80, localPort: 5555 } as const;
    const flow = await cluster.probe("h1").hold(client);
    const about = { source: hostAddress(1), destination: clientAddress, port: 80 };
    const { namespace } = cluster.host(1);
    await using arrived = await Tap.inHost(namespace, "icmp type destination-unreachable");
    await sendFrame(cluster, "i1", "0800", portUnreachable("10.100.3.11", about));
    assert.equal(await arrived.count(), 0);
    await sendFrame(cluster, "a1", "0800", portUnreachable("10.100.1.11", about));
    assert.equal(await arrived.count(), 1, "control: an open network's task may speak to its host");
    await flow.close();
  });

  test("a task gets no echo of another network's gateway", async () => {
    assert(!(await pings(cluster, "a1", gateways.back)));
    assert(!(await pings(cluster, "i1", gateways.front)));
    assert(!(await pings(cluster, "a1", "fd00:64:2::1")));
    assert(await pings(cluster, "a1", gateways.front));
    assert(await pings(cluster, "i1", hostAddress(1)));
  });

  test("no address of its host has a door for a task of an internal network, nor a gateway for one of an open", async () => {
    const { stdout } = await cluster.host(1).namespace.run("ip", ["-j", "addr", "show"]);
    const links = JSON.parse(stdout) as readonly {
      readonly addr_info: readonly { readonly local: string; readonly prefixlen: number }[];
    }[];
    const all = links.flatMap(({ addr_info }) => addr_info.map(({ local }) => local));
    const addresses = all.filter((address) => !/^fe80:|^127|^::1$/.test(address));
    assert(addresses.includes("169.254.64.1") && addresses.includes(gateway6));
    const open: string[] = [];
    for (const address of addresses) {
      const target = [address, hostServicePort] as const;
      assert.doesNotMatch(await cluster.probe("i1").ask("tcp", ...target), /^h1/, address);
      assert.doesNotMatch(await cluster.probe("i1").ask("udp", ...target), /^h1/, address);
      if ((await cluster.probe("a1").ask("tcp", ...target)).startsWith("h1")) open.push(address);
    }
    assert.deepEqual(open.toSorted(), ["169.254.64.1", hostAddress(1), hostAddress6(1)].toSorted());
  });

  test("forged VXLAN is dropped in pieces, too, and at every address of a host", async () => {
    const packet = { source: "10.100.1.11", destination: "10.100.1.12", port: 7777 };
    const plain = forgedVxlan({ ...packet, vni: 4096, mac: hostMac(2) });
    const sealed = forgedVxlan({ ...packet, vni: 4097, mac: hostMac(2).replace("00", "01") });
    const large = Buffer.concat([plain, Buffer.alloc(3000)]);
    await using arrived = await Tap.inTask(cluster, "a2", "udp dport 7777");
    const range = ["169.254.64.0/18", "via", hostAddress(2)];
    await cluster.lan.client.run("ip", ["route", "add", ...range]);
    for (const name of ["a1", "p1", "cl"]) {
      for (const address of [hostAddress(2), "169.254.64.2"]) {
        for (const bytes of [plain, sealed, large]) {
          await cluster.probe(name).datagram(address, 4789, bytes);
        }
      }
    }
    await cluster.lan.client.run("ip", ["route", "del", ...range]);
    assert.equal(await arrived.count(), 0);
  });

  test("a stranger's interface with a short name like a task's keeps its neighbours of IPv6", async () => {
    const { namespace } = cluster.host(1);
    await namespace.batch([
      "netns add stranger",
      "link add v-lan type veth peer name eth0 netns stranger",
      "link set v-lan addrgenmode none up",
      "addr add fe80::78/64 dev v-lan nodad",
      "netns exec stranger ip link set eth0 addrgenmode none up",
      "netns exec stranger ip addr add fe80::77/64 dev eth0 nodad",
    ]);
    try {
      await namespace.run("ping", ["-n", "-c1", "-W2", "fe80::77%v-lan"]);
    } finally {
      await namespace.batch(["netns del stranger"]);
    }
  });

  test("a task that replaces its own link stops the repair of nobody else's", async () => {
    await cluster.inTask("a1", "ip", "link", "del", "eth0");
    await cluster.inTask("a1", "ip", "link", "add", "eth0", "type", "veth", "peer", "eth9");
    const { namespace } = cluster.host(1);
    await namespace.batch(["route del 10.100.1.21"]);
    await cluster.host(1).call({ kind: "repair" });
    assert(await pings(cluster, "a1b", "10.100.1.12"));
    const { value } = await cluster.host(1).call({ kind: "status" });
    const [refusal = ""] = (value as NetworkStatus).refusals;
    assert.match(refusal, /Cannot mend the links of task "a10/);
  });
});

function arpRequest(source: string, target: string): Buffer {
  const bytes = Buffer.alloc(28);
  Buffer.from("0001080006040001024200000001", "hex").copy(bytes);
  bytes.writeUInt32BE(parseAddress(source), 14);
  bytes.writeUInt32BE(parseAddress(target), 24);
  return bytes;
}
