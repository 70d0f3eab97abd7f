import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "./fault.ts";
import { parseNanoCpus, parseSizeBytes } from "./size.ts";

describe("parseSizeBytes", () => {
  const sizes: [string, bigint][] = [
    ["0", 0n],
    ["42", 42n],
    ["42b", 42n],
    ["512k", 524288n],
    ["512K", 524288n],
    ["64m", 67108864n],
    ["64MB", 67108864n],
    ["1g", 1073741824n],
    ["1gb", 1073741824n],
    ["1GiB", 1073741824n],
    ["1.5g", 1610612736n],
    ["1 g", 1073741824n],
    ["2t", 2199023255552n],
  ];
  for (const [text, bytes] of sizes) {
    it(`reads ${text}`, () => assert.equal(parseSizeBytes(text), bytes));
  }
  for (const text of [
    "",
    "m",
    "-1m",
    "1x",
    "1ib",
    "1Gi",
    "1e3",
    "1,5g",
    "0x10",
    "9999999p",
    "1m ",
  ]) {
    it(`refuses "${text}"`, () => {
      assert.throws(() => parseSizeBytes(text), { name: "Fault", code: "invalid-argument" });
    });
  }
  it("throws nothing but Faults", () => {
    fc.assert(fc.property(fc.string(), onlyFaults(parseSizeBytes)));
  });
});

describe("parseNanoCpus", () => {
  const amounts: [string, bigint][] = [
    ["0.5", 500_000_000n],
    [".5", 500_000_000n],
    ["2", 2_000_000_000n],
    ["1.000000001", 1_000_000_001n],
    ["0.001", 1_000_000n],
  ];
  for (const [text, nanos] of amounts) {
    it(`reads ${text}`, () => assert.equal(parseNanoCpus(text), nanos));
  }
  for (const text of ["", ".", "-1", "1.", "half", "1e3", "0.0000000001", "99999999"]) {
    it(`refuses "${text}"`, () => {
      assert.throws(() => parseNanoCpus(text), { name: "Fault", code: "invalid-argument" });
    });
  }
  it("throws nothing but Faults", () => {
    fc.assert(fc.property(fc.string(), onlyFaults(parseNanoCpus)));
  });
});

function onlyFaults(parse: (text: string) => unknown): (text: string) => void {
  return (text) => {
    try {
      parse(text);
    } catch (thrown) {
      assert(thrown instanceof Fault);
    }
  };
}
