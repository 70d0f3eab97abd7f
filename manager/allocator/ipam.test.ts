import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { IpamConfigSchema, NetworkSpecSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { AddressPool, planIpam, PoolDraft } from "./ipam.ts";
import {
  contains,
  formatAddress,
  formatSubnet,
  lastAddress,
  overlap,
  parseAddress,
  parseInterface,
  parseSubnet,
  subnetOf,
} from "#proto/ipv4.ts";

const address = fc.integer({ min: 0, max: 2 ** 32 - 1 });

function pool(subnet: string, more: { range?: string; gateway?: string } = {}): AddressPool {
  const gateway = formatAddress(parseSubnet(subnet).base + 1);
  return new AddressPool(create(IpamConfigSchema, { subnet, gateway, ...more }));
}

test("Addresses and subnets are the same after formatting and parsing", () => {
  fc.assert(
    fc.property(address, fc.integer({ min: 0, max: 32 }), (number, prefix) => {
      assert.equal(parseAddress(formatAddress(number)), number);
      const subnet = subnetOf(number, prefix);
      assert.deepEqual(parseSubnet(formatSubnet(subnet)), subnet);
      assert.ok(contains(subnet, { base: number, prefix: 32 }));
    }),
  );
});

test("Parsing a subnet gives a subnet or a Fault, whatever the text", () => {
  const text = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[0-9.]{0,16}\/[0-9]{0,3}$/),
    fc.ipV4().map((ip) => `${ip}/24`),
  );
  fc.assert(
    fc.property(text, (input) => {
      try {
        assert.equal(formatSubnet(parseSubnet(input)).split("/").length, 2);
      } catch (thrown) {
        assert.ok(thrown instanceof Fault && thrown.code === "invalid-argument");
      }
    }),
  );
});

test("A pool gives no address twice, none outside its range, and not the gateway's", () => {
  const config = fc
    .record({
      base: address,
      prefix: fc.integer({ min: 22, max: 29 }),
      rangeBits: fc.integer({ min: 0, max: 2 }),
      offset: address,
      gateway: address,
    })
    .map(({ base, prefix, rangeBits, offset, gateway }) => {
      const subnet = subnetOf(base, prefix);
      const size = 2 ** (32 - prefix);
      const range = subnetOf(subnet.base + (offset % size), prefix + rangeBits);
      return {
        subnet,
        range,
        gateway: subnet.base + 1 + (gateway % (size - 2)),
      };
    })
    // Two addresses at an end of the subnet may have no other host than the gateway: that is no pool.
    .filter(({ subnet, range, gateway }) => {
      const ends = [subnet.base, lastAddress(subnet), gateway];
      return (
        range.prefix < 31 || [range.base, lastAddress(range)].some((one) => !ends.includes(one))
      );
    });
  const steps = fc.array(fc.oneof(fc.constant("take" as const), fc.nat(50)), { maxLength: 300 });
  fc.assert(
    fc.property(config, steps, ({ subnet, range, gateway }, ops) => {
      const book = pool(formatSubnet(subnet), {
        range: formatSubnet(range),
        gateway: formatAddress(gateway),
      });
      const held: number[] = [];
      for (const op of ops) {
        if (op === "take") {
          const taken = new PoolDraft(book).take();
          if (taken === undefined) {
            assert.equal(held.length, book.capacity);
            continue;
          }
          assert.ok(!held.includes(taken));
          assert.ok(range.base <= taken && taken <= lastAddress(range));
          assert.ok(subnet.base < taken && taken < lastAddress(subnet));
          assert.notEqual(taken, gateway);
          book.hold(taken, `task${taken}`);
          held.push(taken);
        } else if (held.length > 0) {
          const [released] = held.splice(op % held.length, 1);
          book.release(released ?? 0, `task${released}`);
        }
        assert.equal(book.used, held.length);
      }
    }),
  );
});

test("A draft gives the whole pool once, then nothing, and leaves the pool as it was", () => {
  const book = pool("10.0.1.0/28");
  const draft = new PoolDraft(book);
  const taken = Array.from({ length: book.capacity }, () => draft.take());
  assert.equal(new Set(taken).size, 13);
  assert.equal(draft.take(), undefined);
  assert.equal(book.used, 0);
  draft.giveBack(taken[3] ?? 0);
  assert.equal(draft.take(), taken[3]);
});

