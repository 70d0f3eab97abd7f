/** A key is renewed while flows go on: two hosts with the real link, and this test in the place of the managers. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type EncryptedHost, EncryptedHosts } from "./testing/encrypted-hosts.ts";

const dayMs = 24 * 3_600_000;

/** How long news is on its way from host to host. */
const newsMs = 50;

describe("renewing a host's key", { concurrency: false }, () => {
  let hosts: EncryptedHosts;
  let first: EncryptedHost;
  let second: EncryptedHost;

  before(async () => {
    hosts = await EncryptedHosts.open(2);
    const [one, two] = hosts.all;
    assert(one !== undefined && two !== undefined);
    [first, second] = [one, two];
    await hosts.apply();
  });
  after(async () => {
    await hosts?.[Symbol.asyncDispose]();
  });

  /** Has a host renew its key; resolves with what it announced, when the peer has heard of it. */
  const rotate = async (host: EncryptedHost, peer: EncryptedHost, rotations: number) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const announced: string[] = [];
    host.onAnnounced = (key) => {
      announced.push(key);
      void hear(key).catch(reject);
    };
    const hear = async (key: string) => {
      await host.call({ kind: "news", news: { announced: key, periodMs: dayMs, rotations } });
      await pause(newsMs);
      host.key = key;
      await peer.call({ kind: "apply", state: hosts.state(peer) });
      if (announced.length === 2) resolve();
    };
    await host.call({ kind: "news", news: { announced: host.key, periodMs: dayMs, rotations } });
    await promise;
    return announced;
  };

  for (const [sender, receiver] of [
    ["the host that renews", "its peer"],
    ["its peer", "the host that renews"],
  ] as const) {
    test(`pings from ${sender} to ${receiver} miss no more than the news takes`, async () => {
      const before = first.key;
      const [from, to] = sender === "its peer" ? [second, first] : [first, second];
      const pings = from.namespace.run("ping", ["-c80", "-i0.1", to.innerAddress], {
        timeoutMs: 20_000,
      });
      const [both = "", alone = ""] = await rotate(first, second, sender === "its peer" ? 2 : 1);
      assert.equal(both, `${before} ${alone}`);
      const received = Number(/(\d+) received/.exec((await pings).stdout)?.[1]);
      assert(received >= 80 - 5, `${received} of 80`);
      const [, peer = []] = await second.dump();
      assert.equal(peer[0], alone);
      assert.equal(peer[3], `${first.innerAddress}/32`);
    });
  }

  test("a connection lives through it, with every byte in its place", async () => {
    const lines = Array.from({ length: 60 }, (_, index) => `${index}`);
    const listen = ["-u", "TCP-LISTEN:7000,reuseaddr", "STDOUT"];
    const received = second.namespace.run("socat", listen, { timeoutMs: 20_000 });
    const script = `for i in ${lines.join(" ")}; do echo $i; sleep 0.1; done`;
    const target = `TCP:${second.innerAddress}:7000,retry=50,interval=0.1`;
    const sent = first.namespace.run("sh", ["-c", `(${script}) | socat -u STDIN ${target}`], {
      timeoutMs: 20_000,
    });
    await rotate(first, second, 3);
    await sent;
    assert.deepEqual((await received).stdout.trim().split("\n"), lines);
  });
});
