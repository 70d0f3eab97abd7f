import assert from "node:assert/strict";
import { isIPv6 } from "node:net";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "./fault.ts";
import {
  contains6,
  formatAddress6,
  formatSubnet6,
  isAddress6,
  overlap6,
  parseAddress6,
  parseSubnet6,
} from "./ipv6.ts";

test("IPv6, every address comes back from its text", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }), (address) => {
      assert.equal(parseAddress6(formatAddress6(address)), address);
    }),
  );
});

test("IPv6, texts are formatted as the kernel prints them", () => {
  assert.equal(formatAddress6(parseAddress6("FD00:0:0:1:0:0:0:5")), "fd00:0:0:1::5");
  assert.equal(formatAddress6(parseAddress6("::1")), "::1");
  assert.equal(formatSubnet6(parseSubnet6("fd00:64:1::/64")), "fd00:64:1::/64");
});

test("IPv6, nothing passes that node's own parser refuses", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9a-f:.%/]{0,40}$/)), (text) => {
      if (isAddress6(text)) assert(isIPv6(text), text);
    }),
  );
});

test("IPv6, subnets are refused with what is wrong", () => {
  const refused = (text: string, words: RegExp) =>
    assert.throws(
      () => parseSubnet6(text),
      (fault) => fault instanceof Fault && words.test(fault.message),
    );
  refused("fd00::1/64", /host bits.*fd00::\/64/);
  refused("fd00::/129", /not an IPv6 subnet/);
  refused("10.0.0.0/8", /not an IPv6 subnet/);
  refused("fe80::1%eth0/64", /not an IPv6 subnet/);
});

test("IPv6, a subnet holds the narrower ones of its range", () => {
  const wide = parseSubnet6("fd00:1::/32");
  assert(contains6(wide, parseSubnet6("fd00:1:2::/64")));
  assert(!contains6(wide, parseSubnet6("fd00:2::/64")));
  assert(overlap6(parseSubnet6("fd00:1:2::/64"), wide));
});
