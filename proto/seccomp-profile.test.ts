import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "./fault.ts";
import { parseSeccompProfile } from "./seccomp-profile.ts";

const parse = (value: unknown) => parseSeccompProfile(Buffer.from(JSON.stringify(value)));

const rule = { names: ["mount"], action: "SCMP_ACT_ALLOW" };

test("seccomp profile, Docker's format with conditions is read", () => {
  const profile = parse({
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    archMap: [{ architecture: "SCMP_ARCH_RISCV64", subArchitectures: null }],
    syscalls: [
      {
        ...rule,
        comment: "why",
        errnoRet: 38,
        args: [{ index: 1, value: 3, valueTwo: 2, op: "SCMP_CMP_MASKED_EQ" }],
        includes: { caps: ["CAP_SYS_ADMIN"], minKernel: "5.10" },
        excludes: { arches: ["arm64"] },
      },
      { name: "reboot", action: "SCMP_ACT_LOG", args: null },
    ],
  });
  assert.deepEqual(profile, {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    archMap: [{ architecture: "SCMP_ARCH_RISCV64", subArchitectures: [] }],
    architectures: [],
    flags: [],
    rules: [
      {
        names: ["mount"],
        action: "SCMP_ACT_ALLOW",
        errnoRet: 38,
        args: [{ index: 1, value: 3, valueTwo: 2, op: "SCMP_CMP_MASKED_EQ" }],
        includes: { arches: [], caps: ["CAP_SYS_ADMIN"], minKernel: "5.10" },
        excludes: { arches: ["arm64"], caps: [] },
      },
      { names: ["reboot"], action: "SCMP_ACT_LOG", args: [], includes: {}, excludes: {} },
    ],
  });
});

const refused: readonly (readonly [unknown, RegExp])[] = [
  [[], /the profile is not an object/],
  [{}, /defaultAction is not a word/],
  [{ defaultAction: "ALLOW" }, /defaultAction is "ALLOW": use one of SCMP_ACT_KILL,/],
  [{ defaultAction: "SCMP_ACT_NOTIFY" }, /use one of/],
  [{ defaultAction: "SCMP_ACT_ALLOW", syscals: [] }, /has "syscals", which is not known/],
  [{ defaultAction: "SCMP_ACT_ALLOW", syscalls: {} }, /syscalls is not a list/],
  [{ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ ...rule, names: [] }] }, /names no system call/],
  [
    {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ ...rule, args: [{ index: 6, value: 0, op: "SCMP_CMP_EQ" }] }],
    },
    /syscalls\[0\]\.args\[0\]\.index is not a whole number from 0 to 5/,
  ],
  [
    { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ ...rule, includes: { minKernel: "new" } }] },
    /minKernel is not the version of a kernel/,
  ],
  [
    {
      defaultAction: "SCMP_ACT_ALLOW",
      architectures: ["SCMP_ARCH_ARM"],
      archMap: [{ architecture: "SCMP_ARCH_ARM" }],
    },
    /has both archMap and architectures/,
  ],
];
for (const [given, message] of refused) {
  test(`seccomp profile, refused: ${message.source}`, () => {
    assert.throws(() => parse(given), { name: "Fault", code: "invalid-argument", message });
  });
}

test("seccomp profile, any bytes and any JSON in its shape are read or refused with a Fault", () => {
  const word = fc.constantFrom("SCMP_ACT_ALLOW", "SCMP_ARCH_ARM", "SCMP_CMP_EQ", "5.10", "", "x");
  const leaf = fc.oneof(word, fc.integer(), fc.constant(null), fc.array(word, { maxLength: 2 }));
  const keys =
    "names name action errnoRet args includes excludes caps arches minKernel index op value";
  const rules = fc.array(
    fc.dictionary(
      fc.constantFrom(...keys.split(" ")),
      fc.oneof(leaf, fc.dictionary(fc.constantFrom(...keys.split(" ")), leaf)),
    ),
  );
  const shaped = fc.record(
    { defaultAction: word, syscalls: rules, archMap: leaf, architectures: leaf, flags: leaf },
    { requiredKeys: ["defaultAction"] },
  );
  const texts = fc.oneof(
    shaped.map((value) => JSON.stringify(value)),
    fc.json(),
    fc.string(),
  );
  const inputs = fc.oneof(
    texts.map((text) => Buffer.from(text)),
    fc.uint8Array(),
  );
  fc.assert(
    fc.property(inputs, (bytes) => {
      try {
        const { rules } = parseSeccompProfile(bytes);
        assert.ok(rules.every(({ names }) => names.length > 0 && names.every((name) => name)));
      } catch (thrown) {
        assert.ok(thrown instanceof Fault, String(thrown));
      }
    }),
    { numRuns: 500 },
  );
});

test("seccomp profile, any that keeps to the format is read as it is", () => {
  const name = fc.stringMatching(/^[a-z_0-9]{1,9}$/);
  const arg = fc.record({
    index: fc.integer({ min: 0, max: 5 }),
    value: fc.maxSafeNat(),
    valueTwo: fc.maxSafeNat(),
    op: fc.constantFrom("SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_LT"),
  });
  const condition = fc.record({
    arches: fc.array(name),
    caps: fc.array(name),
    minKernel: fc.constantFrom("4.8", "10.0"),
  });
  const rules = fc.array(
    fc.record({
      names: fc.array(name, { minLength: 1 }),
      action: fc.constantFrom("SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS"),
      errnoRet: fc.integer({ min: 0, max: 4095 }),
      args: fc.array(arg),
      includes: condition,
      excludes: condition,
    }),
  );
  fc.assert(
    fc.property(rules, (syscalls) => {
      const profile = parse({ defaultAction: "SCMP_ACT_TRAP", syscalls });
      // fast-check makes some objects without a prototype.
      assert.deepEqual(profile.rules, JSON.parse(JSON.stringify(syscalls)));
    }),
  );
});
