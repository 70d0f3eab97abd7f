import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "./fault.ts";
import {
  contains,
  formatAddress,
  formatSubnet,
  parseAddress,
  parseInterface,
  parseSubnet,
  subnetOf,
} from "./ipv4.ts";

const address = fc.integer({ min: 0, max: 2 ** 32 - 1 });

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

test("An interface address keeps its host bits", () => {
  assert.deepEqual(parseInterface("10.0.1.5/24"), {
    address: parseAddress("10.0.1.5"),
    prefix: 24,
  });
});
