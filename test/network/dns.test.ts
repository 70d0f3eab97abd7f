/** 6: DNS on the gateways' addresses knows who asks. The numbers are those of the prototype's checks. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Cluster, taskId } from "./cluster.ts";
import type { Protocol } from "./probe.ts";
import { gateway6, gateways, type NetworkName } from "./scene.ts";

const protocols = [
  ["6.1", "udp"],
  ["6.2", "tcp"],
] as const;

describe("network, DNS addresses", { concurrency: false }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.open();
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  const ask = (task: string, network: NetworkName, name: string, protocol: Protocol = "udp") =>
    cluster.probe(task).resolve({ protocol, server: gateways[network], name, type: "A" });

  for (const [number, protocol] of protocols) {
    test(`${number} every task's gateway answers over ${protocol} what the task's network holds`, async () => {
      const asked: readonly (readonly [task: string, network: NetworkName, stranger: string])[] = [
        ["a1", "front", "b1"],
        ["a1b", "front", "i1"],
        ["b1", "back", "a1"],
        ["i1", "inner", "a1"],
        ["a2", "front", "u1"],
        ["u1", "own", "a1"],
      ];
      for (const [task, network, stranger] of asked) {
        const own = cluster.task(task).places[0]?.address ?? "";
        assert.equal(await ask(task, network, task, protocol), own);
        const name = `${own.split(".").toReversed().join(".")}.in-addr.arpa`;
        const server = gateways[network];
        const pointer = await cluster.probe(task).resolve({ protocol, server, name, type: "PTR" });
        assert.equal(pointer, `${task}.${network}`);
        assert.equal(await ask(task, network, stranger, protocol), "NXDOMAIN");
      }
    });
  }

  test("6.3, 6.4 both resolvers of a task on two networks answer it for both, others for their own", async () => {
    for (const network of ["front", "back"] as const) {
      assert.equal(await ask("m2", network, "a1"), "10.100.1.11");
      assert.equal(await ask("m2", network, "b1"), "10.100.2.11");
    }
    assert.equal(await ask("a1", "front", "b1"), "NXDOMAIN");
    assert.equal(await ask("b1", "back", "a1"), "NXDOMAIN");
  });

  test("6.5 the C library resolves by a file with a nameserver line", async () => {
    const { namespace } = cluster.hostOf("a1");
    await namespace.run("tee", ["/run/a1.conf"], { input: `nameserver ${gateways.front}\n` });
    const script = "mount --bind /run/a1.conf /etc/resolv.conf && exec getent ahostsv4 a2";
    const inside = [`--net=/run/netns/${taskId("a1")}`, "unshare", "--mount", "sh", "-c", script];
    const { stdout } = await namespace.run("nsenter", inside);
    assert.equal(stdout.split(" ", 1)[0], "10.100.1.12");
  });

  test("6.6 a host has one socket of each kind per gateway address", async () => {
    const host = cluster.host(1);
    const { stdout } = await host.namespace.run("ss", ["-Hlntu", "sport = :53"]);
    const sockets = stdout
      .trim()
      .split("\n")
      .map((line) => line.split(/\s+/))
      .map(([kind, , , , local]) => `${kind} ${local}`);
    const loopback = await host.namespace.run("ip", ["-j", "addr", "show", "dev", "lo"]);
    const [{ addr_info: standing = [] } = {}] = JSON.parse(loopback.stdout) as readonly {
      readonly addr_info?: readonly { readonly local: string }[];
    }[];
    const addresses = standing
      .map(({ local }) => local)
      .filter((address) => address !== "127.0.0.1" && address !== "::1");
    const front = [gateways.front, gateway6];
    assert(
      front.every((address) => addresses.includes(address)),
      addresses.join(" "),
    );
    const wanted = addresses.map((address) => (address.includes(":") ? `[${address}]` : address));
    assert.deepEqual(
      sockets.toSorted(),
      wanted.flatMap((address) => [`tcp ${address}:53`, `udp ${address}:53`]).toSorted(),
    );
  });
});
