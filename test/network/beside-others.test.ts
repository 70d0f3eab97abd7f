/** 9: beside rules of others: what they break, how it is healed, what of theirs stays. The numbers are the prototype's. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { NetworkStatus } from "#agent/network/network-driver.ts";
import { pings } from "./claims.ts";
import { Cluster } from "./cluster.ts";
import { clientAddress, farAddress, hostAddress } from "./lan.ts";
import { gateways } from "./scene.ts";

const isRefusedOrLost = /^(timeout|E[A-Z]+)$/;

describe("network, beside others", { concurrency: false }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.open();
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  const everywhere = (command: string, args: readonly string[], input = "") =>
    Promise.all(cluster.lan.hosts.map(({ namespace }) => namespace.run(command, args, { input })));
  const mesh = () => cluster.probe("far").ask("tcp", hostAddress(1), 9092);
  const overlay = () => cluster.probe("a1").ask("tcp", "10.100.1.12", 80);
  const repair = () => Promise.all(cluster.lan.hosts.map((host) => host.call({ kind: "repair" })));
  const isHealed = async () => {
    assert.equal(await mesh(), `c2 ${farAddress}`);
    assert.equal(await overlay(), "a2 10.100.1.11");
    assert.equal(await cluster.probe("a1").ask("tcp", clientAddress, 80), `cl ${hostAddress(1)}`);
    assert(!(await pings(cluster, "a1", "10.100.2.11")), "networks are apart all the same");
  };
  const name = () =>
    cluster.probe("a1").resolve({ protocol: "udp", server: gateways.front, name: "a2", type: "A" });

  test("9.1 a FORWARD policy DROP stops it, and the host says how that is healed", async () => {
    await everywhere("iptables-nft", ["-P", "FORWARD", "DROP"]);
    assert.match(await mesh(), isRefusedOrLost);
    assert.match(await overlay(), isRefusedOrLost);
    await repair();
    const { value } = await cluster.host(1).call({ kind: "status" });
    const [obstacle = "", ...more] = (value as NetworkStatus).obstacles;
    assert.deepEqual(more, []);
    const commands = obstacle.slice(obstacle.indexOf("iptables ")).split("; ");
    assert.equal(commands.length, 4, obstacle);
    for (const command of commands) {
      const [, ...args] = command.split(" ");
      await everywhere("iptables-nft", args);
    }
    await isHealed();
    await everywhere("nft", ["delete", "table", "ip", "filter"]);
    assert.equal(await mesh(), `c2 ${farAddress}`);
  });

  test("9.2, 9.3 in Docker's chain for others a repair lets it pass, after the user's own rules", async () => {
    const iptables = (...args: string[]) => everywhere("iptables-nft", args);
    await iptables("-P", "FORWARD", "DROP");
    await iptables("-N", "DOCKER-USER");
    await iptables("-A", "DOCKER-USER", "-j", "RETURN");
    await iptables("-I", "FORWARD", "-j", "DOCKER-USER");
    await iptables("-I", "DOCKER-USER", "-s", "198.51.100.0/24", "-j", "DROP");
    assert.match(await mesh(), isRefusedOrLost, "control: without a repair it is stopped");
    await repair();
    await isHealed();
    const { namespace } = cluster.host(1);
    const rules = async () => (await namespace.run("iptables-nft", ["-S", "DOCKER-USER"])).stdout;
    const once = await rules();
    assert.match(once, /^-N DOCKER-USER\n-A DOCKER-USER -s 198\.51\.100\.0\/24 -j DROP\n/);
    assert.match(once, /-A DOCKER-USER -j RETURN\n$/);
    await repair();
    assert.equal(await rules(), once);
    await everywhere("nft", ["delete", "table", "ip", "filter"]);
  });

  test("9.4, 9.5 rules of firewalld's shape stop it, trusted links and open data ports heal it", async () => {
    const rules = `\
table inet firewalld_like {
  chain forw {
    type filter hook forward priority filter + 10
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    reject with icmpx admin-prohibited
  }
  chain inp {
    type filter hook input priority filter + 10
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    tcp dport 22 accept
    reject with icmpx admin-prohibited
  }
}
`;
    const trust = `\
insert rule inet firewalld_like forw iifname { "swv-*", "sw-*" } accept
insert rule inet firewalld_like forw oifname { "swv-*", "sw-*" } accept
insert rule inet firewalld_like inp iifname { "swv-*", "sw-*" } accept
insert rule inet firewalld_like inp udp dport { 4789, 51820 } accept
`;
    await everywhere("nft", ["-f", "-"], rules);
    assert.match(await mesh(), isRefusedOrLost);
    assert.match(await name(), isRefusedOrLost);
    await everywhere("nft", ["-f", "-"], trust);
    assert.equal(await mesh(), `c2 ${farAddress}`);
    assert.equal(await name(), "10.100.1.12");
    await everywhere("nft", ["delete", "table", "inet", "firewalld_like"]);
  });

  test("9.6, 9.7 the host's own policy routing and the marks of others go on as before", async () => {
    const { namespace } = cluster.host(1);
    const way = async (...args: string[]) =>
      (await namespace.run("ip", ["route", "get", farAddress, ...args])).stdout;
    // Tailscale's and Kubernetes' marks.
    for (const mark of ["0x80000", "0x4000"]) assert.match(await way("mark", mark), /dev eth0/);
    await namespace.batch([
      "rule add pref 500 from all lookup 55",
      `route add default via ${hostAddress(3)} table 55`,
      "rule add pref 499 to 172.31.99.0/24 lookup main",
    ]);
    assert.match(await way(), new RegExp(`via ${hostAddress(3)}`));
    await namespace.batch(["rule del pref 500", "rule del pref 499"]);
    assert.match(await way(), /via 172\.31\.99\.254/);
  });
});
