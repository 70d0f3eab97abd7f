import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import {
  addressTowards,
  defaultRouteDevice,
  hostOf,
  joinAddresses,
  requireOwnAddress,
  resolveInterface,
  withPort,
} from "./addresses.ts";

describe("withPort", () => {
  const good: readonly (readonly [string, string])[] = [
    ["192.0.2.1", "192.0.2.1:2377"],
    ["192.0.2.1:80", "192.0.2.1:80"],
    ["h1.example", "h1.example:2377"],
    ["h1:65535", "h1:65535"],
  ];
  for (const [address, full] of good) {
    it(`reads ${address}`, () => assert.equal(withPort(address, "--x"), full));
  }
  const bad = ["", ":2377", "h1:", "h1:0", "h1:65536", "h1:-1", "h1:1e3", "h1:0x10", "h1: 80"];
  for (const address of [...bad, "[::1]:2377", "a:b", "a b", "tcp://h1"]) {
    it(`refuses "${address}"`, () => {
      const message = new RegExp(`^--x "`);
      assert.throws(() => withPort(address, "--x"), { code: "invalid-argument", message });
    });
  }
  it("throws nothing but Faults, and gives what it takes again", () => {
    const property = fc.property(fc.oneof(fc.string(), fc.domain(), fc.ipV4()), (address) => {
      try {
        const full = withPort(address, "--x");
        assert.equal(withPort(full, "--x"), full);
        assert.equal(`${hostOf(full)}:${full.split(":")[1]}`, full);
      } catch (thrown) {
        assert(thrown instanceof Fault);
      }
    });
    fc.assert(property);
  });
});

describe("defaultRouteDevice", () => {
  const header =
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
  const route = (device: string, destination: string, metric: number, mask = "00000000") =>
    `${device}\t${destination}\t0100000A\t0003\t0\t0\t${metric}\t${mask}\t0\t0\t0\n`;

  it("is that of the route to everywhere", () => {
    const table =
      header + route("eth1", "0002000A", 0, "00FFFFFF") + route("eth0", "00000000", 100);
    assert.equal(defaultRouteDevice(table), "eth0");
  });
  it("is that of the smallest metric", () => {
    const table = header + route("wlan0", "00000000", 600) + route("eth0", "00000000", 100);
    assert.equal(defaultRouteDevice(table), "eth0");
  });
  it("is not that of half of everywhere", () => {
    assert.equal(defaultRouteDevice(header + route("tun0", "00000000", 0, "00000080")), undefined);
  });
  it("is none without routes", () => {
    assert.equal(defaultRouteDevice(header), undefined);
    assert.equal(defaultRouteDevice(""), undefined);
  });
});

describe("an interface in an address's place", () => {
  const info = (address: string) => ({
    address,
    family: "IPv4" as const,
    netmask: "",
    mac: "",
    internal: false,
    cidr: null,
  });
  const ipv6 = { ...info("2001:db8::1"), family: "IPv6" as const, scopeid: 0 };
  const interfaces = {
    eth0: [info("192.0.2.1"), ipv6],
    eth1: [info("198.51.100.1"), info("198.51.100.2")],
    eth2: [ipv6],
  };
  const resolve = (address: string) => resolveInterface(address, "--x", interfaces);
  it("is its IPv4 address, with the port that stands behind it", () => {
    assert.equal(resolve("eth0"), "192.0.2.1");
    assert.equal(resolve("eth0:2377"), "192.0.2.1:2377");
  });
  it("leaves everything else as it is", () => {
    for (const address of ["", "192.0.2.9", "192.0.2.9:2377", "h1", "eth9:2377", "constructor"]) {
      assert.equal(resolve(address), address);
    }
  });
  it("is refused where it has not just one", () => {
    assert.throws(() => resolve("eth1"), {
      code: "invalid-argument",
      message: /^--x "eth1": interface eth1 has the IPv4 addresses 198.51.100.1, 198.51.100.2; /,
    });
    assert.throws(() => resolve("eth2:2377"), { message: /interface eth2 has no IPv4 address; / });
  });
});

describe("own addresses", () => {
  it("are those of the interfaces", () => {
    requireOwnAddress("127.0.0.1", "--x");
    assert.throws(() => requireOwnAddress("192.0.2.77", "--x"), {
      message: /^--x "192.0.2.77" is no address of this host, which has /,
    });
    assert.throws(() => requireOwnAddress("h1", "--x"), {
      message: '--x "h1" is not an IPv4 address',
    });
  });
  it("of a host that joins are none that each host has", async () => {
    const given = { advertiseAddress: "", listenAddress: "", dataPathAddress: "" };
    for (const key of ["advertiseAddress", "dataPathAddress"] as const) {
      const addresses = joinAddresses({ ...given, [key]: "127.0.0.1" }, ["192.0.2.1:2377"]);
      await assert.rejects(addresses, { message: /"127.0.0.1" leads each host to itself/ });
    }
  });
  it("towards an address are told by the routing table", async () => {
    assert.equal(await addressTowards("127.0.0.1:2377"), "127.0.0.1");
    await assert.rejects(addressTowards("name.invalid:2377"), {
      message: /^Cannot find the way to name.invalid:2377: /,
    });
  });
});
