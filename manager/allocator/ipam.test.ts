import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { IpFamily, NetworkSpecSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { planIpam, type SubnetContext } from "./ipam.ts";
import { contains, formatAddress, overlap, parseAddress, parseSubnet } from "./subnet.ts";

type Init = MessageInitShape<typeof NetworkSpecSchema>;

const ula = "fd12:3456:789a::/48";

function context(init: Partial<SubnetContext> = {}, pools = ["10.0.0.0/8", ula]): SubnetContext {
  return { pools: { pools, subnetPrefix: 24 }, taken: [], nodeAddresses: [], ...init };
}

function subnets(init: Init, where = context()): string[] {
  return planIpam(create(NetworkSpecSchema, init), where).map(({ subnet }) => subnet);
}

const there = (subnet: string, network = "front") => ({ ...parseSubnet(subnet), network });

test("subnets from the pools overlap neither each other nor what is there, nor a node's address", () => {
  const pools = ["10.0.0.0/20", "10.9.0.0/22", "fd00:1::/61"];
  const given = fc.uniqueArray(
    fc.record({ offset: fc.nat(8191), prefix: fc.integer({ min: 16, max: 28 }) }),
    { maxLength: 5 },
  );
  const nodes = fc.array(
    fc
      .nat(8191)
      .map((offset) => ({ node: "h1", ...parseAddress(`10.0.${offset >> 8}.${offset & 255}`) })),
    { maxLength: 5 },
  );
  fc.assert(
    fc.property(given, nodes, fc.boolean(), (others, nodeAddresses, ingress) => {
      const base = parseSubnet("10.0.0.0/16").base;
      const taken = others.map(({ offset, prefix }) => {
        const bits = BigInt(32 - prefix);
        const start = ((base + BigInt(offset)) >> bits) << bits;
        return { family: IpFamily.IPV4, base: start, prefix, network: "there" };
      });
      for (let count = 0; ; count++) {
        let configs;
        try {
          const spec = create(NetworkSpecSchema, {
            ipv6Enabled: true,
            ingress: ingress && count === 0,
          });
          configs = planIpam(spec, context({ taken, nodeAddresses }, pools));
        } catch (thrown) {
          assert.ok(thrown instanceof Fault && thrown.code === "resource-exhausted");
          break;
        }
        for (const { subnet: text, gateway } of configs) {
          const subnet = parseSubnet(text);
          assert.ok(!taken.some((one) => overlap(one, subnet)));
          assert.ok(!nodeAddresses.some((address) => contains(subnet, address)));
          const { family, base: first } = subnet;
          assert.equal(gateway, formatAddress({ family, value: first + 1n }));
          taken.push({ ...subnet, network: "new" } as (typeof taken)[number]);
        }
      }
    }),
  );
});

test("the ingress network has room for 16 times as many tasks, where the pool has", () => {
  assert.deepEqual(subnets({ ingress: true, ipv6Enabled: true }), [
    "10.0.0.0/20",
    "fd12:3456:789a::/64",
  ]);
  const small = context({}, ["10.0.0.0/20"]);
  assert.deepEqual(subnets({ ingress: true }, small), ["10.0.0.0/24"]);
  const after = context({ taken: [there("10.0.0.0/20", "ingress"), there("fd12:3456:789a::/64")] });
  assert.deepEqual(subnets({ ipv6Enabled: true }, after), [
    "10.0.16.0/24",
    "fd12:3456:789a:1::/64",
  ]);
});

test("networks get the next pool's subnets when one is used up, and never the default bridge's", () => {
  const taken: ReturnType<typeof there>[] = [];
  const where = context({ taken }, ["10.1.0.0/23", "172.17.0.0/16", "172.18.0.0/24"]);
  const given = Array.from({ length: 3 }, (_, index) => {
    const [subnet = ""] = subnets({}, where);
    taken.push(there(subnet, `net${index}`));
    return subnet;
  });
  assert.deepEqual(given, ["10.1.0.0/24", "10.1.1.0/24", "172.18.0.0/24"]);
  assert.throws(() => subnets({}, where), {
    code: "resource-exhausted",
    message:
      "no /24 subnet is free in the address pools 10.1.0.0/23, 172.17.0.0/16, 172.18.0.0/24: remove a network or give one a subnet (--subnet)",
  });
});

test("own subnets of both families are taken as they are, in the order of the families", () => {
  const configs = [
    { subnet: "fd00:5::/64", gateway: "FD00:5::fe" },
    { subnet: "10.5.0.0/16", range: "10.5.1.0/24" },
  ];
  const spec = create(NetworkSpecSchema, { ipv6Enabled: true, ipam: { configs } });
  const planned = planIpam(spec, context());
  assert.deepEqual(
    planned.map(({ family, subnet, gateway, range }) => [family, subnet, gateway, range]),
    [
      [IpFamily.IPV4, "10.5.0.0/16", "10.5.0.1", "10.5.1.0/24"],
      [IpFamily.IPV6, "fd00:5::/64", "fd00:5::fe", ""],
    ],
  );
});

test("without a pool of IPv6, a network must bring its own subnet", () => {
  assert.throws(() => subnets({ ipv6Enabled: true }, context({}, ["10.0.0.0/8"])), {
    message: "the cluster has no IPv6 address pool: give the network a subnet (--subnet)",
  });
});

const refused = [
  [{ subnet: "10.5.0.0/16" }, /overlaps with 10\.5\.9\.0\/24 of network "front"/],
  [{ subnet: "10.6.0.1/24" }, /host bits/],
  [{ subnet: "10.6.0.0/30" }, /is not of a size from \/8 to \/29/],
  [{ subnet: "10.6.0.0/24", range: "10.7.0.0/25" }, /range 10\.7\.0\.0\/25 is not inside/],
  [{ subnet: "10.6.0.0/24", range: "fd00::/64" }, /range fd00::\/64 is not inside/],
  [{ subnet: "10.6.0.0/24", gateway: "10.7.0.1" }, /10\.7\.0\.1 is not an address for hosts/],
  [{ subnet: "10.6.0.0/24", gateway: "10.6.0.255" }, /10\.6\.0\.255 is not an address for hosts/],
  [{ subnet: "10.6.0.0/24", gateway: "fd00::1" }, /fd00::1 is not an address for hosts/],
  [
    { subnet: "10.6.0.0/24", range: "10.6.0.1/32" },
    /^.*range 10\.6\.0\.1\/32 has no address for tasks/,
  ],
  [
    {
      subnet: "10.6.0.0/29",
      reserved: Object.fromEntries([2, 3, 4, 5, 6].map((n) => [n, `10.6.0.${n}`])),
    },
    /: subnet 10\.6\.0\.0\/29 has no address for tasks/,
  ],
  [{ subnet: "10.6.0.0/24", gateway: "10.6.0.01" }, /"10\.6\.0\.01" is not an IP address/],
  [{ subnet: "fd00::/64" }, /fd00::\/64 is of IPv6, which is off: turn it on \(--ipv6\)/],
  [{ subnet: "169.254.80.0/24" }, /overlaps with 169\.254\.64\.0\/18, which carries encrypted/],
  [{ subnet: "172.17.4.0/24" }, /overlaps with 172\.17\.0\.0\/16, which is of every host's/],
  [{ subnet: "127.0.0.0/8" }, /loopback/],
  [{ subnet: "192.0.2.0/24" }, /has 192\.0\.2\.7 in it, an address of node "h7"/],
] as const;
for (const [config, message] of refused) {
  test(`an address plan of ${JSON.stringify(config)} is refused`, () => {
    const where = context({
      taken: [there("10.5.9.0/24")],
      nodeAddresses: [{ node: "h7", ...parseAddress("192.0.2.7") }],
    });
    assert.throws(() => subnets({ ipam: { configs: [config] } }, where), {
      name: "Fault",
      message,
    });
  });
}

test("an address plan of two subnets of one family is refused", () => {
  const configs = [{ subnet: "10.1.0.0/24" }, { subnet: "10.2.0.0/24" }];
  assert.throws(() => subnets({ ipam: { configs } }), {
    message:
      /configs\[1\]\.subnet: 10\.2\.0\.0\/24 is a second IPv4 subnet: give one of each family/,
  });
});
