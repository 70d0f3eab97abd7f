import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import type { NetworkInterfaceInfo } from "node:os";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { ownAddresses, watchOwnAddresses } from "./own-addresses.ts";

function having(...addresses: readonly string[]): NetworkInterfaceInfo[] {
  return addresses.map((address) => {
    const rest = { address, netmask: "", mac: "", internal: false, cidr: null };
    return address.includes(":")
      ? { ...rest, family: "IPv6" as const, scopeid: 0 }
      : { ...rest, family: "IPv4" as const };
  });
}

test("own addresses are those of both families that no other host can have too", (context) => {
  const sysfs = mkdtempSync(join(tmpdir(), "swarm-sysfs-"));
  context.after(() => rmSync(sysfs, { recursive: true }));
  // A bridge with containers, one with a card, one with a VLAN of a card, one with nothing.
  for (const folder of [
    "docker0/brif/veth1",
    "veth1",
    "br0/brif/eth0",
    "br0/brif/veth2",
    "eth0/device",
    "veth2",
    "br1/brif/eth1.7",
    "eth1.7/lower_eth1",
    "virbr0/brif",
    "tailscale0",
  ]) {
    mkdirSync(join(sysfs, folder), { recursive: true });
  }
  const interfaces = {
    lo: having("127.0.0.1", "::1", "10.0.0.1"),
    br0: having("192.0.2.1", "2001:DB8:0:0::1", "fe80::1"),
    br1: having("198.51.100.1"),
    docker0: having("172.17.0.1"),
    virbr0: having("192.168.122.1"),
    tailscale0: having("100.64.0.1", "fd7a::1"),
    "sw-wg0": having("169.254.64.1"),
    wlan0: having("febf::1"),
  };
  assert.deepEqual(ownAddresses({ sysfs, interfaces }), [
    "100.64.0.1",
    "192.0.2.1",
    "198.51.100.1",
    "2001:db8::1",
    "fd7a::1",
  ]);
});

test("a change of own addresses is told once, and no more after the end of the watch", () => {
  const clock = new FakeClock();
  let addresses = ["192.0.2.1"];
  let told = 0;
  const watch = watchOwnAddresses(
    clock,
    () => void (told += 1),
    () => addresses,
  );
  const pass = () => {
    clock.advance(10_000);
    return told;
  };
  assert.equal(pass(), 0);
  addresses = ["192.0.2.1", "2001:db8::1"];
  assert.equal(pass(), 1);
  assert.equal(pass(), 1);
  addresses = ["192.0.2.2"];
  assert.equal(pass(), 2);
  watch[Symbol.dispose]();
  addresses = [];
  assert.equal(pass(), 2);
});
