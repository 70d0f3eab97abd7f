/** 7: what an encrypted network sends is never in clear on the LAN. The numbers are those of the prototype's checks. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import type { Namespace } from "#agent/network/testing/namespace.ts";
import { Cluster } from "./cluster.ts";
import { farAddress, hostAddress } from "./lan.ts";
import { Tap } from "./tap.ts";

const linkRange = "169.254.64.0/18";

/** VXLAN with the network identifier of encrypted networks. */
const encryptedVxlan = "udp dport 4789 @th,96,24 4097";

const anyVxlan = "udp dport 4789";

const protocols = ["tcp", "udp"] as const;

describe("network, encryption", { concurrency: false }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await Cluster.open();
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  test("7.1 tasks of an encrypted network reach each other across hosts", async () => {
    const e1 = cluster.probe("e1");
    for (const protocol of protocols) {
      assert.equal(await e1.ask(protocol, "10.100.4.12", 80), "e2 10.100.4.11");
      assert.equal(await e1.ask(protocol, "fd00:64:4::12", 80), "e2 fd00:64:4::11");
    }
  });

  test("7.2 a published port into the encrypted network keeps the client's address", async () => {
    await using there = await Tap.onLan(cluster, "h1", anyVxlan);
    const far = cluster.probe("far");
    assert.equal(await far.ask("tcp", hostAddress(1), 9095), `e2 ${farAddress}`);
    assert.equal(await far.ask("udp", hostAddress(1), 9095), `e2 ${farAddress}`);
    assert.equal(await far.ask("udp", hostAddress(3), 9095), `e2 ${farAddress}`);
    assert.equal(await there.count(), 0, "all of it is encrypted between hosts");
    assert.equal(await far.ask("udp", hostAddress(1), 9092), `c2 ${farAddress}`);
    assert.equal(await there.count(), 1, "control: into a plain network it is not");
  });

  test("7.3, 7.4 a text sent is nowhere on the LAN, nor is the network's VXLAN", async () => {
    await using vxlan = await Tap.onLan(cluster, "h1", encryptedVxlan);
    await using capture = await Capture.start(cluster.lan.router, "h1");
    const pour = (task: string, address: string, text: string) =>
      cluster.probe(task).pour({ protocol: "tcp", address, port: 80 }, text, 20);
    await pour("e1", "10.100.4.12", "SeCrEtEnCrYpTeD");
    await pour("e1", "fd00:64:4::12", "SeCrEtEnCrYpTeD");
    await pour("a1", "10.100.1.12", "SeCrEtPlAiN");
    // The control: what is seen of the plain network came later than all of the encrypted one.
    const bytes = await capture.until("SeCrEtPlAiN");
    assert(!bytes.includes("SeCrEtEnCrYpTeD"));
    assert.equal(await vxlan.count(), 0);
  });

  test("7.5 a wrong route onto the plain device leads nowhere", async () => {
    await using plain = await Tap.onLan(cluster, "h1", "udp dport 4789 @th,96,24 4096");
    const e1 = cluster.probe("e1");
    await cluster
      .host(1)
      .namespace.batch([
        `route replace 10.100.4.12/32 via ${hostAddress(2)} dev sw-vx0 onlink`,
        "route replace fd00:64:4::12/128 via fe80::6e:2 dev sw-vx0",
      ]);
    const answers = [e1.ask("tcp", "10.100.4.12", 80), e1.ask("tcp", "fd00:64:4::12", 80)];
    for (const answer of await Promise.all(answers)) assert.match(answer, /^(timeout|E\w+)$/);
    assert.equal(await plain.count(), 0);
    await cluster.host(1).call({ kind: "repair" });
    assert.equal(await e1.ask("tcp", "10.100.4.12", 80), "e2 10.100.4.11");
    assert.equal(await e1.ask("tcp", "fd00:64:4::12", 80), "e2 fd00:64:4::11");
  });

  test("7.6, 7.7, 7.8 without WireGuard's route all fails closed, nothing is on the LAN, repair heals it", async () => {
    const matches = [encryptedVxlan, `ip daddr ${linkRange}`];
    await using inClear = await Tap.onLan(cluster, "h1", ...matches);
    const { namespace } = cluster.host(1);
    await namespace.run("ip", ["route", "flush", "root", linkRange]);
    assert.match(await cluster.probe("e1").ask("tcp", "10.100.4.12", 80), /^(timeout|E\w+)$/);
    assert.equal(await inClear.count(), 0);
    await cluster.host(1).call({ kind: "repair" });
    assert.equal(await cluster.probe("e1").ask("tcp", "10.100.4.12", 80), "e2 10.100.4.11");
  });
});

/** Everything that passes a cable, as tcpdump writes it. */
class Capture {
  readonly #namespace: Namespace;
  readonly #stop: () => Promise<void>;

  static async start(namespace: Namespace, device: string): Promise<Capture> {
    const script = `exec tcpdump -i ${device} -U --immediate-mode -s0 -w ${file} 2>&1`;
    const child = namespace.start("sh", ["-c", script], "pipe");
    assert(child.stdout !== null);
    const signal = AbortSignal.timeout(10_000);
    // It says "listening on", and listens.
    await once(child.stdout, "data", { signal });
    child.stdout.resume();
    return new Capture(namespace, async () => {
      const closed = once(child, "close");
      child.kill("SIGKILL");
      await closed;
    });
  }

  /** For `start`. */
  constructor(namespace: Namespace, stop: () => Promise<void>) {
    this.#namespace = namespace;
    this.#stop = stop;
  }

  /** What was written when this text was in it. */
  async until(text: string): Promise<string> {
    const signal = AbortSignal.timeout(10_000);
    while (!signal.aborted) {
      const { stdout } = await this.#namespace.run("cat", [file]);
      if (stdout.includes(text)) return stdout;
    }
    return assert.fail(`${text} was not seen`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
  }
}

/** On the namespace's own tmpfs. */
const file = "/run/capture.pcap";
