import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as fc from "fast-check";
import { rankPlatform, variantOf } from "./platform.ts";

const v2 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3";
const v3 = `${v2} avx avx2 bmi1 bmi2 f16c fma abm movbe xsave`;
const v4 = `${v3} avx512f avx512bw avx512cd avx512dq avx512vl`;

for (const [architecture, cpuinfo, variant] of [
  ["amd64", "processor : 0\nflags\t\t: fpu sse2\n", "v1"],
  ["amd64", `flags\t\t: ${v2}\n`, "v2"],
  ["amd64", `flags\t\t: ${v3}\n`, "v3"],
  ["amd64", `flags\t\t: ${v3.replace("fma ", "")}\n`, "v2"],
  ["amd64", `flags\t\t: ${v4}\n`, "v4"],
  ["arm", "model name\t: ARMv7 Processor rev 4 (v7l)\nCPU architecture: 7\n", "v7"],
  ["arm", "model name\t: ARMv6-compatible processor rev 7 (v6l)\nCPU architecture: 7\n", "v6"],
  ["arm", "CPU architecture: 5TEJ\n", "v5"],
  ["arm", "", undefined],
  ["arm64", "CPU architecture: 8\n", undefined],
] as const) {
  test(`an ${architecture} of "${cpuinfo.slice(0, 40).trim()}" is ${variant}`, () => {
    assert.equal(variantOf(architecture, cpuinfo), variant);
  });
}

test("this machine's processor is of a variant that there is", () => {
  const cpuinfo = readFileSync("/proc/cpuinfo", "utf8");
  assert.match(variantOf("amd64", cpuinfo) ?? "", /^v[1-4]$/);
});

test("what is for a host's own platform runs there, best of all", () => {
  const architecture = fc.constantFrom("amd64", "arm", "arm64", "386", "s390x", "riscv64");
  const variant = fc.constantFrom("v1", "v5", "v6", "v7", "v8", "v9", "z");
  fc.assert(
    fc.property(architecture, variant, (architecture, variant) => {
      const platform = { os: "linux", architecture, variant };
      const rank = rankPlatform(platform, platform);
      const isOlderThanAny = rank === undefined && /^v[0-9]$/.test(variant);
      assert.ok(rank === 0 || isOlderThanAny, `${architecture}/${variant}: ${rank}`);
      assert.equal(rankPlatform({ ...platform, os: "windows" }, platform), undefined);
    }),
  );
});
