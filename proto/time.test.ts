import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "./fault.ts";
import {
  durationFromMs,
  msFromDuration,
  msFromTimestamp,
  parseDurationMs,
  timestampFromMs,
} from "./time.ts";

describe("parseDurationMs", () => {
  const durations: readonly (readonly [string, number])[] = [
    ["0", 0],
    ["0s", 0],
    ["-0s", 0],
    ["10s", 10_000],
    ["+10s", 10_000],
    ["-10s", -10_000],
    ["500ms", 500],
    ["1m30s", 90_000],
    ["1h1m1s1ms", 3_661_001],
    ["1.5h", 5_400_000],
    [".5s", 500],
    ["1.s", 1000],
    ["250us", 0.25],
    ["250\u00b5s", 0.25],
    ["250\u03bcs", 0.25],
    ["1ns", 1e-6],
    ["30s1m", 90_000],
  ];
  for (const [text, ms] of durations) {
    it(`reads ${text}`, () => assert.equal(parseDurationMs(text), ms));
  }
  const refused = ["", "-", "s", "10", "1 s", "1s ", ".s", "1..5s", "1d", "1S", "1e3s", "--1s"];
  for (const text of [
    ...refused,
    "1s-1s",
    "0x1s",
    "Infinitys",
    "１s",
    "9999999h",
    "9".repeat(400),
  ]) {
    it(`refuses "${text.slice(0, 20)}"`, () => {
      const message = new RegExp(`^invalid duration "`);
      assert.throws(() => parseDurationMs(text), { code: "invalid-argument", message });
    });
  }
  it("throws nothing but Faults, and gives what a protobuf can carry", () => {
    const texts = fc.oneof(
      fc.string(),
      fc.stringMatching(/^[-+]?([0-9.]{1,15}(ns|us|ms|s|m|h)){1,3}$/),
    );
    const property = fc.property(texts, (text) => {
      try {
        durationFromMs(parseDurationMs(text));
      } catch (thrown) {
        assert(thrown instanceof Fault);
      }
    });
    fc.assert(property);
  });
});

/** To the microsecond, which is as fine as a double is near the present. */
const ms = fc.double({ noNaN: true, min: -4e12, max: 4e12 });

describe("durations and timestamps", () => {
  it("come back as they were", () => {
    const property = fc.property(ms, (value) => {
      assert(Math.abs(msFromDuration(durationFromMs(value), Number.NaN) - value) < 1e-3);
      assert(Math.abs(msFromTimestamp(timestampFromMs(value)) - value) < 1e-3);
    });
    fc.assert(property);
  });
  it("come back exactly in whole milliseconds", () => {
    const property = fc.property(fc.integer({ min: -4e12, max: 4e12 }), (value) => {
      assert.equal(msFromDuration(durationFromMs(value), Number.NaN), value);
      assert.equal(msFromTimestamp(timestampFromMs(value)), value);
    });
    fc.assert(property);
  });
  it("are as protobuf wants them: nanoseconds below a second, with the duration's sign", () => {
    const property = fc.property(ms, (value) => {
      const duration = durationFromMs(value);
      assert(Math.abs(duration.nanos) < 1e9);
      assert(duration.nanos === 0 || duration.seconds * BigInt(Math.sign(duration.nanos)) >= 0n);
      const { nanos } = timestampFromMs(value);
      assert(nanos >= 0 && nanos < 1e9);
    });
    fc.assert(property, { examples: [[1999.9999999], [-1999.9999999], [-1e-9]] });
  });
  it("have a meaning where they are unset", () => {
    assert.equal(msFromDuration(undefined, 7), 7);
    assert.equal(msFromTimestamp(undefined), 0);
  });
});
