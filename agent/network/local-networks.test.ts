/** What a host does by itself, in real kernels: its bridge, ports of its own, links that strangers break, rules of others. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  IpamConfigSchema,
  IpFamily,
  NetworkAttachmentSchema,
  PortConfigSchema,
  PortProtocol,
  PublishMode,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { localNetwork, type LocalNetworkName } from "#proto/main-network.ts";
import type { NetworkStatus, TaskNamespace } from "./network-driver.ts";
import { Ground, type Host, network, outside } from "./testing/ground.ts";

const local = (name: LocalNetworkName) =>
  create(NetworkAttachmentSchema, { network: localNetwork(name) });

const id = (name: string) => name.padEnd(25, "0");

const port = create(PortConfigSchema, {
  protocol: PortProtocol.TCP,
  targetPort: 80,
  publishedPort: 8080,
  publishMode: PublishMode.HOST,
});

describe("NetworkDriver by itself", { concurrency: false }, () => {
  let ground: Ground;
  let host: Host;
  let neighbour: Host;

  const apply = async () => {
    for (const each of ground.hosts) {
      await each.call({ kind: "apply", state: ground.state(each, [], []) });
    }
  };
  const attach = async (name: string, on: LocalNetworkName, hostPorts = [port].slice(1)) => {
    const tasks = [{ id: id(name), attachments: [local(on)], hostPorts }];
    const [namespace] = (await host.call({ kind: "attach", tasks })).value as TaskNamespace[];
    assert(namespace !== undefined);
    return namespace;
  };
  const ask = async (task: string, ...target: string[]) =>
    (await host.inTask(id(task), "busybox", ["nc", "-w", "3", ...target])).stdout.trim();
  const askFrom = async (from: Host, ...target: string[]) =>
    (await from.namespace.run("busybox", ["nc", "-w", "3", ...target])).stdout.trim();
  const serve = (task: string): ChildProcess =>
    host.startInTask(id(task), "busybox", ["nc", "-ll", "-p", "80", "-e", "echo", task]);
  const status = async () => (await host.call({ kind: "status" })).value as NetworkStatus;

  before(async () => {
    ground = await Ground.open(2);
    const [first, second] = ground.hosts;
    assert(first !== undefined && second !== undefined);
    host = first;
    neighbour = second;
    await apply();
  });
  after(async () => {
    await ground?.[Symbol.asyncDispose]();
  });

  test("tasks on the bridge reach each other, the outside as their host, and names", async () => {
    const web = await attach("web", "bridge", [port]);
    const client = await attach("client", "bridge");
    assert.match(web.addresses.join(), /^172\.17\.\d+\.\d+$/);
    assert.equal(client.nameserver, "172.17.0.1");
    serve("web");
    await listening("web");
    assert.equal(await ask("client", web.addresses.join(), "80"), "web");
    assert.equal(await ask("client", outside, "80"), host.address);
    const { stdout } = await host.inTask(id("client"), "dig", [
      "+short",
      "@172.17.0.1",
      "outside.test",
    ]);
    assert.equal(stdout.trim(), "192.0.2.7");
    // Full width: nothing is wrapped around packets of the bridge.
    const link = await host.inTask(id("client"), "ip", ["link", "show", "eth0"]);
    assert.match(link.stdout, /mtu 1500/);
    assert.deepEqual(await attach("web", "bridge", [port]), web);
  });

  test("a port of mode host answers on this host alone, from everywhere, also after a restart", async () => {
    const answers = async () => {
      assert.equal(await askFrom(neighbour, host.address, "8080"), "web");
      assert.equal(await askFrom(host, host.address, "8080"), "web");
      assert.equal(await askFrom(host, "127.0.0.1", "8080"), "web");
      assert.equal(await ask("client", host.address, "8080"), "web");
    };
    await answers();
    await assert.rejects(askFrom(host, neighbour.address, "8080"), /refused/);
    await host.killAgent();
    await host.startAgent();
    await host.call({ kind: "apply", state: ground.state(host, [], []) });
    await answers();
  });

  test("the host's network has no namespace, and none has a loopback alone", async () => {
    assert.deepEqual(await attach("bare", "host"), { path: undefined, addresses: [] });
    const lonely = await attach("lonely", "none");
    assert.deepEqual(lonely.addresses, []);
    assert.equal(lonely.nameserver, undefined);
    const { stdout } = await host.inTask(id("lonely"), "ip", ["-br", "link"]);
    assert.match(stdout, /^lo\s+UNKNOWN\s.*\n$/);
    const both = [{ id: id("odd"), attachments: [local("host"), local("bridge")] }];
    const answer = await host.tryCall({ kind: "attach", tasks: both });
    assert.equal(answer.kind === "failed" ? answer.code : "done", "invalid-argument");
  });

  test("a repair mends tasks' links, also of an agent's earlier life, and says what it found", async () => {
    await host.call({ kind: "repair" });
    const { repairs } = await status();
    const links = (await host.namespace.run("ip", ["-br", "link"])).stdout;
    const [veth] = /swv-web\w+/.exec(links) ?? [];
    assert(veth !== undefined);
    await host.namespace.run("ip", ["link", "del", veth]);
    await host.namespace.run("ip", ["rule", "del", "pref", "110"]);
    await host.namespace.run("nft", ["flush", "chain", "inet", "swarm", "nat_post"]);
    await host.call({ kind: "repair" });
    const mended = await status();
    assert.equal(mended.repairs, repairs + 1);
    assert(mended.drift.some((line) => line.includes(id("web"))));
    assert(mended.drift.some((line) => line.startsWith("rule add pref 110 fwmark")));
    assert.equal(await askFrom(neighbour, host.address, "8080"), "web");
    await host.call({ kind: "repair" });
    assert.equal((await status()).repairs, mended.repairs);
  });

  test("links follow the width of the interface that has the data-path address", async () => {
    const widthOf = async (device: string) =>
      /mtu (\d+)/.exec((await host.namespace.run("ip", ["link", "show", device])).stdout)?.[1];
    const inside = async () =>
      /mtu (\d+)/.exec((await host.inTask(id("web"), "ip", ["link", "show", "eth0"])).stdout)?.[1];
    const setWidth = async (mtu: number) => {
      await host.namespace.run("ip", ["link", "set", "eth0", "mtu", String(mtu)]);
      await host.call({ kind: "repair" });
      return [await widthOf("sw-vx0"), await inside()];
    };
    // Another interface's is none of ours.
    await host.namespace.batch(["link add other0 type bridge", "link set other0 mtu 1300 up"]);
    assert.deepEqual(await setWidth(1400), ["1350", "1400"]);
    assert.deepEqual(await setWidth(1500), ["1450", "1500"]);
    assert.equal(await askFrom(neighbour, host.address, "8080"), "web");
  });

  test("a host whose IPv6 is switched off carries IPv4 all the same", async () => {
    const dual = network("dual", "10.77.8.0/24");
    dual.ipam?.configs.push(
      create(IpamConfigSchema, {
        family: IpFamily.IPV6,
        subnet: "fd00:77::/64",
        gateway: "fd00:77::1",
      }),
    );
    const state = ground.state(neighbour, [dual], []);
    const addresses = ["10.77.8.9/24", "fd00:77::9/64"];
    const attachments = [create(NetworkAttachmentSchema, { network: dual, addresses })];
    const attached = async (name: string) => {
      const tasks = [{ id: id(name), attachments }];
      const [task] = (await neighbour.call({ kind: "attach", tasks })).value as TaskNamespace[];
      await neighbour.call({ kind: "detach", taskIds: [id(name)] });
      return task?.addresses;
    };
    await neighbour.call({ kind: "apply", state });
    assert.deepEqual(await attached("six"), ["10.77.8.9", "fd00:77::9"]);
    await neighbour.namespace.run("sysctl", ["-qw", "net.ipv6.conf.all.disable_ipv6=1"]);
    await neighbour.call({ kind: "repair" });
    assert.deepEqual(await attached("four"), ["10.77.8.9"]);
  });

  test("a bridge makes way for a network of the cluster, and takes no place of the host's", async () => {
    await host.namespace.run("ip", ["link", "add", "docker0", "type", "bridge"]);
    await host.namespace.batch(["addr add 172.18.0.1/16 dev docker0", "link set docker0 up"]);
    await host.call({ kind: "detach", taskIds: ["web", "client", "lonely"].map(id) });
    const taken = network("taken", "172.17.0.0/16");
    await host.call({ kind: "apply", state: ground.state(host, [taken], []) });
    await host.call({ kind: "repair" });
    const { addresses } = await attach("later", "bridge");
    assert.match(addresses.join(), /^172\.19\./);
    await host.call({ kind: "detach", taskIds: [id("later")] });
  });

  test("packets pass Docker's default-drop policy once its chain for others lets them", async () => {
    const iptables = (...args: string[]) => host.namespace.run("iptables", args);
    await iptables("-P", "FORWARD", "DROP");
    await host.call({ kind: "repair" });
    assert.match((await status()).obstacles.join(), /FORWARD .*iptables -I FORWARD/);
    await attach("client", "bridge");
    await assert.rejects(ask("client", outside, "80"));
    await iptables("-N", "DOCKER-USER");
    await iptables("-A", "DOCKER-USER", "-j", "RETURN");
    await iptables("-I", "FORWARD", "-j", "DOCKER-USER");
    await host.call({ kind: "repair" });
    assert.deepEqual((await status()).obstacles, []);
    assert.equal(await ask("client", outside, "80"), host.address);
    await host.call({ kind: "cleanup" });
    const { stdout } = await iptables("-S", "DOCKER-USER");
    assert.equal(stdout, "-N DOCKER-USER\n-A DOCKER-USER -j RETURN\n");
  });

  /** The kernel tells when somebody listens: no packet is sent for it. */
  async function listening(task: string): Promise<void> {
    const signal = AbortSignal.timeout(5_000);
    while (!signal.aborted) {
      const { stdout } = await host.inTask(id(task), "ss", ["-Htln", "sport = :80"]);
      if (stdout !== "") return;
    }
    assert.fail(`nobody listens in ${task}`);
  }
});
