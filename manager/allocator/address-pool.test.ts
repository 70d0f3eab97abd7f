import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { IpamConfigSchema, IpFamily } from "#proto/gen/swarm/v1/types_pb.ts";
import { AddressPool, PoolDraft } from "./address-pool.ts";
import {
  bitsOf,
  type Family,
  formatAddress,
  formatSubnet,
  lastAddress,
  parseAddress,
  parseSubnet,
  sizeOf,
  type Subnet,
} from "./subnet.ts";

function pool(subnet: string, more: { range?: string; gateway?: string } = {}): AddressPool {
  const { family, base } = parseSubnet(subnet);
  const gateway = formatAddress({ family, value: base + 1n });
  return new AddressPool(create(IpamConfigSchema, { subnet, gateway, ...more }));
}

const value = (text: string) => parseAddress(text).value;

interface Plan {
  readonly subnet: Subnet;
  readonly range: Subnet;
  readonly gateway: bigint;
}

/** Small subnets, some with a range of their own, of either family. */
const plans = fc
  .record({
    family: fc.constantFrom<Family>(IpFamily.IPV4, IpFamily.IPV6),
    number: fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }),
    hostBits: fc.integer({ min: 3, max: 10 }),
    rangeBits: fc.integer({ min: 0, max: 2 }),
    offset: fc.bigInt({ min: 0n, max: 1023n }),
    gateway: fc.bigInt({ min: 0n, max: 1023n }),
  })
  .map(({ family, number, hostBits, rangeBits, offset, gateway }): Plan => {
    const start = family === IpFamily.IPV6 ? 0xfd00n << 112n : 0n;
    const prefix = bitsOf(family) - hostBits;
    const at = (address: bigint, bits: number) => (address >> BigInt(bits)) << BigInt(bits);
    const subnet = { family, base: at(start + number, hostBits), prefix };
    const size = sizeOf(subnet);
    const base = at(subnet.base + (offset % size), hostBits - rangeBits);
    return {
      subnet,
      range: { family, base, prefix: prefix + rangeBits },
      gateway: subnet.base + 1n + (gateway % (size - 2n)),
    };
  })
  // Two addresses at an end of the subnet may have no other host than the gateway: that is no pool.
  .filter(({ subnet, range, gateway }) => {
    const ends = [subnet.base, lastAddress(subnet), gateway];
    const few = sizeOf(range) <= 2n;
    return !few || [range.base, lastAddress(range)].some((one) => !ends.includes(one));
  });

test("a pool gives no address twice, none outside its range, and not the gateway's", () => {
  const steps = fc.array(fc.oneof(fc.constant("take" as const), fc.nat(50)), { maxLength: 300 });
  fc.assert(
    fc.property(plans, steps, ({ subnet, range, gateway }, ops) => {
      const { family } = subnet;
      const book = pool(formatSubnet(subnet), {
        range: formatSubnet(range),
        gateway: formatAddress({ family, value: gateway }),
      });
      const held: bigint[] = [];
      for (const op of ops) {
        if (op === "take") {
          const taken = new PoolDraft(book).take();
          if (taken === undefined) {
            assert.equal(BigInt(held.length), book.capacity);
            continue;
          }
          assert.ok(!held.includes(taken));
          assert.ok(range.base <= taken && taken <= lastAddress(range));
          assert.ok(subnet.base < taken && taken < lastAddress(subnet));
          assert.notEqual(taken, gateway);
          book.hold(taken, `task:${taken}`);
          held.push(taken);
        } else if (held.length > 0) {
          const [released = 0n] = held.splice(op % held.length, 1);
          book.release(released, `task:${released}`);
        }
        assert.equal(book.used, BigInt(held.length));
      }
    }),
  );
});

test("a draft gives the whole pool once, then nothing, and leaves the pool as it was", () => {
  const book = pool("10.0.1.0/28");
  const draft = new PoolDraft(book);
  const taken = Array.from({ length: Number(book.capacity) }, () => draft.take());
  assert.equal(new Set(taken).size, 13);
  assert.equal(draft.take(), undefined);
  assert.equal(draft.usage, "13 of 13 in 10.0.1.0/28 are in use");
  assert.equal(book.used, 0n);
  draft.giveBack(taken[3] ?? 0n);
  assert.equal(draft.usage, "12 of 13 in 10.0.1.0/28 are in use");
  assert.equal(draft.take(), taken[3]);
});

test("a freed address is the last to be used again", () => {
  const book = pool("10.0.1.0/29");
  for (const last of [2, 3, 4]) book.hold(value(`10.0.1.${last}`), "task:a");
  book.release(value("10.0.1.3"), "task:a");
  const draft = new PoolDraft(book);
  const order = Array.from({ length: 3 }, () => draft.take());
  assert.deepEqual(order, [value("10.0.1.5"), value("10.0.1.6"), value("10.0.1.3")]);
});

test("an address with two holders comes free with the last of them", () => {
  const book = pool("10.0.1.0/29");
  book.hold(value("10.0.1.2"), "task:lost");
  book.hold(value("10.0.1.2"), "task:successor");
  book.release(value("10.0.1.2"), "task:lost");
  assert.deepEqual([...book.holdersOf(value("10.0.1.2"))], ["task:successor"]);
  assert.equal(book.used, 1n);
  book.release(value("10.0.1.2"), "task:successor");
  assert.equal(book.used, 0n);
});

test("an address outside the range is held without counting as one of the range's", () => {
  const book = pool("10.0.1.0/24", { range: "10.0.1.128/29" });
  book.hold(value("10.0.1.9"), "task:a");
  assert.equal(book.used, 0n);
  assert.equal(book.isForTasks(value("10.0.1.10")), true);
  assert.equal(book.isForTasks(value("10.0.1.1")), false);
  const draft = new PoolDraft(book);
  assert.equal(draft.takeGiven(value("10.0.1.10")), true);
  assert.equal(draft.takeGiven(value("10.0.1.10")), false);
  assert.equal(draft.take(), value("10.0.1.128"));
  assert.equal(draft.usage, "1 of 8 in 10.0.1.128/29 are in use");
});