test("A freed address is the last to be used again", () => {
  const book = pool("10.0.1.0/29");
  for (const last of [2, 3, 4]) book.hold(parseAddress(`10.0.1.${last}`), "task");
  book.release(parseAddress("10.0.1.3"), "task");
  const draft = new PoolDraft(book);
  const order = Array.from({ length: 3 }, () => formatAddress(draft.take() ?? 0));
  assert.deepEqual(order, ["10.0.1.5", "10.0.1.6", "10.0.1.3"]);
});

test("Subnets from the pools do not overlap each other or what is there, and spare the ingress network's", () => {
  const pools = { pools: ["10.0.0.0/20", "10.9.0.0/22"], subnetPrefix: 24 };
  const given = fc.uniqueArray(
    fc.record({ base: address, prefix: fc.integer({ min: 16, max: 28 }) }),
    { maxLength: 5 },
  );
  fc.assert(
    fc.property(given, (others) => {
      const base = parseSubnet("10.0.0.0/16").base;
      const existing = others.map((one) => ({
        ...subnetOf(base + (one.base % 8192), one.prefix),
        network: "there",
      }));
      const taken = [...existing];
      for (;;) {
        let config;
        try {
          config = planIpam(create(NetworkSpecSchema), { pools, taken });
        } catch (thrown) {
          assert.ok(thrown instanceof Fault && thrown.code === "resource-exhausted");
          break;
        }
        const subnet = parseSubnet(config.subnet);
        assert.ok(!taken.some((one) => overlap(one, subnet)));
        assert.notEqual(config.subnet, "10.0.0.0/24");
        assert.equal(config.gateway, formatAddress(subnet.base + 1));
        taken.push({ ...subnet, network: "new" });
      }
    }),
  );
});

test("The first network has 10.0.1.0/24, the ingress network 10.0.0.0/24", () => {
  const context = { pools: { pools: ["10.0.0.0/8"], subnetPrefix: 24 }, taken: [] };
  assert.equal(planIpam(create(NetworkSpecSchema), context).subnet, "10.0.1.0/24");
  const ingress = create(NetworkSpecSchema, { ingress: true });
  assert.equal(planIpam(ingress, context).subnet, "10.0.0.0/24");
});

const refused = [
  [{ subnet: "10.5.0.0/16" }, /overlaps with 10\.5\.9\.0\/24 of network "front"/],
  [{ subnet: "10.6.0.1/24" }, /host bits/],
  [{ subnet: "10.6.0.0/30" }, /has no size from/],
  [{ subnet: "10.6.0.0/24", range: "10.7.0.0/25" }, /range 10\.7\.0\.0\/25 is not inside/],
  [{ subnet: "10.6.0.0/24", gateway: "10.7.0.1" }, /10\.7\.0\.1 is not an address for hosts/],
  [{ subnet: "10.6.0.0/24", gateway: "10.6.0.255" }, /10\.6\.0\.255 is not an address for hosts/],
  [{ subnet: "10.6.0.0/24", range: "10.6.0.1/32" }, /no address for tasks/],
  [{ subnet: "10.6.0.0/24", gateway: "10.6.0.01" }, /"10\.6\.0\.01" is not an IPv4 address/],
  [{ subnet: "fd00::/64" }, /not an IPv4 subnet/],
] as const;
for (const [config, message] of refused) {
  test(`An address plan of ${JSON.stringify(config)} is refused`, () => {
    const spec = create(NetworkSpecSchema, { ipam: { configs: [config] } });
    const pools = { pools: ["10.0.0.0/8"], subnetPrefix: 24 };
    const taken = [{ ...parseSubnet("10.5.9.0/24"), network: "front" }];
    assert.throws(() => planIpam(spec, { pools, taken }), { name: "Fault", message });
  });
}

test("An interface address keeps its host bits", () => {
  assert.deepEqual(parseInterface("10.0.1.5/24"), {
    address: parseAddress("10.0.1.5"),
    prefix: 24,
  });
});
