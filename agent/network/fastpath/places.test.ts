import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { formatAddress } from "#proto/ipv4.ts";
import { type DataPlane, emptyDataPlane } from "../data-plane.ts";
import { devices, nodeMac } from "../devices.ts";
import { PartedMap } from "../parted-map.ts";
import { noElements, setOf } from "../ruleset/elements.ts";
import { encodeKey, encodePlaces, parseDump, placesOf, planEnlist, planRetire } from "./places.ts";

const way = (node: string, device: string) => `via ${node} dev ${device} src 192.0.2.1`;

const dataPlane: DataPlane = {
  ...emptyDataPlane,
  elements: {
    ...noElements,
    samenet: setOf(["10.77.1.0/24", "10.77.2.0/28", "10.77.3.0/24"].map((it) => `${it} . ${it}`)),
    secret: setOf(["10.77.3.0/24"]),
  },
  links: new Map(
    devices.map((device) => [
      device,
      { vni: 1, port: 2, local: "192.0.2.1", mac: nodeMac(1, device), mtu: 1450 },
    ]),
  ),
  neighbours: new Map(
    devices.flatMap((device) =>
      [2, 3].map((number) => [`192.0.2.${number} dev ${device}`, nodeMac(number, device)]),
    ),
  ),
  routes: PartedMap.from([
    ["10.77.2.14", way("192.0.2.2", "sw-vx0")],
    ["10.77.1.11", way("192.0.2.3", "sw-vx0")],
    ["10.77.1.12", way("192.0.2.9", "sw-vx0")],
    ["10.77.1.13", way("192.0.2.3", "sw-vx1")],
    ["10.77.3.12", way("192.0.2.3", "sw-vx0")],
    ["10.77.2.16", way("192.0.2.2", "sw-vx0")],
    ["10.77.0.255", way("192.0.2.2", "sw-vx0")],
    ["fd00::7", "via fe80::6e:2 dev sw-vx0"],
  ]),
};

const veths = new Map([
  ["v-web", ["10.77.1.11", "fd00::1"]],
  ["v-secret", ["10.77.3.11"]],
  ["v-half", []],
]);

test("places, a task of this host has its veth, one of another host the VXLAN device, others have none", () => {
  const places = placesOf(dataPlane, veths);
  assert.deepEqual(
    [...places]
      .map(
        ([address, { device, local, to, from }]) => `${address} ${device} ${local} ${to} ${from}`,
      )
      .sort(),
    [
      "10.77.1.11 v-web true 02:42:0a:4d:01:0b 02:6e:ff:ff:ff:ff",
      "10.77.2.14 sw-vx0 false 02:6e:00:00:00:02 02:6e:00:00:00:01",
    ],
  );
});

test("places, without a VXLAN device there are only the host's own, without networks none", () => {
  const alone = { ...dataPlane, links: new Map() };
  assert.deepEqual([...placesOf(alone, veths).keys()], ["10.77.1.11"]);
  assert.equal(placesOf(emptyDataPlane, veths).size, 0);
});

test("places are the bytes that the program reads, and hang on devices that are there", () => {
  const values = encodePlaces(placesOf(dataPlane, veths), new Map([["sw-vx0", 0x0102]]));
  const value = "02 01 00 00 0a 4d 02 00 00 00 00 00 02 6e 00 00 00 02 02 6e 00 00 00 01";
  assert.deepEqual([...values], [["10.77.2.14", value]]);
  assert.equal(encodeKey("10.77.2.14"), "0a 4d 02 0e");
});

test("places, no two networks share a number", () => {
  const subnet = fc.nat(2 ** 20 - 1).map((n) => `${formatAddress(n * 4096)}/20`);
  fc.assert(
    fc.property(fc.uniqueArray(subnet, { minLength: 1, maxLength: 30 }), (subnets) => {
      const samenet = setOf(subnets.map((text) => `${text} . ${text}`));
      const plane = { ...emptyDataPlane, elements: { ...noElements, samenet } };
      const addresses = subnets.map((text) => text.replace(/\.0\/20$/, ".7"));
      const places = [...placesOf(plane, new Map([["v-all", addresses]]))];
      assert.equal(places.length, subnets.length);
      assert.equal(new Set(places.map(([, { network }]) => network)).size, subnets.length);
    }),
  );
});

const values: fc.Arbitrary<Map<string, string>> = fc
  .array(fc.tuple(fc.ipV4(), fc.constantFrom<string>("01", "02")), { maxLength: 20 })
  .map((entries) => new Map(entries));

test("plans lead from what stands to what is wanted, and retiring leaves nothing else", () => {
  fc.assert(
    fc.property(values, values, (actual, wanted) => {
      const map = new Map(actual);
      const of = PartedMap.from(wanted);
      for (const address of planRetire(PartedMap.from(actual), of)) assert(map.delete(address));
      for (const [address, value] of map) assert.equal(wanted.get(address), value);
      for (const [address, value] of planEnlist(PartedMap.from(map), of)) map.set(address, value);
      assert.equal(map.size, wanted.size);
      for (const [address, value] of wanted) assert.equal(map.get(address), value);
      assert.deepEqual(planEnlist(PartedMap.from(map), of), []);
    }),
  );
});

test("parseDump understands what bpftool prints, and throws Faults only", () => {
  const dump = [
    {
      key: ["0x0a", "0x4d", "0x02", "0x0e"],
      value: Array.from({ length: 24 }, (_, index) => `0x${index.toString(16).padStart(2, "0")}`),
      formatted: { key: 1, value: { device: 1 } },
    },
  ];
  const value = "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17";
  assert.deepEqual([...parseDump(JSON.stringify(dump))], [["10.77.2.14", value]]);
  const entry = fc.record({ key: fc.anything(), value: fc.anything() }, { requiredKeys: [] });
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc.array(entry).map((entries) => JSON.stringify(entries)),
  );
  fc.assert(
    fc.property(text, (json) => {
      try {
        parseDump(json);
      } catch (error) {
        assert(error instanceof Fault);
      }
    }),
  );
});
