/**
 * What the checks of the other files cannot see, with the fast path on and off: which packets take it, and that those
 * which must not go another way. That all of those files' checks pass with it, too, is fast-path.slow.test.ts.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { useFastPath } from "#agent/network/fastpath/testing/compile.ts";
import { isRefused } from "./claims.ts";
import { Cluster } from "./cluster.ts";
import type { Protocol } from "./probe.ts";
import { sendRaw } from "./raw-packet.ts";
import { vip } from "./scene.ts";
import { Tap } from "./tap.ts";

const protocols: readonly Protocol[] = ["tcp", "udp"];

/** Of service `two`, which leads to c2 on host 2 alone. */
const twoVip = "10.100.1.202";
const c2 = "10.100.1.32";

/** On host 1, where all questions here come from. */
const a1 = "10.100.1.11";
const a1b = "10.100.1.21";

/** Who answered whom, from which port: without the count of bytes. */
function asked(answer: string): string {
  return answer.split(" ").slice(0, 3).join(" ");
}

for (const on of [false, true]) {
  describe(`network, fast path ${on ? "on" : "off"}`, { concurrency: false }, () => {
    const stack = new AsyncDisposableStack();
    let cluster: Cluster;
    before(async () => {
      if (on) stack.use(await useFastPath());
      cluster = stack.use(await Cluster.open());
      // Places of new tasks enter with the next news.
      await cluster.apply();
    });
    after(() => stack.disposeAsync());

    /** How many flows conntrack has on a host, between two addresses. */
    const known = async (host: number, source: string, destination: string) => {
      const args = ["-L", "-s", source, "-d", destination];
      const { stdout } = await cluster.host(host).namespace.run("conntrack", args);
      return stdout.trim() === "" ? 0 : stdout.trim().split("\n").length;
    };

    test("direct flows are the fast path's, those through a service conntrack's", async () => {
      for (const protocol of protocols) {
        assert.equal(await cluster.probe("a1").ask(protocol, a1b, 80), `a1b ${a1}`);
        assert.equal(await cluster.probe("a1").ask(protocol, c2, 80), `c2 ${a1}`);
        assert.equal(await cluster.probe("a1").ask(protocol, twoVip, 80), `c2 ${a1}`);
      }
      const direct = on ? 0 : protocols.length;
      assert.equal(await known(1, a1, a1b), direct);
      assert.equal(await known(1, a1, c2), direct);
      assert.equal(await known(1, a1, twoVip), protocols.length);
      // The backend's host need not know: the client's translates.
      assert.equal(await known(2, a1, c2), on ? 0 : 2 * protocols.length);
    });

    test("each host on the way takes one off the TTL, and the checksum is right", async () => {
      const port = 7171;
      for (const [task, destination, ttl] of [
        ["a1b", a1b, 63],
        ["c2", c2, 62],
      ] as const) {
        await using arrived = await Tap.inTask(cluster, task, `udp dport ${port} ip ttl ${ttl}`);
        await sendRaw(cluster, "a1", { source: a1, destination, port });
        assert.equal(await arrived.count(), 1);
        // A wrong checksum would end it behind the tap.
        assert.equal(await cluster.probe("a1").ask("udp", destination, 80), `${task} ${a1}`);
      }
    });

    test("a path's hosts are found by packets that may go no further", async () => {
      const trace = ["traceroute", "-n", "-q", "1", "-w", "2", "-m", "4", c2];
      const { stdout } = await cluster.inTask("a1", "busybox", ...trace);
      const hops = stdout.trim().split("\n").slice(1);
      assert.equal(hops.length, 3, stdout);
      for (const [index, hop] of ["172.31.99.1", "172.31.99.2", c2].entries()) {
        assert(hops[index]?.includes(` ${hop} `), stdout);
      }
    });

    test("closed ports refuse at once", async () => {
      for (const protocol of protocols) {
        for (const address of [a1b, c2]) {
          await isRefused(cluster.probe("a1"), { protocol, address, port: 9 });
        }
      }
    });

    test("datagrams larger than the link arrive, and smaller ones of their flow", async () => {
      for (const address of [a1b, c2]) {
        const target = { protocol: "udp", address, port: 80 } as const;
        const flow = await cluster.probe("a1").hold(target);
        for (const bytes of [1, 8_000, 1, 1_422, 1_423]) {
          assert.match(await flow.exchange(bytes), new RegExp(` ${bytes}$`));
        }
        await flow.close();
      }
    });

    test("other networks refuse, and spoofed sources go nowhere", async () => {
      for (const address of ["10.100.2.11", "10.100.2.12"]) {
        for (const protocol of protocols) {
          await isRefused(cluster.probe("a1"), { protocol, address, port: 80 });
        }
      }
      const port = 7172;
      for (const [task, destination] of [
        ["a1b", a1b],
        ["c2", c2],
      ] as const) {
        await using arrived = await Tap.inTask(cluster, task, `udp dport ${port}`);
        // Nobody's, one of this host, one of the destination's host.
        for (const source of ["10.100.1.77", "10.100.1.31", "10.100.1.12"]) {
          await sendRaw(cluster, "a1", { source, destination, port });
        }
        assert.equal(await arrived.count(), 0);
        await sendRaw(cluster, "a1", { source: a1, destination, port });
        assert.equal(await arrived.count(), 1, "control: its own source arrives");
      }
    });

    test("one port of a client, through a service and then directly, to one port of a backend", async () => {
      for (const protocol of protocols) {
        const localPort = 41_000;
        const through = { protocol, address: twoVip, port: 80, localPort };
        const one = await cluster.probe("a1").hold(through);
        assert.equal(asked(one.first), `c2 ${a1} ${localPort}`);
        const two = await cluster.probe("a1").hold({ ...through, address: c2 });
        // Two flows to the backend: the second has been given another port.
        assert.match(two.first, new RegExp(`^c2 ${a1} `));
        assert.notEqual(asked(two.first), asked(one.first));
        for (const flow of [one, two, one, two]) {
          assert.equal(asked(await flow.exchange()), asked(flow.first));
        }
        await one.close();
        assert.match(await two.exchange(), new RegExp(`^c2 ${a1} `));
        await two.close();
      }
    });

    test("a flow through a service lives while its backend's host sees it as a direct one", async () => {
      const backends = await cluster
        .probe("a1")
        .askMany({ protocol: "tcp", address: vip, port: 80 }, 20);
      assert.deepEqual(backends, [`a2 ${a1}`, `a3 ${a1}`, "a1 10.100.1.1"].toSorted());
    });

    test("a task that moves is met where it is, by flows that begin then", async () => {
      await cluster.probe("a1").ask("tcp", c2, 80);
      for (const host of [1, 3, 2]) {
        await cluster.move("c2", host);
        assert.equal(await cluster.probe("a1").ask("tcp", c2, 80), `c2 ${a1}`);
        assert.equal(await cluster.probe("a3").ask("udp", c2, 80), "c2 10.100.1.13");
        assert.equal(await cluster.probe("c2").ask("tcp", a1b, 80), `a1b ${c2}`);
      }
    });
  });
}
