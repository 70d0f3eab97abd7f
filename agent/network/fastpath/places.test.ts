import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { formatAddress } from "#proto/ipv4.ts";
import {
  encodeKey,
  encodePlaces,
  parseDump,
  placesOf,
  planEnlist,
  planRetire,
  type PlacesInput,
} from "./places.ts";

const input: PlacesInput = {
  subnets: ["10.77.1.0/24", "10.77.2.0/28"],
  vxlan: { device: "sw-vx0", mac: "02:6e:00:00:00:01" },
  links: new Map([["10.77.1.11", "v-web"]]),
  remotes: new Map([
    ["10.77.2.14", "02:6e:00:00:00:02"],
    ["10.77.1.11", "02:6e:00:00:00:03"],
    ["10.77.2.16", "02:6e:00:00:00:02"],
    ["10.77.0.255", "02:6e:00:00:00:02"],
  ]),
};

test("places, a task of this host has its veth, one of another host the VXLAN device, one of no network none", () => {
  const places = placesOf(input);
  assert.deepEqual(
    [...places].map(([address, { device, local, to, from }]) => [address, device, local, to, from]),
    [
      ["10.77.1.11", "v-web", true, "02:42:0a:4d:01:0b", "02:6e:ff:ff:ff:ff"],
      ["10.77.2.14", "sw-vx0", false, "02:6e:00:00:00:02", "02:6e:00:00:00:01"],
    ],
  );
});

test("places, without a VXLAN device there are only the host's own", () => {
  assert.deepEqual([...placesOf({ ...input, vxlan: undefined }).keys()], ["10.77.1.11"]);
});

test("places are the bytes that the program reads, and hang on devices that are there", () => {
  const values = encodePlaces(placesOf(input), new Map([["sw-vx0", 0x0102]]));
  const value = "02 01 00 00 0a 4d 02 00 00 00 00 00 02 6e 00 00 00 02 02 6e 00 00 00 01";
  assert.deepEqual([...values], [["10.77.2.14", value]]);
  assert.equal(encodeKey("10.77.2.14"), "0a 4d 02 0e");
});

test("places, no two networks share a number", () => {
  const subnet = fc.nat(2 ** 20 - 1).map((n) => `${formatAddress(n * 4096 + 2 ** 24)}/20`);
  fc.assert(
    fc.property(fc.uniqueArray(subnet, { minLength: 1, maxLength: 30 }), (subnets) => {
      const links = new Map(
        subnets.flatMap((text, index) => {
          const base = text.split("/")[0]?.replace(/\.0$/, "") ?? "";
          return [[`${base}.7`, `v-${index}`] as const];
        }),
      );
      const places = placesOf({ subnets, vxlan: undefined, links, remotes: new Map() });
      assert.equal(places.size, subnets.length);
      assert.equal(
        new Set([...places.values()].map(({ network }) => network)).size,
        subnets.length,
      );
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
      for (const address of planRetire(actual, wanted)) assert(map.delete(address));
      for (const [address, value] of map) assert.equal(wanted.get(address), value);
      for (const [address, value] of planEnlist(map, wanted)) map.set(address, value);
      assert.equal(map.size, wanted.size);
      for (const [address, value] of wanted) assert.equal(map.get(address), value);
      assert.deepEqual(planEnlist(map, wanted), []);
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
