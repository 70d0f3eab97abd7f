/** The encrypted link in real kernels: two hosts and their LAN in namespaces, with wireguard-go where there is no module. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { type EncryptedHost, EncryptedHosts } from "./testing/encrypted-hosts.ts";

describe("WireGuard on two hosts", { concurrency: false }, () => {
  let hosts: EncryptedHosts;
  const host = (number: number): EncryptedHost => {
    const found = hosts.all[number - 1];
    assert(found !== undefined);
    return found;
  };
  const reach = (from: EncryptedHost, to: EncryptedHost, size = 56) =>
    from.namespace.run("ping", ["-c1", "-W2", "-Mdo", `-s${size}`, to.innerAddress]);
  const repaired = async () => {
    await host(1).call({ kind: "repair" });
    await reach(host(1), host(2));
  };

  before(async () => {
    hosts = await EncryptedHosts.open(2);
  });
  after(async () => {
    await hosts?.[Symbol.asyncDispose]();
  });

  test("nothing is touched where no encrypted network is", async () => {
    const first = await host(1).call({ kind: "apply", state: hosts.state(host(1), false) });
    assert(
      first.programs.every(
        (program) => program.startsWith("ip -j") || program.startsWith("ip -4 -j"),
      ),
    );
    const again = await host(1).call({ kind: "apply", state: hosts.state(host(1), false) });
    assert.deepEqual(again.programs, []);
  });

  test("hosts reach each other, up to the MTU", async () => {
    await hosts.apply();
    await reach(host(1), host(2));
    const headers = 28;
    await reach(host(2), host(1), 1440 - headers);
    await assert.rejects(reach(host(2), host(1), 1441 - headers));
  });

  test("what is as wanted is not touched", async () => {
    const { programs } = await host(1).call({ kind: "apply", state: hosts.state(host(1)) });
    assert.deepEqual(programs, []);
    const repair = await host(1).call({ kind: "repair" });
    assert.deepEqual(
      repair.programs.filter((program) => !/ show( |$)/.test(program)),
      [],
    );
  });

  test("no private key is in an argument, and none is left on the tmpfs", async () => {
    const { programs } = await host(1).call({
      kind: "apply",
      state: hosts.state(host(1), false),
    });
    assert(programs.includes("ip link del sw-wg0"));
    const made = await host(1).call({ kind: "apply", state: hosts.state(host(1)) });
    const keys = new Set(hosts.all.map(({ key }) => key));
    const set = made.programs.filter((program) => program.startsWith("wg set"));
    assert.equal(set.length, 1);
    assert.match(set[0] ?? "", / private-key \/run\/swarm\/encryption\/private-key /);
    for (const [word] of (set[0] ?? "").matchAll(/[A-Za-z0-9+/]{43}=/g)) assert(keys.has(word));
    const folder = `/proc/${host(1).namespace.pid}/root/run/swarm/encryption`;
    assert.deepEqual(readdirSync(folder), []);
    await reach(host(1), host(2));
  });

  test("without the link nothing goes over the LAN", async () => {
    const { namespace } = host(1);
    const routed = await namespace.run("ip", ["route", "get", host(2).innerAddress]);
    assert.match(routed.stdout, /dev sw-wg0/);
    await namespace.batch(["route add default dev eth0", "route del 169.254.64.0/18 dev sw-wg0"]);
    await assert.rejects(
      namespace.run("ip", ["route", "get", host(2).innerAddress]),
      /No route to host/,
    );
    await repaired();
  });

  test("repair brings back what strangers took: address, peers, the closed route", async () => {
    const { namespace } = host(1);
    await namespace.batch([
      `addr del ${host(1).innerAddress}/32 dev sw-wg0`,
      "route del unreachable 169.254.64.0/18 metric 4096",
    ]);
    await namespace.run("wg", ["set", "sw-wg0", "peer", host(2).key, "remove"]);
    await repaired();
    const { stdout } = await namespace.run("ip", ["route", "show", "type", "unreachable"]);
    assert.match(stdout, /169\.254\.64\.0\/18/);
    await namespace.batch(["link set sw-wg0 down"]);
    await repaired();
    await namespace.batch(["link del sw-wg0"]);
    await repaired();
  });

  test("a wireguard-go that is killed is started again at once", async () => {
    const pid = await host(1).process();
    assert(pid !== undefined);
    const pings = host(2).namespace.run("ping", ["-c60", "-i0.1", host(1).innerAddress]);
    process.kill(pid, "SIGKILL");
    const received = Number(/(\d+) received/.exec((await pings).stdout)?.[1]);
    // A process that was started 2 s ago may not be started again yet.
    assert(received >= 60 - 30, `${received} of 60`);
    assert.notEqual(await host(1).process(), pid);
  });

  test("a wireguard-go that hangs is replaced by the next repair", async () => {
    const pid = await host(1).process();
    assert(pid !== undefined);
    process.kill(pid, "SIGSTOP");
    try {
      await repaired();
      assert.notEqual(await host(1).process(), pid);
    } finally {
      process.kill(pid, "SIGKILL");
    }
  });

  test("flows go on while the agent is away, and the next one keeps the link", async () => {
    const pid = await host(1).process();
    await host(1).kill();
    await reach(host(2), host(1));
    await host(1).start();
    await hosts.apply();
    assert.equal(await host(1).process(), pid);
    await reach(host(1), host(2));
  });
});
